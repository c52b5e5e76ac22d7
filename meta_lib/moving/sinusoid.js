// The network 1-40-40-1 learns a wave from a few points, by inner steps from three starts.
// Its 1761 weights lie in one array, in torch's order: each layer's weights, then its biases.

const WIDE = 40, B1 = WIDE, W2 = 2 * WIDE, B2 = W2 + WIDE * WIDE, W3 = B2 + WIDE, B3 = W3 + WIDE, SIZE = B3 + 1;
const GRID = Array.from({ length: 101 }, (_, i) => -5 + i / 10);
const MOST = 20;

// What the network makes of x; the hidden layers' values stay in `one` and `two`.
// Written so that what is not a number stays so.
function heightAt(theta, x, one, two) {
  for (let i = 0; i < WIDE; i += 1) {
    const sum = theta[i] * x + theta[B1 + i];
    one[i] = sum <= 0 ? 0 : sum;
  }
  let y = theta[B3];
  for (let j = 0; j < WIDE; j += 1) {
    let sum = theta[B2 + j];
    for (let i = 0, at = W2 + j * WIDE; i < WIDE; i += 1) sum += theta[at + i] * one[i];
    two[j] = sum <= 0 ? 0 : sum;
    y += theta[W3 + j] * two[j];
  }
  return y;
}

export function predict(theta, xs) {
  const one = new Float64Array(WIDE), two = new Float64Array(WIDE);
  return Array.from(xs, (x) => heightAt(theta, x, one, two));
}

// The mean squared error on the points [x, y], and its gradient.
function slopes(theta, points) {
  const gradient = new Float64Array(SIZE), n = points.length;
  const one = new Float64Array(WIDE), two = new Float64Array(WIDE), back = new Float64Array(WIDE);
  let loss = 0;
  for (const [x, y] of points) {
    const error = heightAt(theta, x, one, two) - y, slope = (2 * error) / n;
    loss += (error * error) / n;
    gradient[B3] += slope;
    back.fill(0);
    for (let j = 0; j < WIDE; j += 1) {
      if (two[j] === 0) continue;
      gradient[W3 + j] += slope * two[j];
      const pull = slope * theta[W3 + j];
      gradient[B2 + j] += pull;
      for (let i = 0, at = W2 + j * WIDE; i < WIDE; i += 1) {
        gradient[at + i] += pull * one[i];
        back[i] += pull * theta[at + i];
      }
    }
    for (let i = 0; i < WIDE; i += 1) {
      if (one[i] === 0) continue;
      gradient[i] += back[i] * x;
      gradient[B1 + i] += back[i];
    }
  }
  return { loss, gradient };
}

// θ after each inner step, from 0 to `steps`, and the support loss there; goes on from a shorter walk.
export function walk(phi, support, alpha, steps, known = null) {
  const path = known ?? { thetas: [Float64Array.from(phi)], losses: [], gradient: null };
  for (let step = path.losses.length; step <= steps; step += 1) {
    if (step) path.thetas.push(path.thetas[step - 1].map((weight, i) => weight - alpha * path.gradient[i]));
    const { loss, gradient } = slopes(path.thetas[step], support);
    path.losses.push(loss);
    path.gradient = gradient;
  }
  return path;
}

// For the tests: the weights, the support losses and the curve after so many steps.
export function adapt(phi, support, alpha, steps, xs) {
  const { thetas, losses } = walk(phi, support, alpha, steps);
  return { theta: Array.from(thetas[steps]), losses, curve: predict(thetas[steps], xs) };
}

// What the reader has chosen, made sound: an address may say anything.

const within = (value, low, high) => Math.min(Math.max(value, low), high);
const numbers = (list, count) => Array.isArray(list) && list.length === count && list.every(Number.isFinite);
const stepsOf = (model) => Math.round(within(model.get("steps"), 0, MOST));

function waveOf(model) {
  const wave = model.get("wave");
  return numbers(wave, 2) ? wave : model.get("start").wave;
}

function supportOf(model) {
  const given = model.get("support"), sound = Array.isArray(given) ? given.filter((point) => numbers(point, 2)) : [];
  const points = sound.length ? sound.slice(0, MOST) : model.get("start").support;
  return points.map(([x, y]) => [within(x, -5, 5), within(y, ...HEIGHTS)]);
}

// The number of the start of MAML: β by order.
function chosen(model) {
  const far = model.get("betas").map((beta) => Math.abs(Math.log(beta / model.get("beta"))));
  return 2 * Math.max(0, far.indexOf(Math.min(...far))) + (model.get("order") === "first" ? 1 : 0);
}

// Tasks and points

const seedOf = ([amplitude, phase]) => Math.round(1e4 * (amplitude + 10 * phase));
const height = ([amplitude, phase], x) => amplitude * Math.sin(x - phase);
const rounded = (value) => Number(value.toFixed(2));

// Where a wave is measured: the chapter's own has its points, any other has those of its seed.
function places(model, wave) {
  if (String(wave) === String(model.get("start").wave)) return model.get("pool");
  const { uniform } = random(seedOf(wave));
  return Array.from({ length: MOST }, () => rounded(10 * uniform() - 5));
}

function measured(model, wave, from, to) {
  return places(model, wave).slice(from, to).map((x) => [x, Number(height(wave, x).toFixed(4))]);
}

function newTask(model) {
  const { uniform } = random(seedOf(waveOf(model)) + 1);
  const wave = [0.1 + 4.9 * uniform(), Math.PI * uniform()].map(rounded);
  change(model, { wave, support: measured(model, wave, 0, supportOf(model).length) });
}

// The slider for the shots moves the length of the list: fewer drops the last, more measures anew.
function shots(panel, model, id) {
  const length = {
    get: () => supportOf(model).length,
    set: (_, count) => {
      const points = supportOf(model);
      model.set("support", [...points.slice(0, count), ...measured(model, waveOf(model), points.length, count)]);
    },
    save_changes: () => model.save_changes(),
  };
  return slider("shots", "shots", { min: 1, max: MOST })(panel, length, id);
}

// The drawing

const STARTS = [["MAML", "from MAML's φ"], ["pre-trained", "pre-trained"], ["random start", "random start"]]
  .map(([name, title]) => ({ name, title, kind: METHODS[name] }));
const HEIGHTS = [-7, 8.5];
const lossesOf = (model) => (model.get("controls").includes("alpha") ? [1e-3, 1e4] : [1e-2, 1e2]);

// Where β is chosen, MAML's start stands beside its meta-training; else beside the other starts.
const ofBeta = (model) => model.get("controls").includes("beta");
const heightOf = (model, width) => (width < 560 ? 470 : ofBeta(model) ? 320 : 560);

function boxesOf(stage, model) {
  if (ofBeta(model)) return stage.boxes([1, 1]);
  const { width, height, narrow } = stage;
  const box = (x, y, w, h) => ({ x: x * width, y: y * height, width: w * width, height: h * height });
  return narrow
    ? [box(0, 0, 1, 0.42), box(0, 0.42, 0.5, 0.27), box(0.5, 0.42, 0.5, 0.27), box(0, 0.7, 1, 0.3)]
    : [box(0, 0, 0.5, 0.58), box(0.5, 0, 0.25, 0.58), box(0.75, 0, 0.25, 0.58), box(0, 0.6, 1, 0.4)];
}

// Keeps the walks and curves of the settings at hand, so that only what has changed is computed.
function memory() {
  const walks = [], curves = new WeakMap(), read = {};
  const bytes = (model, name) => {
    if (read[name]?.view !== model.get(name)) read[name] = { view: model.get(name), values: floats(model, name) };
    return read[name].values;
  };
  const start = (model, number) => {
    const count = bytes(model, "starts").length / SIZE, at = [chosen(model), count - 2, count - 1][number];
    return bytes(model, "starts").subarray(at * SIZE, (at + 1) * SIZE);
  };
  return {
    bytes,
    walk(model, number, support) {
      const phi = start(model, number), alpha = model.get("alpha");
      const key = `${phi.byteOffset} ${alpha} ${support}`, last = walks[number];
      const known = last?.key === key && last.of === phi.buffer ? last.path : null;
      walks[number] = { key, of: phi.buffer, path: walk(phi, support, alpha, stepsOf(model), known) };
      return walks[number].path;
    },
    curve(theta) {
      if (!curves.has(theta)) curves.set(theta, predict(theta, GRID));
      return curves.get(theta);
    },
  };
}

function draw(stage, model, kept) {
  const steps = stepsOf(model), support = supportOf(model), wave = waveOf(model);
  const boxes = boxesOf(stage, model), truth = GRID.map((x) => height(wave, x));
  const error = (curve) => curve.reduce((sum, y, i) => sum + (y - truth[i]) ** 2, 0) / GRID.length;
  const results = (ofBeta(model) ? STARTS.slice(0, 1) : STARTS).map((start, i) => {
    const { thetas, losses } = kept.walk(model, i, support);
    const before = kept.curve(thetas[0]), last = kept.curve(thetas[steps]);
    const names = i ? [] : [["grey", "the wave"], ["c1 thin", "before"], ["c1 thick", "after the steps"]];
    const axes = stage.axes(boxes[i], { x: [-5, 5], y: HEIGHTS, title: start.title, xlabel: "x", ylabel: i && stage.narrow ? "" : "y", names });
    axes.line(GRID, truth, "grey");
    axes.line(GRID, before, `${start.kind.slice(0, 2)} thin`);
    axes.line(GRID, last, start.kind);
    if (diverged(losses.slice(0, steps + 1))) {
      axes.text(0, HEIGHTS[0] + 1, "diverged", { "text-anchor": "middle", class: "title halo" });
    }
    if (i) axes.dots(support.map(([x]) => x), support.map(([, y]) => y), "c5", 4);
    return { ...start, axes, losses: losses.slice(0, steps + 1), errors: [error(before), error(last)] };
  });
  const [{ axes }] = results;
  move(stage, model, axes, support);
  if (ofBeta(model)) metaTraining(stage, boxes[1], model, kept);
  else supportLosses(stage, boxes[3], results, steps, lossesOf(model));
  return said(model, results, steps);
}

const after = (steps) => `after ${steps} step${steps === 1 ? "" : "s"}`;

function move(stage, model, axes, support) {
  const put = (i, x, y) => {
    const points = supportOf(model);
    change(model, { support: [...points.slice(0, i), [rounded(x), rounded(y)], ...points.slice(i + 1)] });
  };
  stage.clicks(axes, (x, y) => { if (supportOf(model).length < MOST) put(MOST, x, y); });
  support.forEach(([x, y], i) => stage.handle(`point ${i}`, axes, {
    x, y, kind: "c5", step: [0.1, 0.1], label: `support point ${i + 1}`, set: (h, v) => put(i, h, v),
  }));
}

function supportLosses(stage, box, results, steps, range) {
  const axes = stage.axes(box, {
    x: [0, Math.max(1, steps)], y: range, logy: true, xlabel: "inner steps", ylabel: "support loss",
    title: "the loss that the steps lower", names: results.map(({ kind, name }) => [kind, name.split(" ")[0]]),
  });
  const shown = (loss) => (Number.isNaN(loss) ? range[1] : within(loss, ...range));
  for (const { losses, kind } of results) {
    axes.line(losses.map((_, i) => i), losses.map(shown), kind);
    axes.dots(losses.map((_, i) => i), losses.map(shown), kind.slice(0, 2), 3);
  }
}

function metaTraining(stage, box, model, kept) {
  const betas = model.get("betas"), all = kept.bytes(model, "curves"), length = all.length / betas.length / 2;
  const front = chosen(model);
  const lines = betas.map((beta, i) => {
    const at = 2 * i + (front % 2), curve = all.subarray(at * length, (at + 1) * length);
    return { curve, name: [at === front ? "c1 thick" : `grey ${["dotted", "", "dashed"][i % 3]}`, `β = ${beta}`] };
  });
  const axes = stage.axes(box, {
    x: [0, 10 * length], y: [0.5, Math.max(10, ...all.filter(Number.isFinite))], logy: true, xlabel: "iteration", ylabel: "meta-loss",
    title: `meta-training, ${model.get("order")} order`, names: lines.map(({ name }) => name),
  });
  for (const { curve, name: [kind] } of lines) axes.line(Array.from(curve, (_, block) => 10 * block + 5), curve, kind);
}

// A walk has diverged if the loss which it should lower has grown.
function diverged(losses) {
  const [first] = losses, last = losses.at(-1), most = Math.max(...losses);
  return !(last <= 2 * first + 0.01) || (last > first && most > 4 * first);
}

function said(model, results, steps) {
  const lost = results.filter(({ losses }) => diverged(losses)), all = lost.map(({ name }) => name).join(", ");
  const [{ losses: some } = {}] = lost;
  const why = lost.length ? [`${all} diverged: with α = ${show(model.get("alpha"))} the steps overshoot, and instead of falling ` +
    `the support loss goes ${some.slice(0, 3).map((loss) => show(loss, 2)).join(" → ")}${some.length > 3 ? " …" : ""}.`] : [];
  const errors = results.map((one) => `${one.name} ${show(one.errors[0])} → ${show(one.errors[1])}`);
  return [...why, `Mean squared error on the wave, before → ${after(steps)}: ${errors.join(", ")}.`].join(" ");
}

// What can be set, with its button, and what there is to do: a figure shows one idea's.
const CONTROLS = {
  alpha: () => [slider("alpha", "α", { min: 0.0005, max: 0.5, log: true, step: 20 })],
  steps: () => [slider("steps", "inner steps", { min: 0, max: MOST }), player("steps", "Play the steps", () => MOST)],
  shots: () => [shots, button("New task", newTask)],
  beta: (model) => [slider("beta", "β", { values: model.get("betas"), format: String })],
  order: () => [choice("order", "meta-gradient", [["second", "second order"], ["first", "first order"]])],
};
const HINTS = {
  beta: "Choose a β. On the left is the start that meta-training with it has found, on the right the meta-loss on the way there.",
  alpha: "Make α larger, until the walks diverge.",
  shots: "Drag a support point, or click into the first picture to add one. Then play the steps.",
};

export default {
  render: ({ model, el }) => {
    const kept = memory(), names = model.get("controls"), parts = names.map((name) => CONTROLS[name](model));
    return figure(model, el, {
      hint: Object.entries(HINTS).find(([name]) => names.includes(name))?.[1] ?? "",
      height: (width) => heightOf(model, width),
      words: ofBeta(model) ? 210 : 330,
      controls: [...parts.map(([setting]) => setting), ...parts.flatMap(([, ...buttons]) => buttons)],
      draw: (stage, state) => draw(stage, state, kept),
    });
  },
};
