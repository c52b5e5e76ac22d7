// Accuracy by labels per class and amount of change, looked up in tables; the digits as they are read.

const SIDE = 8;
const UNITS = {
  turn: (amount) => `turned by ${show(90 * amount)}°`,
  thin: (amount) => `strokes thinned by ${show(amount)} pixel`,
  noise: (amount) => `noise of standard deviation ${show(amount)}`,
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
  const [left, right] = stage.boxes([1, 1], top);
  const over = stage.axes(left, { x: [0, 1], y: [0, 100], xlabel: `amount of ${model.get("kind")}`, ylabel: "accuracy, %" });
  const curves = table.map((row) => row.map((values) => summary(values, 100)));
  curves.forEach((curve, i) => {
    if (i !== size) over.line(amounts, curve.map((one) => one.mean), "grey thin faint");
  });
  const chosen = curves[size];
  over.band(amounts, chosen.map((one) => one.mean - one.spread), chosen.map((one) => one.mean + one.spread), "c1");
  over.line(amounts, chosen.map((one) => one.mean), "c1");
  over.dots([amounts[amount]], [chosen[amount].mean], "c2", 6);
  over.line([0, 1], [10, 10], "grey dotted");

  const by = stage.axes(right, { x: [sizes[0], sizes.at(-1)], y: [0, 100], logx: true, xlabel: "labels per class", ylabel: "accuracy, %" });
  const column = curves.map((curve) => curve[amount]);
  by.line(sizes, column.map((one) => one.mean), "c1");
  table.forEach((row, i) => by.dots(row[amount].map(() => sizes[i]), row[amount].map((value) => 100 * value), "c1 faint", 2.5));
  by.dots([sizes[size]], [column[size].mean], "c2", 6);
  by.line([sizes[0], sizes.at(-1)], [10, 10], "grey dotted");

  const { mean, spread } = chosen[amount];
  return `${UNITS[model.get("kind")](amounts[amount])}, ${sizes[size]} labels per class: ${mean.toFixed(1)} ± ${spread.toFixed(1)} % ` +
    `of ${model.get("tested")} digits are read correctly (mean and spread over ${table[size][amount].length} draws of the labels); of the ${truth.length} shown, ${misread} are misread (✗).`;
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "First move the amount with many labels, then the labels at a large amount: which of the two limits can be bought off with more of the same data? The dotted line is guessing.",
    height: (width) => (width < 560 ? 4 * (width / 10 + 16) + 500 : 2 * (width / 20 + 16) + 290),
    controls: [
      slider("labels", "labels per class", { values: model.get("sizes") }),
      slider("amount", "amount", { values: model.get("amounts") }),
      choice("kind", "change", model.get("kinds").map((kind) => [kind, kind])),
    ],
    draw,
  }),
};
