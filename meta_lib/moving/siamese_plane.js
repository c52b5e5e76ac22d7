// Characters never seen in training, in the plane of a network with two features.

// For each drawing the class of the nearest support drawing, as siamese.classify, or of the nearest
// class mean; -1 for the support itself. `at` lists the embeddings, `each` for every class; support
// are `shots` drawings of each class from number `support` on.
export function classify(at, each, ways, shots, support, measure, byMean) {
  const isSupport = (i) => (i % each - support + each) % each < shots;
  const drawings = Array.from({ length: ways * each }, (_, i) => i), known = drawings.filter(isSupport);
  const anchors = byMean
    ? means(at, each, ways, shots, support).map((place, label) => ({ place, label }))
    : known.map((i) => ({ place: at[i], label: Math.floor(i / each) }));
  return drawings.map((i) => {
    if (isSupport(i)) return -1;
    let best = Infinity, answer = 0;
    for (const { place, label } of anchors) {
      const far = distanceOf(at[i], place, measure);
      if (far < best) { best = far; answer = label; }
    }
    return answer;
  });
}

// The mean of each class's support drawings.
export function means(at, each, ways, shots, support) {
  return Array.from({ length: ways }, (_, way) => {
    const sum = [0, 0];
    for (let k = 0; k < shots; k += 1) {
      const [x, y] = at[way * each + ((support + k) % each)];
      sum[0] += x / shots;
      sum[1] += y / shots;
    }
    return sum;
  });
}

// The share of right answers among the drawings that are not support.
export function accuracy(answers, each) {
  const asked = answers.filter((answer) => answer >= 0).length;
  return answers.filter((answer, i) => answer === Math.floor(i / each)).length / asked;
}

// Which of the trained networks, [measure, margin], has the margin nearest to the chosen one.
export function networkFor(trained, measure, margin) {
  const far = trained.map(([of, m]) => (of === measure ? Math.abs(Math.log(m / margin)) : Infinity));
  return far.indexOf(Math.min(...far));
}

const SIGNS = [
  Array.from({ length: 16 }, (_, i) => [Math.cos((i * Math.PI) / 8), Math.sin((i * Math.PI) / 8)]),
  [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]],
  [[0, -1.35], [1.1, 0], [0, 1.35], [-1.1, 0]],
  [[0, 1.2], [1.1, -0.8], [-1.1, -0.8]],
  [[-1.2, -0.4], [-0.4, -0.4], [-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4]],
];
const LOOKS = {
  right: (c) => ({ class: `dot c${c}`, size: 4.5 }),
  wrong: (c) => ({ class: `line c${c}`, size: 4, style: "stroke-width:1.3" }),
  support: (c) => ({ class: `dot c${c}`, size: 8, style: "fill:var(--paper);stroke:var(--c);stroke-width:2.5" }),
  mean: (c) => ({ class: `dot c${c}`, size: 8, style: "stroke:var(--ink);stroke-width:2" }),
};

const FATES = { pull: "pulled together", push: "pushed apart", beyond: "left alone" };

// Signs of class `way` at places on the page, all in one path.
function signs(layer, way, look, places) {
  const { size, ...attributes } = LOOKS[look](way + 1);
  const one = ([x, y]) => SIGNS[way].map(([u, v]) => `${(x + size * u).toFixed(1)} ${(y + size * v).toFixed(1)}`).join("L");
  if (places.length) svg("path", { d: places.map((place) => `M${one(place)}Z`).join(""), ...attributes }, layer);
}

// What does not change while the reader drags: embeddings, answers, pictures. One store for each figure.
const kept = new WeakMap();

function keep(model, key, compute) {
  const tables = model.get("features");
  if (kept.get(model)?.tables !== tables) kept.set(model, { tables, values: new Map() });
  const { values } = kept.get(model);
  if (!values.has(key)) {
    if (values.size > 200) values.clear();
    values.set(key, compute());
  }
  return values.get(key);
}

const whole = (value, count) => ((Math.trunc(value) % count) + count) % count || 0;

// The settings as they are drawn: numbers of drawings within those that are shown.
function stateOf(model) {
  const [margin, measure, shots, ways, each] = ["margin", "measure", "shots", "ways", "drawings"].map((name) => model.get(name));
  const trained = model.get("trained"), network = networkFor(trained, measure, margin), size = ways * each;
  const first = whole(model.get("first"), size);
  let second = whole(model.get("second"), size);
  if (second === first) second = (first + 1) % size;
  const at = keep(model, `at ${network}`, () => {
    const numbers = floats(model, "features"), count = numbers.length / trained.length;
    return Array.from({ length: count / 2 }, (_, i) => [...numbers.slice(network * count + 2 * i, network * count + 2 * i + 2)]);
  });
  return { margin, measure, shots, ways, each, first, second, at, network, trainedWith: trained[network][1], support: whole(model.get("support"), each) };
}

// The answers with the chosen support, and the accuracy over every choice of where it starts.
function answersOf(model, { at, each, ways, shots, support, measure, network }) {
  return [false, true].map((byMean) => keep(model, `answers ${[network, ways, shots, support, byMean]}`, () => {
    const answers = classify(at, each, ways, shots, support, measure, byMean);
    const overall = keep(model, `overall ${[network, ways, shots, byMean]}`, () => {
      const all = Array.from({ length: each }, (_, from) => accuracy(classify(at, each, ways, shots, from, measure, byMean), each));
      return all.reduce((sum, one) => sum + one) / each;
    });
    return { answers, share: accuracy(answers, each), overall };
  }));
}

// A square piece of the plane that holds all embeddings; with the cosine the origin, too.
function windowOf(at, measure) {
  const points = measure === "cosine" ? [...at, [0, 0]] : at;
  const sides = [0, 1].map((i) => points.map((point) => point[i])).map((list) => [Math.min(...list), Math.max(...list)]);
  const half = 0.56 * Math.max(...sides.map(([low, high]) => high - low)) || 1;
  return sides.map(([low, high]) => [(low + high) / 2 - half, (low + high) / 2 + half]);
}

function imageOf(model, index) {
  return keep(model, `image ${index}`, () => {
    const view = model.get("images"), bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const size = bytes.length / (model.get("features").byteLength / 8 / model.get("trained").length);
    return Array.from(bytes.subarray(index * size, (index + 1) * size), (value) => value / 255);
  });
}

function drawPlane(stage, box, model, state, pair, answers) {
  const { at, each, ways, shots, support, measure, margin, first, second } = state;
  const [x, y] = keep(model, `window ${state.network}`, () => windowOf(at, measure));
  const axes = stage.axes(box, { x, y, title: stage.narrow ? `margin ${show(state.trainedWith)}, ${measure}` : `network trained with margin ${show(state.trainedWith)}, ${measure}`, xlabel: stage.narrow ? "" : "feature 1", ylabel: stage.narrow ? "" : "feature 2" });
  if (pair.region !== "pull") drawRegion(axes, at[second], margin, measure);
  if (measure === "cosine") axes.dots([0], [0], "grey", 4);
  const page = ([u, v]) => [axes.px(u), axes.py(v)];
  for (let way = 0; way < ways; way += 1) {
    const looks = { right: [], wrong: [], support: [] };
    for (let i = way * each; i < (way + 1) * each; i += 1) {
      looks[answers[i] < 0 ? "support" : answers[i] === way ? "right" : "wrong"].push(page(at[i]));
    }
    for (const [look, places] of Object.entries(looks)) signs(axes.layer, way, look, places);
  }
  if (shots > 1) means(at, each, ways, shots, support).forEach((mean, way) => signs(axes.layer, way, "mean", [page(mean)]));
  drawPair(axes, at[first], at[second], pair, measure);
  [["first", first, second], ["second", second, first]].forEach(([name, index, other], i) => {
    const others = Array.from({ length: ways * each }, (_, k) => k).filter((k) => k !== other);
    const [px, py] = page(at[index]);
    stage.text(px + (px < page(at[other])[0] ? -17 : 17), py + 5, `f${"₁₂"[i]}`, { "text-anchor": "middle", class: "title", style: HALO });
    stage.handle(name, axes, {
      x: at[index][0], y: at[index][1], kind: "grey", radius: 7,
      label: `f${"₁₂"[i]}, the ${name} drawing of the pair`,
      text: `drawing ${(index % each) + 1} of character ${Math.floor(index / each) + 1}, D = ${show(pair.distance)}`,
      set: (u, v) => change(model, { [name]: closest(others, at, [u, v]) }),
      go: (dx, dy) => change(model, { [name]: onwards(others, at, index, dx, dy) }),
    });
  });
}

const closest = (among, at, place) =>
  among.reduce((best, i) => (euclideanDistance(at[i], place) < euclideanDistance(at[best], place) ? i : best));

// The next drawing in the direction of an arrow key: near, and not far off to the side.
function onwards(among, at, from, dx, dy) {
  let best = Infinity, found = from;
  for (const i of among) {
    const [u, v] = minus(at[i], at[from]), ahead = u * dx + v * dy, aside = Math.abs(u * dy) + Math.abs(v * dx);
    if (ahead > 0 && ahead + 2 * aside < best) { best = ahead + 2 * aside; found = i; }
  }
  return found;
}

// The pair's pictures, beside each other or, on a phone, beneath each other.
function drawPictures(stage, x, y, width, model, { first, second, each }, pair) {
  const gap = stage.narrow ? 62 : 100, size = stage.narrow ? 64 : Math.min(92, (width - gap) / 2);
  [first, second].forEach((index, i) => {
    const [left, top] = stage.narrow ? [x, y + i * (size + gap)] : [x + i * (size + gap), y], image = imageOf(model, index);
    svg("rect", { x: left, y: top, width: size, height: size, class: "line grey thin" }, stage.back);
    stage.picture(image, Math.sqrt(image.length), left, top, size);
    stage.text(left + size / 2 - 12, top + size + 16, `f${"₁₂"[i]}`, { class: "title" });
    signs(stage.back, Math.floor(index / each), "right", [[left + size / 2 + 14, top + size + 11]]);
  });
  const [middle, height] = stage.narrow ? [x, y + size + 34] : [x + size + gap / 2, y + size / 2 - 4];
  const between = stage.narrow ? {} : { "text-anchor": "middle" };
  stage.text(middle, height, `D = ${show(pair.distance)}`, between);
  stage.text(middle, height + 17, FATES[pair.region], between);
  return size;
}

// Which character has which sign, and what a sign means.
function drawSigns(stage, x, top, width, model, { each, ways, support, shots }) {
  const room = Math.min(stage.narrow ? 44 : 56, width / ways);
  stage.text(x, top + 8, "a support drawing of each character:");
  for (let way = 0; way < ways; way += 1) {
    const left = x + way * room, image = imageOf(model, way * each + support);
    stage.picture(image, Math.sqrt(image.length), left, top + 16, room - 8);
    signs(stage.back, way, "support", [[left + (room - 8) / 2, top + room + 22]]);
  }
  [["support", "support"], ["right", "correctly named"], ["wrong", "misread"], ["mean", "mean of the support"]]
    .filter(([look]) => look !== "mean" || shots > 1)
    .forEach(([look, text], i) => {
      const [left, down] = stage.narrow ? [x + (i % 2) * 150, 20 * Math.floor(i / 2)] : [x, 22 * i];
      signs(stage.back, 0, look, [[left + 9, top + room + 48 + down]]);
      stage.text(left + 26, top + room + 52 + down, text);
    });
}

function draw(stage, model) {
  const state = stateOf(model), { at, each, first, second, measure, margin } = state;
  if (!at.flat().every(Number.isFinite)) return "Diverged: the network's features are not numbers. Meta-train it anew with another margin.";
  const different = Math.floor(first / each) !== Math.floor(second / each);
  const pair = pairOf(at[first], at[second], different, margin, measure);
  const [bySupport, byMean] = answersOf(model, state);
  const side = stage.narrow ? Math.min(stage.width - 106, 290) : Math.min(stage.height, stage.width - 300);
  drawPlane(stage, { x: 0, y: 0, width: side, height: side }, model, state, pair, bySupport.answers);
  const [x, y, width] = stage.narrow ? [side + 4, 26, 100] : [side + 20, 26, stage.width - side - 24];
  const size = drawPictures(stage, x, y, width, model, state, pair);
  if (stage.narrow) drawSigns(stage, 12, side + 8, stage.width - 24, model, state);
  else drawSigns(stage, x, y + size + 36, width, model, state);
  const percent = (share) => `${(100 * share).toFixed(0)}\u00a0%`;
  const said = `Accuracy on the others: nearest support ${percent(bySupport.share)}, nearest mean ${percent(byMean.share)}; ` +
    `over all ${each} choices of the support ${percent(bySupport.overall)} and ${percent(byMean.overall)}.`;
  return `${different ? "Different characters, Y = 1" : "The same character, Y = 0"}: ${sayPair(pair, margin, measure)} ${said}`;
}

const MARGINS = [0.1, 0.125, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.8, 1, 1.25, 1.6, 2, 2.5, 3.2];

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Drag f₁ or f₂ to other drawings: of one character, of two that are near, of two beyond the margin. Then change the network under the same pair, and add shots.",
    height: (width) => (width < 560 ? Math.min(width - 106, 290) + 134 : Math.min(460, Math.max(340, width - 300))),
    words: 330,
    controls: [
      slider("margin", "margin m", { values: MARGINS }),
      choice("measure", "distance", [["Euclidean", "Euclidean"], ["cosine", "cosine, 1 − cos"]]),
      slider("shots", "shots K", { min: 1, max: 10 }),
      slider("ways", "ways N", { min: 2, max: 6 }),
      button("Other support drawings", (model) => change(model, { support: (whole(model.get("support"), model.get("drawings")) + model.get("shots")) % model.get("drawings") })),
      training("Meta-train anew"),
    ],
    draw,
  }),
};
