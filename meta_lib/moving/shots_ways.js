// Accuracy over shots and ways, from recorded runs, with an episode of each kind.

const KINDS = ["c1", "c2 dashed", "c3", "c4 dashed", "c5", "c6 dotted", "grey", "grey dashed"];
const QUERIES = 2, LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

// Where a kind of episode stands in the tables.
const placeOf = (numbers, ways, shots) => ways * numbers.shots.length + shots;

function draw(stage, model) {
  const numbers = model.get("numbers"), learners = model.get("learners"), scores = model.get("scores");
  const w = nearest(numbers.ways, model.get("ways")), s = nearest(numbers.shots, model.get("shots"));
  const one = learners.indexOf(model.get("learner")), ways = numbers.ways[w], place = placeOf(numbers, w, s);
  const below = (stage.narrow ? 2 : 1) * 250, [left, right] = stage.boxes([1, 1], 0, below);

  table(stage, model, left, { w, s, one });
  const axes = stage.axes(right, { x: [numbers.shots[0], numbers.shots.at(-1)], y: [0, 100], logx: true, xlabel: "shots K", ylabel: "accuracy, %", title: `${ways} ways` });
  learners.forEach((_, l) => {
    const rows = numbers.shots.map((_, i) => scores[placeOf(numbers, w, i)][l]);
    if (rows.some((row) => row === null)) return;
    const kind = l === one ? `${KINDS[l]} thick` : KINDS[l];
    axes.line(numbers.shots, rows.map(([mean]) => 100 * mean), kind);
    numbers.shots.forEach((k, i) => {
      const [mean, half] = rows[i].map((value) => 100 * value);
      axes.line([k, k], [mean - half, mean + half], KINDS[l].split(" ")[0]);
      axes.dots([k], [mean], KINDS[l].split(" ")[0], i === s ? 5 : 3);
    });
  });
  axes.line([numbers.shots[0], numbers.shots.at(-1)], [100 / ways, 100 / ways], "grey dotted");

  const half = Math.ceil(learners.length / (stage.narrow ? 2 : 4));
  const across = stage.width / (stage.narrow ? 2 : 4);
  learners.forEach((name, l) => scores[place][l] && legend(stage, 8 + Math.floor(l / half) * across, below + 12 + 16 * (l % half), [[KINDS[l], name]]));
  const wrong = episode(stage, model, below + 24 + 16 * half, place, ways, one);

  const score = scores[place][one], name = learners[one];
  if (score === null) return `${name} has not been trained for ${ways} ways: it has another number of outputs. ${ways} ways, ${numbers.shots[s]} shots.`;
  const [mean, interval] = score.map((value) => (100 * value).toFixed(1));
  return `${name}, ${ways} ways, ${numbers.shots[s]} ${numbers.shots[s] === 1 ? "shot" : "shots"}: ${mean} ± ${interval} % over ${model.get("episodes")} episodes; ` +
    `guessing ${show(100 / ways)} %. Of the ${QUERIES * ways} queries shown it misreads ${wrong}.`;
}

// All kinds of episodes for one learner: rows are ways, columns are shots; a click chooses.
function table(stage, model, box, { w, s, one }) {
  const numbers = model.get("numbers"), scores = model.get("scores");
  const columns = numbers.shots.length, rows = numbers.ways.length, from = { x: box.x + 56, y: 44 + box.y };
  const width = (box.width - 68) / columns, height = (box.height - 60) / rows;
  stage.text(from.x + (width * columns) / 2, box.y + 14, `${model.get("learners")[one]}: accuracy, %`, { "text-anchor": "middle", class: "title" });
  numbers.shots.forEach((k, i) => stage.text(from.x + (i + 0.5) * width, from.y - 8, `K = ${k}`, { "text-anchor": "middle" }));
  numbers.ways.forEach((n, j) => {
    stage.text(from.x - 6, from.y + (j + 0.5) * height + 4, `N = ${n}`, { "text-anchor": "end" });
    numbers.shots.forEach((k, i) => {
      const score = scores[placeOf(numbers, j, i)][one], x = from.x + i * width, y = from.y + j * height;
      const chosen = i === s && j === w;
      const cell = svg("rect", { x: x + 1, y: y + 1, width: width - 2, height: height - 2, class: `cell${chosen ? " chosen" : ""}`, "fill-opacity": score ? 0.55 * score[0] ** 2 : 0 }, stage.back);
      stage.text(x + width / 2, y + height / 2 + 4, score ? (100 * score[0]).toFixed(0) : "–", { "text-anchor": "middle", class: "cell-text" });
      cell.addEventListener("click", () => change(model, { ways: n, shots: k }));
    });
  });
}

// One episode: a column for each class, its first support drawing, then its queries and what was read.
function episode(stage, model, top, place, ways, one) {
  const pixels = bytes(model, "images"), starts = model.get("pictures"), said = model.get("labels")[place][one];
  const numbers = model.get("numbers"), all = numbers.ways.reduce((sum, n) => sum + n, 0) * numbers.shots.length * (1 + QUERIES);
  const side = Math.sqrt(pixels.length / all), size = Math.min(48, stage.width / Math.min(ways, stage.narrow ? 10 : 20));
  const perRow = Math.floor(stage.width / size);
  let wrong = 0;
  for (let label = 0; label < ways; label += 1) {
    const x = (label % perRow) * size, y = top + Math.floor(label / perRow) * ((1 + QUERIES) * (size + 14) + 10);
    for (let row = 0; row <= QUERIES; row += 1) {
      const number = starts[place] + label * (1 + QUERIES) + row;
      stage.thumbnail(pixels, number, side, x + 2, y + row * (size + 14), size - 4);
      const read = row === 0 ? label : said[label * QUERIES + row - 1];
      const bad = row > 0 && said.length > 0 && read !== label;
      wrong += bad ? 1 : 0;
      const text = row === 0 ? LETTERS[label] : read === undefined ? "" : `${bad ? "✗" : "✓"} ${LETTERS[read]}`;
      stage.text(x + size / 2, y + row * (size + 14) + size + 8, text, { "text-anchor": "middle", class: bad ? "wrong" : "small" });
    }
  }
  return wrong;
}

export default {
  render: ({ model, el }) => {
    const numbers = model.get("numbers"), most = Math.max(...numbers.ways);
    return figure(model, el, {
      hint: "Choose a cell by a click or with the sliders. Go down a column and along a row: which is harder, more ways or fewer shots? Then change the learner. Below stands one episode: the first support drawing of each class with its letter, and under each query what the learner reads.",
      height: (width) => (width < 560 ? 580 + 2 * Math.ceil(most / 20) * 165 : 500),
      controls: [
        slider("ways", "ways N", { values: numbers.ways }),
        slider("shots", "shots K", { values: numbers.shots }),
        choice("learner", "learner", model.get("learners").map((name) => [name, name])),
      ],
      draw,
    });
  },
};
