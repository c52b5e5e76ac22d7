// MAML learns waves: a training that the reader starts, and the wave that its φ is put to.

const waves = learnMaml();
export { random };
export const { firstWeights, sample, metaGradient } = waves;

// For the tests: the weights and the curve after a whole training.
export function trained(settings, iterations = settings.iterations) {
  const state = waves.start(settings);
  while (state.done < iterations && !state.failed) waves.iterate(state);
  return { phi: Array.from(state.phi), curve: state.curve };
}

const ALGORITHMS = [["MAML", "MAML"], ["first order", "MAML, first order"], ["ANIL", "ANIL"], ["Reptile", "Reptile"]];
const ITERATIONS = [100, 300, 1000, 3000, 10000];
const GRID = Float64Array.from({ length: 101 }, (_, i) => -5 + i / 10);
const HEIGHTS = [-6, 6], LOSSES = [0.2, 100], MOST = 20;
// Where waves are measured: the first points are used, as many as there are shots.
const PLACES = (({ uniform }) => Array.from({ length: MOST }, () => -5 + 10 * uniform()))(random(5));

// What the reader has chosen, made sound: an address may say anything.
function settingsOf(model) {
  const whole = (name, low, high) => Math.round(within(model.get(name), low, high)) || low;
  return {
    alpha: within(model.get("alpha"), 1e-4, 10), beta: within(model.get("beta"), 1e-6, 10), algorithm: model.get("algorithm"),
    shots: whole("shots", 1, MOST), steps: whole("steps", 1, MOST), iterations: whole("iterations", 1, ITERATIONS.at(-1)), seed: whole("seed", 0, 1e6),
  };
}

function waveOf(model) {
  const [amplitude, phase] = model.get("wave");
  return [within(amplitude, 0.1, 5) || 1, within(phase, 0, Math.PI) || 0];
}

const height = ([amplitude, phase], x) => amplitude * Math.sin(x - phase);

// The drawing

function fit(phi, settings, wave) {
  const { steps, alpha, shots, algorithm } = settings, xs = Float64Array.from(PLACES.slice(0, shots));
  const ys = xs.map((x) => height(wave, x)), desk = waves.desk(steps, MOST);
  const losses = waves.innerSteps(phi, xs, ys, alpha, algorithm === "ANIL" ? waves.W3 : 0, desk);
  const curve = (theta) => Array.from(waves.pass(theta, GRID, waves.trace(GRID.length)).subarray(0, GRID.length));
  return { xs, ys, losses, before: curve(phi), after: curve(desk.thetas[steps]) };
}

const steps = (count) => `${count} step${count === 1 ? "" : "s"}`;
const named = ({ algorithm, alpha, beta, shots, steps: count }) => `${algorithm}, α = ${show(alpha)}, β = ${show(beta)}, ${shots} shot${shots === 1 ? "" : "s"}, ${steps(count)}`;

function draw(stage, model, now) {
  const wave = waveOf(model), { settings, done, curve, before } = now, own = fit(now.phi, settings, wave);
  const [left, right] = stage.boxes([1, 1]);
  const axes = stage.axes(left, {
    x: [-5, 5], y: HEIGHTS, xlabel: "x", title: `your wave, ${steps(settings.steps)} from φ`,
    names: [["grey", "your wave"], ["c1 thin", "at φ, before the steps"], ["c1 thick", "after them"], ["c2 dashed", "the run before"]],
  });
  const truth = Array.from(GRID, (x) => height(wave, x)), xs = Array.from(GRID);
  axes.line(xs, truth, "grey");
  if (before) axes.line(xs, fit(before.phi, before.settings, wave).after, "c2 dashed");
  axes.line(xs, own.before, "c1 thin");
  axes.line(xs, own.after, "c1 thick");
  axes.dots(Array.from(own.xs), Array.from(own.ys), "c5", 4);
  const crest = [wave[1] + Math.PI / 2, wave[0]];
  stage.handle("crest", axes, {
    x: crest[0], y: crest[1], kind: "c4", step: [0.1, 0.1], label: "the crest of your wave", text: `amplitude ${show(wave[0])}, phase ${show(wave[1])}`,
    set: (x, y) => change(model, { wave: [within(y, 0.1, 5), within(x - Math.PI / 2, 0, Math.PI)].map((value) => Number(value.toFixed(2))) }),
  });
  const losses = stage.axes(right, {
    x: [0, 1.04 * settings.iterations], y: LOSSES, logy: true, xlabel: "iteration", ylabel: "meta-loss", title: "error on the queries, after the steps",
    names: [["c1 thick", "this run"], ["c2 dashed", "the run before"]],
  });
  const line = (values, kind) => {
    const shown = values.map((value) => (Number.isNaN(value) ? LOSSES[1] : within(value, ...LOSSES)));
    losses.line(shown.map((_, block) => waves.BLOCK * (block + 0.5)), shown, kind);
  };
  if (before) line(before.curve, "c2 dashed");
  line(curve, "c1 thick");
  return said(model, now, own, truth);
}

const meanSquare = (curve, truth) => curve.reduce((sum, y, i) => sum + (y - truth[i]) ** 2, 0) / truth.length;

function said(model, { settings, done, failed, curve, unseen, before }, own, truth) {
  const { iterations, beta, alpha, algorithm } = settings, words = [];
  if (failed) words.push(`Lost in iteration ${failed}: the meta-loss or its gradient is no longer a number.`);
  const last = own.losses.at(-1) ?? 0;
  if (own.losses.length > 1 && !(last <= 2 * own.losses[0])) {
    words.push(`With α = ${show(alpha)} the inner steps overshoot: the support loss goes from ${show(own.losses[0], 2)} to ${show(last, 2)}.`);
  }
  if (beta > 1 / Math.sqrt(40)) {
    words.push(`Adam's first iteration moves each weight by β = ${show(beta)}, and the middle layer's weights start within ±0.158: what they were is gone.`);
  }
  const mean = curve.length ? `: meta-loss ${show(curve.at(-1))}, the mean of ten` : "";
  words.push(done ? `Iteration ${done} of ${iterations} of ${algorithm}${mean}.` : `φ is random: ${algorithm} has learned nothing yet.`);
  words.push(`Mean squared error on your wave: ${show(meanSquare(own.before, truth))} at φ, ${show(meanSquare(own.after, truth))} after ${steps(settings.steps)}.`);
  if (done) words.push(`On 25 other waves, never trained on: ${show(unseen)} after ${steps(settings.steps)}.`);
  if (before) words.push(`The run before (${named(before.settings)}): ${show(before.unseen)}.`);
  return words.join(" ");
}

export default {
  render: ({ model, el }) => {
    const follow = follower(model, el, {
      learner: learnMaml, needed: [random, adamStep], settingsOf,
      first: ({ seed }) => ({ phi: firstWeights(random(seed).uniform), unseen: NaN }),
    });
    const end = figure(model, el, {
      asks: true,
      hint: "Press Learn, and watch the thick line: one step from φ makes your wave. Drag its crest meanwhile. Then change α or β and learn again.",
      height: (width) => (width < 560 ? 500 : 360),
      words: 450,
      controls: [
        slider("alpha", "inner rate α", { min: 0.0005, max: 0.5, log: true, step: 20 }),
        slider("beta", "meta rate β", { min: 0.0001, max: 1, log: true, step: 20 }),
        slider("shots", "shots", { min: 1, max: MOST }),
        slider("steps", "inner steps", { min: 1, max: MOST }),
        slider("iterations", "iterations", { values: ITERATIONS }),
        choice("algorithm", "algorithm", ALGORITHMS),
        button("Another random start", (at) => change(at, { seed: settingsOf(at).seed + 1 })),
        driving(follow),
      ],
      draw: (stage, state) => draw(stage, state, follow.now),
    });
    return () => { end(); follow.end(); };
  },
};
