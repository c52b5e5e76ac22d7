// What each reader makes of digits that lie askew, looked up in tables.

const KINDS = ["c1", "grey dashed", "c3 dotted", "c4"];

function draw(stage, model) {
  const numbers = model.get("numbers"), readers = model.get("readers");
  const [k, t, s] = ["shots", "degrees", "shift"].map((of) => nearest(numbers[of], model.get(of)));
  const pictures = bytes(model, "pictures"), answers = model.get("answers").map((table) => table[t][s]);
  const size = Math.sqrt(pictures.length / (numbers.degrees.length * numbers.shift.length * 20));

  const left = 62, cell = Math.min(64, (stage.width - left) / 10);
  stage.text(0, cell / 2 + 4, "support");
  stage.text(0, 1.5 * cell + 8, "query");
  readers.slice(0, 2).forEach((reader, r) => stage.text(0, 2 * cell + 18 + 16 * r, reader, { class: "small" }));
  for (let row = 0; row < 2; row += 1) {
    for (let digit = 0; digit < 10; digit += 1) {
      const x = left + digit * cell;
      stage.thumbnail(pictures, ((t * numbers.shift.length + s) * 2 + row) * 10 + digit, size, x + 3, row * (cell + 4), cell - 6);
      if (row === 0) continue;
      answers.forEach((read, r) => {
        const wrong = read[digit] !== digit;
        stage.text(x + cell / 2, 2 * cell + 18 + 16 * r, wrong ? `✗ ${read[digit]}` : digit, { "text-anchor": "middle", class: wrong ? "wrong" : "small" });
      });
    }
  }

  const top = 2 * cell + 48, table = model.get("accuracies");
  const [one, two] = stage.boxes([1, 1], top, stage.height, true);
  const over = stage.axes(one, { x: [numbers.degrees[0], numbers.degrees.at(-1)], y: [0, 100], xlabel: stage.narrow ? "turned by, degrees" : "turned by up to, degrees", ylabel: "accuracy, %", names: readers.map((reader, r) => [KINDS[r], reader]) });
  const by = stage.axes(two, { x: [numbers.shots[0], numbers.shots.at(-1)], y: [0, 100], logx: true, xlabel: "labels per class, K", ylabel: "accuracy, %", names: readers.map((reader, r) => [KINDS[r], reader]) });
  const said = readers.map((reader, r) => {
    const at = (k, t) => summary(table[r][k][t][s], 100);
    const along = numbers.degrees.map((_, i) => at(k, i)), up = numbers.shots.map((_, i) => at(i, t)), here = at(k, t);
    over.line(numbers.degrees, along.map((each) => each.mean), KINDS[r]);
    over.dots([numbers.degrees[t]], [here.mean], colourOf(KINDS[r]), 5);
    by.band(numbers.shots, up.map((each) => each.mean - each.spread), up.map((each) => each.mean + each.spread), KINDS[r]);
    by.line(numbers.shots, up.map((each) => each.mean), KINDS[r]);
    by.dots([numbers.shots[k]], [here.mean], colourOf(KINDS[r]), 5);
    return `${reader} ${here.mean.toFixed(1)} ± ${here.spread.toFixed(1)} %`;
  });
  return `K = ${numbers.shots[k]}, turned by up to ${numbers.degrees[t]}°, moved by up to ${numbers.shift[s]} ${numbers.shift[s] === 1 ? "pixel" : "pixels"}: ${said.join(", ")} ` +
    `(mean and spread over ${table[0][k][t][s].length} draws).`;
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Turn the digits further with one label, then give more labels. Where is practice worth most, and where do plain pixels catch up? ✗ marks what a reader takes the query for, wrongly.",
    height: (width) => (width < 560 ? width / 5 + 280 : 2 * Math.min(64, width / 10) + 330),
    words: 220,
    controls: [
      slider("shots", "K", { values: model.get("numbers").shots }),
      slider("degrees", "turned by up to", { values: model.get("numbers").degrees, format: (degrees) => `${degrees}°` }),
      slider("shift", "shift", { values: model.get("numbers").shift, format: (shift) => many(shift, "pixel") }),
    ],
    draw,
  }),
};
