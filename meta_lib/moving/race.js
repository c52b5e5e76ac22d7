// A race from one start: the chapter's learned optimizer and its hand-made rivals.

const STEPS = 100;
const KINDS = Object.fromEntries(["LSTM", "SGD", "momentum", "RMSprop", "Adam"].map((name) => [name, METHODS[name]]));
const RATE = { SGD: "alpha_sgd", momentum: "alpha_momentum", RMSprop: "alpha_rmsprop", Adam: "alpha_adam" };
const GATES = [["input", "c4"], ["forget", "c3 dashed"], ["output", "c5 dotted"]];
const OF_TORCH = [0, 1, 3]; // third stands the candidate, which is no gate
const HEIGHTS = { bowl: [1e-12, 1e3], valley: [1e-12, 1e3], ripples: [1e-3, 1e2], digits: [1e-6, 1e2] };
const PLANE = { x: [-3, 3], y: [-2.5, 2.5] };
const SIZES = { x: [0.01, 10], y: [0.01, 10], logx: true, logy: true };
const WATCHED = { digits: [[28, SECOND], ["a weight of layer 1", "a weight of layer 2"]] };
const watched = (surface) => WATCHED[surface] ?? [[0, 1], ["θ₁", "θ₂"]];
const within = (value, [low, high]) => Math.min(Math.max(value, low), high);
const meanSquare = (theta, from, to) => {
  let sum = 0;
  for (let i = from; i < to; i += 1) sum += theta[i] ** 2;
  return Math.sqrt(sum / (to - from));
};
const layerSizes = (theta) => [meanSquare(theta, 0, PIXELS * UNITS), meanSquare(theta, SECOND, SECOND + UNITS * CLASSES)];

const inksOf = (model) => {
  const { buffer, byteOffset, byteLength } = model.get("images");
  return new Uint8Array(buffer, byteOffset, byteLength);
};

// The network's first weights, each layer at the size that the reader has chosen.
function startOf(model, at) {
  if (model.get("surface") !== "digits") return Float64Array.from(at);
  const theta = Float64Array.from(floats(model, "weights")), [one, two] = layerSizes(theta);
  return theta.map((w, i) => (i < PIXELS * UNITS ? (w * at[0]) / one : i >= SECOND && i < SECOND + UNITS * CLASSES ? (w * at[1]) / two : w));
}

// What runs and has run: a lane for each entry, made anew where its settings have changed.
function lanesOf(model, lanes, at) {
  const surface = model.get("surface"), digits = surface === "digits";
  for (const name of Object.keys(KINDS)) {
    const alpha = name === "LSTM" ? 1 : model.get(RATE[name]);
    const key = JSON.stringify([surface, at, alpha]);
    if (!(alpha > 0)) lanes.delete(name);
    else if (lanes.get(name)?.key !== key) {
      const lane = { key, losses: [], path: [], gates: Object.fromEntries(watched(surface)[0].map((i) => [i, []])) };
      const phi = name === "LSTM" && floats(model, "phi");
      const rule = ruleOf({ name, alpha, phi, hidden: model.get("hidden"), scale: model.get("scale") }, lane);
      const problem = digits ? reading(inksOf(model)) : SURFACES[surface];
      lane.work = optimise(lane, problem, rule, startOf(model, at), STEPS, digits ? layerSizes : Array.from);
      lanes.set(name, lane);
    }
  }
}

// Let all lanes come on in turn for a few milliseconds; returns whether there is work left.
function goOn(lanes, until) {
  const open = [...lanes.values()].filter((lane) => lane.work);
  while (open.length && performance.now() < until) {
    const lane = open.shift();
    if (lane.work.next().done) lane.work = null;
    else open.push(lane);
  }
  return open.length > 0;
}

function draw(stage, model, lanes) {
  const surface = model.get("surface"), digits = surface === "digits", step = model.get("step");
  const name = digits ? "sizes" : "theta", of = digits ? SIZES : PLANE;
  const at = [within(model.get(name)[0], of.x), within(model.get(name)[1], of.y)];
  lanesOf(model, lanes, at);
  const open = goOn(lanes, performance.now() + (digits ? 1 : 4));
  const entries = Object.keys(KINDS).filter((one) => lanes.has(one)).map((one) => [one, lanes.get(one)]);
  const top = names(stage, entries.map(([one]) => [KINDS[one], one]));
  const [plane, losses, curves, bars] = places(stage, top);
  const words = digits ? { xlabel: "size of the weights, layer 1", ylabel: stage.narrow ? "layer 2" : "size of the weights, layer 2" } : { xlabel: "θ₁", ylabel: "θ₂" };
  const map = stage.axes(plane, { ...of, ...words });
  if (!digits) contours(map, surface);
  stage.clicks(map, (...to) => change(model, { [name]: to }));
  const side = stage.axes(losses, { x: [0, STEPS], y: HEIGHTS[surface], logy: true, xlabel: "step", ylabel: "loss" });
  for (const [one, lane] of entries) {
    const floor = lane.losses.map((loss) => Math.max(loss, side.y[0])), past = floor.slice(0, step + 1);
    side.line(floor.map((_, t) => t), floor, `${KINDS[one]} thin faint`);
    side.line(past.map((_, t) => t), past, KINDS[one]);
    const path = lane.path.slice(0, step + 1), here = path.at(-1) ?? at;
    map.line(path.map((p) => p[0]), path.map((p) => p[1]), KINDS[one]);
    map.dots([here[0]], [here[1]], KINDS[one].slice(0, 4).trim(), one === "LSTM" ? 6 : 5);
  }
  side.line([step, step], side.y, "grey thin");
  stage.handle(name, map, {
    x: at[0], y: at[1], label: digits ? "the size of the network's first weights" : "θ₀, the common start", kind: "grey", radius: 8,
    step: digits ? at.map((value) => value / 8) : [0.1, 0.1], set: (...to) => change(model, { [name]: to }),
    text: `${show(at[0])} and ${show(at[1])}`,
  });
  const inside = look(stage, model, lanes.get("LSTM"), curves, bars);
  const told = entries.map(([one, { losses: passed, work }]) => {
    const last = passed.length - 1, loss = passed[Math.min(step, last)];
    if (!work && last < STEPS && step >= last) return diverged(model, one, last);
    return last < step ? `${one} is at step ${last}` : `${one} ${show(loss)}`;
  });
  return { open, text: `Loss at step ${step}: ${told.join(", ")}. ${inside}` };
}

function diverged(model, name, step) {
  const why = RATE[name] ? ` (α = ${show(model.get(RATE[name]))} overshoots)` : "";
  return `${name} diverged at step ${step}${why}`;
}

function places(stage, top) {
  const { width } = stage;
  if (stage.narrow) {
    const [upper, lower] = [190, 150], third = stage.height - top - upper - lower;
    return [[0, 0, width, upper], [0, upper, width, lower], [0, upper + lower, width / 2, third], [width / 2, upper + lower, width / 2, third]]
      .map(([x, y, wide, height]) => ({ x, y: top + y, width: wide, height }));
  }
  const half = width / 2, upper = 300, lower = stage.height - top - upper;
  return [[0, 0, upper], [half, 0, upper], [0, upper, lower], [half, upper, lower]]
    .map(([x, y, height]) => ({ x, y: top + y, width: half, height }));
}

// Who races, in rows above the drawing; all could, and have their room.
function names(stage, entries) {
  const rows = (of) => inRows(stage, of, stage.width - 8), all = rows(Object.entries(KINDS).map(([name, kind]) => [kind, name]));
  rows(entries).forEach((row, i) => row.forEach(([x, entry]) => legend(stage, 8 + x, 12 + 18 * i, [entry])));
  return 4 + 18 * all.length;
}

// Inside the learned rule: its gates for one coordinate, as means over the steps, and one by one.
function look(stage, model, lane, curves, bars) {
  const [indices, labels] = watched(model.get("surface")), which = model.get("coordinate"), layer = model.get("layer");
  const all = lane.gates[indices[which]], hidden = model.get("hidden");
  const now = Math.min(Math.max(model.get("step"), 1), all.length);
  const axes = stage.axes(curves, { x: [0, STEPS], y: [0, 1], xlabel: "step", ylabel: "mean of the units", names: stage.narrow ? [] : GATES.map(([name, kind]) => [kind, name]) });
  const means = GATES.map(([name, kind], k) => {
    const from = OF_TORCH[k] * hidden;
    const mean = all.map((z) => z[layer - 1].subarray(from, from + hidden).reduce((a, b) => a + b) / hidden);
    axes.line(mean.map((_, t) => t + 1), mean, kind);
    const { x, y, width, height } = { ...bars, x: bars.x + 52, width: bars.width - 64, height: (bars.height - 34) / 3 };
    const base = y + 20 + (k + 1) * height - 6, high = height - 10, wide = width / hidden;
    svg("line", { x1: x, x2: x + width, y1: base, y2: base, class: "line grey thin" }, stage.back);
    stage.text(x - 6, base - high / 2 + 4, name, { "text-anchor": "end" });
    (all[now - 1]?.[layer - 1].subarray(from, from + hidden) ?? []).forEach((value, unit) => {
      const size = { x: x + (unit + 0.15) * wide, width: 0.7 * wide, y: base - high * value, height: high * value };
      svg("rect", { ...size, class: `dot ${kind.slice(0, 2)}` }, stage.back);
    });
    return `${name} ${all.length ? show(mean[now - 1], 2) : "not yet known"}`;
  });
  axes.line([now, now], [0, 1], "grey thin");
  stage.text(bars.x + 52 + (bars.width - 64) / 2, bars.y + 12, stage.narrow ? `${hidden} units, step ${now}` : `the ${hidden} units' gates at step ${now}, from 0 to 1`, { "text-anchor": "middle" });
  return `Gates in layer ${layer} of the LSTM for ${labels[which]}, mean of ${hidden} units at step ${now}: ${means.join(", ")}.`;
}

const LEVELS = [0.03, 0.1, 0.3, 1, 2, 3, 4, 6, 10, 20, 40, 80];
const drawn = new Map();

// Lines of equal loss, found cell by cell of a grid, once for each surface and size.
function contours(axes, surface) {
  const { x, y, width, height } = axes.inner, key = [surface, x, y, width, height].join();
  if (!drawn.has(key)) {
    const [across, down] = [90, 70], slope = [0, 0];
    const xs = Array.from({ length: across + 1 }, (_, i) => axes.x[0] + ((axes.x[1] - axes.x[0]) * i) / across);
    const ys = Array.from({ length: down + 1 }, (_, i) => axes.y[0] + ((axes.y[1] - axes.y[0]) * i) / down);
    const loss = ys.map((v) => xs.map((u) => SURFACES[surface]([u, v], slope)));
    let path = "";
    for (const level of LEVELS) {
      for (let i = 0; i < down; i += 1) {
        for (let j = 0; j < across; j += 1) {
          const corners = [[j, i], [j + 1, i], [j + 1, i + 1], [j, i + 1]].map(([a, b]) => [xs[a], ys[b], loss[b][a] - level]);
          const cuts = corners.flatMap((p, k) => {
            const q = corners[(k + 1) % 4], part = p[2] / (p[2] - q[2]);
            return p[2] < 0 === q[2] < 0 ? [] : [`${axes.px(p[0] + part * (q[0] - p[0])).toFixed(1)} ${axes.py(p[1] + part * (q[1] - p[1])).toFixed(1)}`];
          });
          for (let k = 0; k + 1 < cuts.length; k += 2) path += `M${cuts[k]}L${cuts[k + 1]}`;
        }
      }
    }
    if (drawn.size > 20) drawn.clear();
    drawn.set(key, path);
  }
  svg("path", { d: drawn.get(key), class: "line grey thin faint" }, axes.layer);
}

const RATES = [0, ...logStops(1e-3, 3.16, 8)];
const rates = Object.entries(RATE).map(([name, trait]) =>
  slider(trait, `α ${name}`, { values: RATES, format: (alpha) => (alpha ? show(alpha) : "out") }));

export default {
  render: ({ model, el }) => {
    const lanes = new Map();
    let timer = 0, shown = 0, redraw;
    // What one drawing leaves undone comes on in slices between the reader's moves.
    const work = () => {
      const open = goOn(lanes, performance.now() + 4);
      timer = open ? setTimeout(work) : 0;
      if (!open || performance.now() - shown > 60) redraw();
    };
    return figure(model, el, {
      hint: "Click where the race is to start, or move the grey handle with the arrow keys. Let them loose on the ripples, which the LSTM was not trained for, and on a network that learns to read 200 digits. Under “More settings” raise a rival's α until it diverges; at the left end it stays out.",
      height: (width) => (width < 560 ? 516 : 530),
      words: 420,
      controls: [
        choice("surface", "problem", [["bowl", "bowl"], ["valley", "bent valley"], ["ripples", "ripples"], ["digits", "digits"]]),
        slider("step", "step", { min: 0, max: STEPS }),
        player("step", "Race", () => STEPS, 60),
        (panel, of, id, changed) => { redraw = changed; },
      ],
      more: [
        ...rates,
        choice("coordinate", "gates for", [[0, "coordinate 1"], [1, "coordinate 2"]]),
        choice("layer", "of the LSTM's", [[1, "layer 1"], [2, "layer 2"]]),
      ],
      draw: (stage) => {
        const { open, text } = draw(stage, model, lanes);
        shown = performance.now();
        if (open && !timer) timer = setTimeout(work);
        return text;
      },
    });
  },
};
