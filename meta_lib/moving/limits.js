// Accuracy by labels per class and amount of change, looked up in tables; the digits as they are read.

const SIDE = 8;
// What an amount from 0 to 1 is, for each change: its most, its unit, in words, and beside the slider.
const CHANGES = {
  turn: { most: 90, axis: "turned by, degrees", said: (value) => `turned by ${value}°`, short: (value) => `${value}°` },
  thin: { most: 1, axis: "strokes thinned by, pixels", said: (value) => `strokes thinned by ${value} pixel`, short: (value) => `${value} pixel` },
  noise: { most: 1, axis: "noise, standard deviation", said: (value) => `noise of standard deviation ${value}`, short: (value) => `${value} of the ink` },
};

function draw(stage, model) {
  const [sizes, amounts, kinds] = ["sizes", "amounts", "kinds"].map((name) => model.get(name));
  const kind = kinds.indexOf(model.get("kind")), size = nearest(sizes, model.get("labels"));
  const amount = nearest(amounts, model.get("amount")), table = model.get("accuracies")[kind];

  // The digits, as many to a row as there is room for.
  const truth = model.get("truth"), readings = model.get("readings")[kind][size][amount];
  const pictures = bytes(model, "pictures");
  const rowOf = stage.narrow ? 10 : 20, cell = stage.width / rowOf, line = cell + 16;
  const misread = truth.filter((digit, i) => digit !== readings[i]).length;
  truth.forEach((digit, i) => {
    const x = (i % rowOf) * cell, y = Math.floor(i / rowOf) * line;
    stage.thumbnail(pictures, (kind * amounts.length + amount) * truth.length + i, SIDE, x + 2, y, cell - 4);
    const wrong = digit !== readings[i];
    stage.text(x + cell / 2, y + cell + 10, wrong ? `✗ ${readings[i]}` : readings[i], { "text-anchor": "middle", class: wrong ? "wrong" : "small" });
  });

  const top = Math.ceil(truth.length / rowOf) * line + 12;
  const [left, right] = stage.boxes([1, 1], top, stage.height, true);
  const { most, axis, said, short } = CHANGES[model.get("kind")], chance = ["grey dotted", "guessing"];
  const over = stage.axes(left, {
    x: [0, most], y: [0, 100], xlabel: stage.narrow ? axis.replace("strokes ", "") : axis, ylabel: "accuracy, %",
    names: [["c1", many(sizes[size], "label")], ...(stage.narrow ? [] : [["grey thin faint", "other numbers"]]), chance],
  });
  const curves = table.map((row) => row.map((values) => summary(values, 100)));
  const places = amounts.map((value) => most * value);
  curves.forEach((curve, i) => {
    if (i !== size) over.line(places, curve.map((one) => one.mean), "grey thin faint");
  });
  const chosen = curves[size];
  over.band(places, chosen.map((one) => one.mean - one.spread), chosen.map((one) => one.mean + one.spread), "c1");
  over.line(places, chosen.map((one) => one.mean), "c1");
  over.dots([places[amount]], [chosen[amount].mean], "c2", 6);
  over.line([0, most], [10, 10], "grey dotted");

  const by = stage.axes(right, { x: [sizes[0], sizes.at(-1)], y: [0, 100], logx: true, xlabel: "labels per class", ylabel: "accuracy, %", names: [["c1", (stage.narrow ? short : said)(show(most * amounts[amount]))]] });
  const column = curves.map((curve) => curve[amount]);
  by.line(sizes, column.map((one) => one.mean), "c1");
  table.forEach((row, i) => by.dots(row[amount].map(() => sizes[i]), row[amount].map((value) => 100 * value), "c1 faint", 2.5));
  by.dots([sizes[size]], [column[size].mean], "c2", 6);
  by.line([sizes[0], sizes.at(-1)], [10, 10], "grey dotted");

  const { mean, spread } = chosen[amount];
  return `${said(show(most * amounts[amount]))}, ${many(sizes[size], "label")} per class: ${mean.toFixed(1)} ± ${spread.toFixed(1)} % ` +
    `of ${model.get("tested")} digits are read correctly (mean and spread over ${table[size][amount].length} draws of the labels); of the ${truth.length} shown, ${misread} are misread (✗).`;
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "First move the amount with many labels, then the labels at a large amount: which of the two limits can be bought off with more of the same data? The dotted line is guessing.",
    height: (width) => (width < 560 ? 4 * (width / 10 + 16) + 210 : 2 * (width / 20 + 16) + 300),
    words: 240,
    controls: [
      slider("labels", "labels per class", { values: model.get("sizes") }),
      slider("amount", "amount", {
        values: model.get("amounts"), format: (amount, of) => CHANGES[of.get("kind")].short(show(CHANGES[of.get("kind")].most * amount)),
      }),
      choice("kind", "change", model.get("kinds").map((kind) => [kind, { turn: "turned", thin: "thin strokes", noise: "noise" }[kind]])),
    ],
    draw,
  }),
};
