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
const SHARES = [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1];
const MARGIN = { min: 0.01, max: 10 }, BETA = { min: 1e-4, max: 1 }, BINS = 40;

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
// (each of the drawings is the support once), and the loss, as much of it from either kind of pair.
export function distances(at, measure) {
  const count = at.length / 2, none = [0, 0], between = (p, q) => plane.distance(at[2 * p], at[2 * p + 1], at[2 * q], at[2 * q + 1], measure, none);
  const similar = [], different = [], kind = (p) => Math.floor(p / plane.DRAWERS);
  for (let p = 0; p < count; p += 1) {
    for (let q = 0; q < p; q += 1) (kind(p) === kind(q) ? similar : different).push(between(p, q));
  }
  let correct = 0, asked = 0;
  for (let support = 0; support < plane.DRAWERS; support += 1) {
    for (let p = 0; p < count; p += 1) {
      if (p % plane.DRAWERS === support) continue;
      let best = Infinity, answer = 0;
      for (let way = 0; way < plane.NEW; way += 1) {
        const D = between(p, way * plane.DRAWERS + support);
        if (D < best) { best = D; answer = way; }
      }
      asked += 1;
      correct += answer === kind(p) ? 1 : 0;
    }
  }
  return { similar, different, accuracy: correct / asked };
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

function drawPlane(stage, box, at, { measure, margin }) {
  const [x, y] = windowOf(at, measure);
  const axes = stage.axes(box, { x, y, xlabel: "feature 1", ylabel: "feature 2", title: "six characters never trained on" });
  const place = (p) => [axes.px(at[2 * p]), axes.py(at[2 * p + 1])];
  for (let way = 0; way < plane.NEW; way += 1) {
    signs(axes.layer, way, Array.from({ length: plane.DRAWERS }, (_, d) => place(way * plane.DRAWERS + d)), 4.5);
  }
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
  const y = all.length ? [Math.min(...all) / 1.5, 1.5 * Math.max(...all)] : [0.01, 1];
  const axes = stage.axes(box, { x: [0, 1.04 * settings.iterations], y, logy: true, xlabel: "iteration", title: "loss", names: [["c1 thick", "this run"], ["c3 dashed", "the run before"]] });
  for (const [losses, kind] of runs) axes.line(losses.map((_, block) => plane.BLOCK * (block + 0.5)), losses.map(inside), kind);
}

function draw(stage, now) {
  const { settings, at } = now;
  if (!at) return "The characters are being drawn.";
  const found = distances(at, settings.measure), { width, height, narrow } = stage;
  const left = { x: 0, y: 0, width: narrow ? Math.min(width - 62, 300) : Math.min(0.52 * width, height - 6), height: narrow ? 264 : height - 46 };
  drawPlane(stage, left, at, settings);
  if (narrow) drawNames(stage, left.width + 4, 14, [0, 38]);
  else drawNames(stage, 40, left.height + 4, [54, 0]);
  const [pairs, loss] = [0, 0.5].map((from) => (narrow
    ? { x: from * width, y: 268, width: width / 2, height: height - 268 }
    : { x: 0.54 * width, y: from * height, width: 0.46 * width, height: height / 2 }));
  drawDistances(stage, pairs, found, settings.margin);
  drawLoss(stage, loss, now);
  return said(now, found);
}

const percent = (share) => `${Math.round(100 * share)} %`;

function said({ settings, done, failed, curve, mixed, before, at }, { similar, different, accuracy }) {
  const { iterations, similar: share, margin } = settings, words = [], [near, far] = [mean(similar), mean(different)];
  if (failed) words.push(`Lost in iteration ${failed}: the loss or its gradient is no longer a number.`);
  words.push(done ? `Iteration ${done} of ${iterations}${curve.length ? `: loss ${show(curve.at(-1))}, the mean of ten` : ""}.` : `The weights are random: nothing has been learned yet. Learn begins with ${named(settings)}.`);
  words.push(`Of these six characters, similar pairs lie ${show(near)} apart, dissimilar ones ${show(far)}; from one drawing each, ${percent(accuracy)} of the others are named correctly, where guessing names 17 %.`);
  if (!(Math.max(...at.map(Math.abs)) > 0)) words.push("All lie on one point, where the push has no direction.");
  else if (done && share === 1) words.push("There are only similar pairs, so nothing pushes: all is drawn to one point.");
  else if (done && far < margin / 4) words.push("Dissimilar pairs lie far within the margin: they have collapsed, or have not yet been pushed apart.");
  if (done && share === 0) words.push("There are only dissimilar pairs: nothing says which differences do not count.");
  if (mixed) words.push("Settings were changed on the way, so a link to this page would replay another training.");
  if (before?.at) {
    const last = distances(before.at, before.settings.measure);
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
      hint: "Press Learn, and watch characters that the network is never shown move into heaps. Move the margin, the measure, the share of similar pairs or β meanwhile: the training goes on with them.",
      height: (width) => (width < 560 ? 500 : 430),
      words: 500,
      controls: [
        slider("margin", "margin m", { ...MARGIN, log: true, step: 10 }),
        choice("measure", "distance", [["Euclidean", "Euclidean"], ["cosine", "cosine"]]),
        slider("similar", "similar pairs", { values: SHARES, format: percent }),
        slider("beta", "rate β", { ...BETA, log: true, step: 10 }),
        slider("iterations", "iterations", { values: ITERATIONS }),
        button("Another random start", (of) => change(of, { seed: settingsOf(of).seed + 1 })),
        driving(follow),
      ],
      draw: (stage) => draw(stage, follow.now),
    });
    return () => { end(); follow.end(); };
  },
};
