// A Siamese network learns its plane: a training that the reader starts, and where it puts characters
// that it is never shown.

const plane = learnSiamese();
export { random };
export const { character, firstWeights } = plane;

// For the tests: the weights, the curve and the places after a whole training.
export function trained(settings, iterations = settings.iterations) {
  const state = plane.start({ ...settings });
  while (state.done < iterations && !state.failed) plane.iterate(state);
  return { phi: Array.from(state.phi), curve: state.curve, at: Array.from(plane.report(state, 0).at) };
}

const ITERATIONS = [100, 300, 600, 1000, 3000, 10000];
const LETTERS = "ABC";
const SHARES = [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1];
const MARGIN = { min: 0.01, max: 10 }, BETA = { min: 1e-4, max: 1 }, BINS = 40, MOST_SHOTS = 5;

// What the reader has chosen, made sound: an address may say anything.
function settingsOf(model) {
  const number = (name, low, high) => within(Number(model.get(name)) || low, low, high);
  const measure = model.get("measure") === "cosine" ? "cosine" : "Euclidean", share = within(model.get("similar"), 0, 1);
  return {
    margin: number("margin", MARGIN.min, MARGIN.max), beta: number("beta", BETA.min, BETA.max), measure,
    similar: Number.isFinite(share) ? share : 0.5, iterations: Math.round(number("iterations", 1, ITERATIONS.at(-1))), seed: Math.round(number("seed", 0, 1e6)),
  };
}

// The distances of all pairs, the share of drawings whose nearest support drawing is of their character
// (of `shots` in a row, and each row is the support once).
export function distances(at, measure, shots = 1) {
  const count = at.length / 2, none = [0, 0], between = (p, q) => plane.distance(at[2 * p], at[2 * p + 1], at[2 * q], at[2 * q + 1], measure, none);
  const similar = [], different = [], kind = (p) => Math.floor(p / plane.DRAWERS);
  for (let p = 0; p < count; p += 1) {
    for (let q = 0; q < p; q += 1) (kind(p) === kind(q) ? similar : different).push(between(p, q));
  }
  let correct = 0, asked = 0;
  for (let support = 0; support < plane.DRAWERS; support += 1) {
    for (let p = 0; p < count; p += 1) {
      if ((p - support + plane.DRAWERS) % plane.DRAWERS < shots) continue;
      let best = Infinity, answer = 0;
      for (let way = 0; way < count / plane.DRAWERS; way += 1) {
        for (let shot = 0; shot < shots; shot += 1) {
          const D = between(p, way * plane.DRAWERS + ((support + shot) % plane.DRAWERS));
          if (D < best) { best = D; answer = way; }
        }
      }
      asked += 1;
      correct += answer === kind(p) ? 1 : 0;
    }
  }
  return { similar, different, accuracy: correct / asked };
}

// The reader's own symbols

const symbolsOf = (model) => Array.from(LETTERS, (_, k) => sound(model.get("own")[k]));
const shotsOf = (model) => within(Math.round(model.get("shots")) || 1, 1, MOST_SHOTS);
const onPad = (model) => within(Math.round(model.get("pad")) || 0, 0, LETTERS.length) - 1;

function put(model, drawing) {
  const all = symbolsOf(model);
  all[onPad(model)] = drawing;
  change(model, { own: all });
}

// A drawing's points, close enough to each other to be a line.
const dense = (drawing) => drawing.flatMap((stroke) => pointsOf(stroke).flatMap(([x, y], i, path) => {
  const [u, v] = path[i + 1] ?? [x, y], steps = Math.max(1, Math.ceil(Math.hypot(u - x, v - y)));
  return Array.from({ length: steps }, (_, k) => [x + ((u - x) * k) / steps, y + ((v - y) * k) / steps]);
}));

const drawn = new Map();

// A symbol as the network gets it: as it was drawn, and 19 times in another hand.
function inkOf(drawing) {
  const key = JSON.stringify(drawing);
  if (drawn.size > 300) drawn.clear();
  if (!drawn.has(key)) drawn.set(key, plane.symbol(Array.from({ length: plane.DRAWERS }, (_, d) => dense(d ? otherHand(drawing, d) : drawing))));
  return drawn.get(key);
}

// For the tests.
export const symbolInk = (drawing) => Array.from(inkOf(drawing));

// Where all drawings lie at φ: those of the new characters, which the worker has told, and the reader's.
function placesOf({ phi, at }, symbols) {
  const own = symbols.filter((drawing) => drawing.length).map((drawing) => plane.embed(phi, inkOf(drawing), plane.DRAWERS, plane.room(plane.DRAWERS)));
  return [at, ...own].flatMap((places) => Array.from(places));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// The drawing

// One sign for each character: a polygon with so many corners, the first of them turned so far.
const SIGNS = [[24, 0], [4, 0.5], [3, 0], [4, 0], [3, 0.5], [5, 0]];

function signs(layer, way, places, size, attributes = {}) {
  const [corners, turn] = SIGNS[way];
  const path = places.map(([x, y]) => `M${Array.from({ length: corners }, (_, k) => {
    const angle = (2 * Math.PI * (k + turn)) / corners;
    return `${(x + size * Math.sin(angle)).toFixed(1)} ${(y - size * Math.cos(angle)).toFixed(1)}`;
  }).join("L")}Z`).join("");
  svg("path", { d: path, class: `dot c${way + 1}`, ...attributes }, layer);
}

let pictures;

// A drawing of each character, drawn once.
function pictureOf(way) {
  pictures ??= Array.from({ length: plane.NEW }, (_, k) => Array.from(plane.character(plane.FAMILIAR + k, 1)));
  return pictures[way];
}

// A square piece of the plane that holds all places.
function windowOf(at, measure) {
  const sides = [0, 1].map((axis) => [...at.filter((_, i) => i % 2 === axis), ...(measure === "cosine" ? [0] : [])]);
  const ends = sides.map((side) => [Math.min(...side), Math.max(...side)]);
  const half = 0.56 * Math.max(...ends.map(([low, high]) => high - low)) || 1;
  return ends.map(([low, high]) => [(low + high) / 2 - half, (low + high) / 2 + half]);
}

function drawPlane(stage, box, at, { measure, margin }, letters) {
  const [x, y] = windowOf(at, measure);
  const axes = stage.axes(box, { x, y, xlabel: "feature 1", ylabel: "feature 2", title: letters ? "never trained on" : "six characters never trained on" });
  const place = (p) => [axes.px(at[2 * p]), axes.py(at[2 * p + 1])];
  for (let way = 0; way < plane.NEW; way += 1) {
    signs(axes.layer, way, Array.from({ length: plane.DRAWERS }, (_, d) => place(way * plane.DRAWERS + d)), 4.5);
  }
  Array.from(letters).forEach((letter, k) => {
    for (let d = 0; d < plane.DRAWERS; d += 1) {
      const [x, y] = place((plane.NEW + k) * plane.DRAWERS + d);
      svg("text", { x, y: y + 4, "text-anchor": "middle", class: "title" }, axes.layer, letter);
    }
  });
  // How long the margin is, beside the heaps.
  if (measure !== "cosine") {
    const from = x[0] + 0.04 * (x[1] - x[0]), low = y[0] + 0.05 * (y[1] - y[0]), to = Math.min(from + margin, x[1]);
    axes.line([from, to], [low, low], "grey thick");
    axes.text(from, low, from + margin > x[1] ? "the margin is longer" : "margin", { dy: -6 });
  }
}

// Whose sign is whose: a drawing of each character, each so far from the last.
function drawNames(stage, x, y, [right, down]) {
  for (let way = 0; way < plane.NEW; way += 1) {
    const [left, top] = [x + way * right, y + way * down];
    stage.picture(pictureOf(way), plane.SIDE, left + 16, top, 34);
    signs(stage.back, way, [[left + 8, top + 17]], 5);
  }
}

// Both kinds of distance as heights over the same axis, each with the same area.
function drawDistances(stage, box, { similar, different }, margin) {
  const far = 1.05 * Math.max(margin, similar.reduce((a, b) => Math.max(a, b)), different.reduce((a, b) => Math.max(a, b))) || 1;
  const heights = [similar, different].map((values) => {
    const counts = new Array(BINS).fill(0);
    for (const value of values) counts[Math.min(BINS - 1, Math.floor((BINS * value) / far))] += 1 / values.length;
    return counts;
  });
  const axes = stage.axes(box, {
    x: [0, far], y: [0, 1.15 * Math.max(...heights.flat())], xlabel: stage.narrow ? "distance D" : "distance D of two of these drawings",
    title: stage.narrow ? "pairs" : "similar and dissimilar pairs", names: [["c1", "similar"], ["c2 dashed", "dissimilar"]],
  });
  heights.forEach((counts, k) => {
    const xs = counts.flatMap((_, i) => [(far * i) / BINS, (far * (i + 1)) / BINS]), tops = counts.flatMap((count) => [count, count]);
    axes.band(xs, tops.map(() => 0), tops, k ? "c2" : "c1");
    axes.line(xs, tops, k ? "c2 dashed" : "c1");
  });
  axes.line([margin, margin], axes.y, "grey thick");
  axes.text(margin, axes.y[1], "margin", { dy: 12, dx: margin > 0.7 * far ? -6 : 6, "text-anchor": margin > 0.7 * far ? "end" : "start" });
}

function drawLoss(stage, box, { curve, before, settings }) {
  const runs = [...(before ? [[before.curve, "c3 dashed"]] : []), [curve, "c1 thick"]];
  const [low, high] = [1e-6, 10], inside = (loss) => (Number.isNaN(loss) ? high : within(loss, low, high));
  const all = runs.flatMap(([losses]) => losses.map(inside));
  const y = all.length ? [Math.min(...all) / 2.5, 2.5 * Math.max(...all)] : [0.01, 1];
  const axes = stage.axes(box, { x: [0, 1.04 * settings.iterations], y, logy: true, xlabel: "iteration", title: "loss", names: [["c1 thick", "this run"], ["c3 dashed", "the run before"]] });
  for (const [losses, kind] of runs) axes.line(losses.map((_, block) => plane.BLOCK * (block + 0.5)), losses.map(inside), kind);
}

// The pad in the place of the loss, and what the network gets of it.
function drawPad(stage, model, box) {
  const size = Math.min(box.width - (stage.narrow ? 12 : 84), box.height - 30), k = onPad(model), drawing = symbolsOf(model)[k];
  stage.pad ??= padOf(stage, () => symbolsOf(model)[onPad(model)], (another) => put(model, another));
  stage.pad.lay(box.x + 8, box.y + 22, size, `your symbol ${LETTERS[k]}`);
  stage.text(box.x + 8, box.y + 14, `draw symbol ${LETTERS[k]} here`, { class: "title" });
  if (drawing.length && !stage.narrow) stage.picture(Array.from(inkOf(drawing).subarray(0, plane.PIXELS)), plane.SIDE, box.x + size + 16, box.y + 22, 60);
}

function draw(stage, model, now) {
  const { settings } = now, shots = shotsOf(model);
  if (!now.at) return "The characters are being drawn.";
  const symbols = symbolsOf(model), at = placesOf(now, symbols), letters = Array.from(LETTERS).filter((_, k) => symbols[k].length).join("");
  const found = distances(at, settings.measure, shots), { width, height, narrow } = stage;
  const left = { x: 0, y: 0, width: narrow ? Math.min(width - 62, 300) : Math.min(0.52 * width, height - 6), height: narrow ? 264 : height - 46 };
  drawPlane(stage, left, at, settings, letters);
  if (narrow) drawNames(stage, left.width + 4, 14, [0, 38]);
  else drawNames(stage, 40, left.height + 4, [54, 0]);
  const [pairs, other] = [0, 0.5].map((from) => (narrow
    ? { x: from * width, y: 268, width: width / 2, height: height - 268 }
    : { x: 0.54 * width, y: from * height, width: 0.46 * width, height: height / 2 }));
  drawDistances(stage, pairs, found, settings.margin);
  if (onPad(model) < 0) { stage.pad?.hide(); drawLoss(stage, other, now); } else drawPad(stage, model, other);
  return said(now, found, at, symbols, shots);
}

const percent = (share) => `${Math.round(100 * share)} %`;

function said({ settings, done, failed, curve, mixed, before }, { similar, different, accuracy }, at, symbols, shots) {
  const { iterations, similar: share, margin } = settings, words = [], [near, far] = [mean(similar), mean(different)], kinds = at.length / 2 / plane.DRAWERS;
  if (failed) words.push(`Lost in iteration ${failed}: the loss or its gradient is no longer a number.`);
  words.push(done ? `Iteration ${done} of ${iterations}${curve.length ? `: loss ${show(curve.at(-1))}, the mean of ten` : ""}.` : `The weights are random: nothing has been learned yet. Learn begins with ${named(settings)}.`);
  words.push(`Of these ${kinds === plane.NEW ? "six" : kinds} characters, similar pairs lie ${show(near)} apart, dissimilar ones ${show(far)}; from ${shots === 1 ? "one drawing" : `${shots} drawings`} each, ${percent(accuracy)} of the others are named correctly, where guessing names ${percent(1 / kinds)}.`);
  if (!(Math.max(...at.map(Math.abs)) > 0)) words.push("All lie on one point, where the push has no direction.");
  else if (done && share === 1) words.push("There are only similar pairs, so nothing pushes: all is drawn to one point.");
  else if (done && far < margin / 4) words.push("Dissimilar pairs lie far within the margin: they have collapsed, or have not yet been pushed apart.");
  if (done && share === 0) words.push("There are only dissimilar pairs: nothing says which differences do not count.");
  if (mixed) words.push("Settings were changed on the way, so a link to this page would replay another training.");
  if (before?.at) {
    const last = distances(placesOf(before, symbols), before.settings.measure, shots);
    words.push(`The run before (${named(before.settings)}): ${show(mean(last.similar))} and ${show(mean(last.different))} apart, ${percent(last.accuracy)}.`);
  }
  return words.join(" ");
}

const named = ({ measure, margin, similar, beta }) => `${measure}, m = ${show(margin)}, ${percent(similar)} similar, β = ${show(beta)}`;

export default {
  render: ({ model, el }) => {
    const follow = follower(model, el, {
      learner: learnSiamese, needed: [random, adamStep], settingsOf, first: () => ({ at: null }), live: ["margin", "measure", "similar", "beta"],
    });
    const end = figure(model, el, {
      asks: true,
      hint: "Press Learn, and watch characters that the network is never shown move into heaps. Move the margin, the measure, the share of similar pairs or β meanwhile: the training goes on with them. Then draw a symbol of your own.",
      height: (width) => (width < 560 ? 500 : 430),
      words: 500,
      controls: [
        slider("margin", "margin m", { ...MARGIN, log: true, step: 10 }),
        choice("measure", "distance", [["Euclidean", "Euclidean"], ["cosine", "cosine"]]),
        slider("similar", "similar pairs", { values: SHARES, format: percent }),
        slider("beta", "rate β", { ...BETA, log: true, step: 10 }),
        slider("shots", "shots", { min: 1, max: MOST_SHOTS }),
        slider("iterations", "iterations", { values: ITERATIONS }),
        choice("pad", "beside the plane", [[0, "the loss"], ...Array.from(LETTERS, (letter, k) => [k + 1, `draw symbol ${letter}`])]),
        button("Clear the pad", (of) => { if (onPad(of) >= 0) put(of, []); }),
        button("Another random start", (of) => change(of, { seed: settingsOf(of).seed + 1 })),
        driving(follow),
      ],
      draw: (stage) => draw(stage, model, follow.now),
    });
    return () => { end(); follow.end(); };
  },
};
