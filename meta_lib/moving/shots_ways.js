// Accuracy over shots and ways, from recorded runs, with an episode of each kind.

const QUERIES = 2, LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

// Where a kind of episode stands in the tables.
const placeOf = (numbers, ways, shots) => ways * numbers.shots.length + shots;

function draw(stage, model) {
  const numbers = model.get("numbers"), learners = model.get("learners"), scores = model.get("scores");
  const w = nearest(numbers.ways, model.get("ways")), s = nearest(numbers.shots, model.get("shots"));
  const one = learners.indexOf(model.get("learner")), ways = numbers.ways[w], place = placeOf(numbers, w, s);
  const below = stage.narrow ? 176 : 250, [left, right] = stage.boxes([1, 1], 0, below, true);
  const kinds = methodKinds(learners).map((kind) => kind.replace(" thick", ""));

  table(stage, model, left, { w, s, one });
  const axes = stage.axes(right, { x: [numbers.shots[0], numbers.shots.at(-1)], y: [0, 100], logx: true, xlabel: "shots K", ylabel: "accuracy, %", title: `${ways} ways` });
  learners.forEach((_, l) => {
    const rows = numbers.shots.map((_, i) => scores[placeOf(numbers, w, i)][l]);
    if (rows.some((row) => row === null)) return;
    const kind = l === one ? `${kinds[l]} thick` : kinds[l];
    axes.line(numbers.shots, rows.map(([mean]) => 100 * mean), kind);
    numbers.shots.forEach((k, i) => {
      const [mean, half] = rows[i].map((value) => 100 * value);
      axes.line([k, k], [mean - half, mean + half], colourOf(kinds[l]));
      axes.dots([k], [mean], colourOf(kinds[l]), i === s ? 5 : 3);
    });
  });
  axes.line([numbers.shots[0], numbers.shots.at(-1)], [100 / ways, 100 / ways], "grey dotted");

  axes.text(numbers.shots[0], 100 / ways + 3, " guessing", { class: "small halo" });
  // Who cannot be asked for this number of ways is faint, so that the others keep their places.
  const rows = inRows(stage, learners.map((name, l) => [kinds[l], name]), stage.width - 8);
  rows.forEach((row, i) => row.forEach(([x, [kind, name]]) => legend(stage, 8 + x, below + 12 + 16 * i, [[`${kind}${scores[place][learners.indexOf(name)] ? "" : " faint"}`, name]])));
  const { wrong, asked } = episode(stage, model, below + 24 + 16 * rows.length, place, ways, one);

  const score = scores[place][one], name = learners[one];
  if (score === null) return `${name} has not been trained for ${ways} ways: it has another number of outputs. ${ways} ways, ${numbers.shots[s]} shots.`;
  const [mean, interval] = score.map((value) => (100 * value).toFixed(1));
  return `${name}, ${ways} ways, ${numbers.shots[s]} ${numbers.shots[s] === 1 ? "shot" : "shots"}: ${mean} ± ${interval} % over ${model.get("episodes")} episodes; ` +
    `guessing ${show(100 / ways)} %. Of the ${asked} queries shown it misreads ${wrong}.`;
}

// All kinds of episodes for one learner: rows are ways, columns are shots; a click chooses.
function table(stage, model, box, { w, s, one }) {
  const numbers = model.get("numbers"), scores = model.get("scores");
  const narrow = stage.narrow, from = { x: box.x + (narrow ? 40 : 56), y: 44 + box.y };
  const columns = numbers.shots.length, rows = numbers.ways.length;
  const width = (box.width + box.x - from.x - (narrow ? 4 : 12)) / columns, height = (box.height - 60) / rows;
  stage.text(box.x + box.width / 2, box.y + 14, `${model.get("learners")[one]}${narrow ? ", %" : ": accuracy, %"}`, { "text-anchor": "middle", class: "title" });
  if (narrow) stage.text(from.x - 6, from.y - 8, "K =", { "text-anchor": "end" });
  numbers.shots.forEach((k, i) => stage.text(from.x + (i + 0.5) * width, from.y - 8, narrow ? k : `K = ${k}`, { "text-anchor": "middle" }));
  numbers.ways.forEach((n, j) => {
    stage.text(from.x - 6, from.y + (j + 0.5) * height + 4, narrow ? `N=${n}` : `N = ${n}`, { "text-anchor": "end" });
    numbers.shots.forEach((k, i) => {
      const score = scores[placeOf(numbers, j, i)][one], x = from.x + i * width, y = from.y + j * height;
      const chosen = i === s && j === w;
      const cell = svg("rect", { x: x + 1, y: y + 1, width: width - 2, height: height - 2, class: `cell${chosen ? " chosen" : ""}`, "fill-opacity": score ? 0.55 * score[0] ** 2 : 0 }, stage.back);
      stage.text(x + width / 2, y + height / 2 + 4, score ? (100 * score[0]).toFixed(0) : "–", { "text-anchor": "middle", class: "cell-text" });
      cell.addEventListener("click", () => change(model, { ways: n, shots: k }));
    });
  });
}

const perRowOf = (narrow, ways) => Math.min(ways, narrow ? 10 : 20);
const sideOf = (width, ways) => Math.min(72, width / perRowOf(width < 560, ways));

// One episode: a column for each class, its first support drawing, then its queries and what was read.
function episode(stage, model, top, place, ways, one) {
  const pixels = bytes(model, "images"), starts = model.get("pictures"), said = model.get("labels")[place][one];
  const numbers = model.get("numbers"), all = numbers.ways.reduce((sum, n) => sum + n, 0) * numbers.shots.length * (1 + QUERIES);
  const side = Math.sqrt(pixels.length / all), perRow = perRowOf(stage.narrow, ways), size = sideOf(stage.width, ways);
  // On a phone two rows of classes have room for one query each.
  const queries = perRow < ways ? 1 : QUERIES, from = (stage.width - size * perRow) / 2;
  let wrong = 0;
  for (let label = 0; label < ways; label += 1) {
    const x = from + (label % perRow) * size, y = top + Math.floor(label / perRow) * ((1 + queries) * (size + 14) + 6);
    for (let row = 0; row <= queries; row += 1) {
      const number = starts[place] + label * (1 + QUERIES) + row;
      stage.thumbnail(pixels, number, side, x + 2, y + row * (size + 14), size - 4);
      const read = row === 0 ? label : said[label * QUERIES + row - 1];
      const bad = row > 0 && said.length > 0 && read !== label;
      wrong += bad ? 1 : 0;
      const text = row === 0 ? LETTERS[label] : read === undefined ? "" : `${bad ? "✗" : "✓"} ${LETTERS[read]}`;
      stage.text(x + size / 2, y + row * (size + 14) + size + 8, text, { "text-anchor": "middle", class: bad ? "wrong" : "small" });
    }
  }
  return { wrong, asked: queries * ways };
}

// The room that the largest episode takes.
function roomOf(width, numbers) {
  return Math.max(...numbers.ways.map((ways) => {
    const perRow = perRowOf(width < 560, ways), rows = Math.ceil(ways / perRow);
    return rows * ((1 + (rows > 1 ? 1 : QUERIES)) * (sideOf(width, ways) + 14) + 6);
  }));
}

export default {
  render: ({ model, el }) => {
    const numbers = model.get("numbers");
    return figure(model, el, {
      hint: "Choose a cell by a click or with the sliders. Go down a column and along a row: which is harder, more ways or fewer shots? Then change the learner. Below stands one episode: the first support drawing of each class with its letter, and under each query what the learner reads.",
      height: (width) => (width < 560 ? 176 + 60 : 250 + 44) + roomOf(width, numbers),
      words: 190,
      controls: [
        slider("ways", "ways N", { values: numbers.ways }),
        slider("shots", "shots K", { values: numbers.shots }),
        choice("learner", "learner", model.get("learners").map((name) => [name, name])),
      ],
      draw,
    });
  },
};
