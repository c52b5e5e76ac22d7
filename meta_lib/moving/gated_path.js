// θ ← f θ - i ∇L with constant gates, on L = ½ Σ a (θ - b)².

export function gatedPath(a, b, theta, forget, rate, steps) {
  const path = [theta];
  for (let step = 0; step < steps; step += 1) {
    path.push(path[step].map((value, k) => forget * value - rate * a[k] * (value - b[k])));
  }
  return path;
}

// Where it comes to rest, if it does: the fixed point of the update.
export const restOf = (a, b, forget, rate) => a.map((curvature, k) => (rate * curvature * b[k]) / (1 - forget + rate * curvature));

export const lossOf = (a, b, theta) => theta.reduce((sum, value, k) => sum + (a[k] / 2) * (value - b[k]) ** 2, 0);

// By how much a step shrinks the distance to the fixed point, at least.
export const slowest = (a, forget, rate) => Math.max(...a.map((curvature) => Math.abs(forget - rate * curvature)));

function draw(stage, model) {
  const [a, b, theta] = ["curvatures", "minimum", "theta"].map((name) => model.get(name));
  const [forget, rate, steps] = ["forget", "rate", "steps"].map((name) => model.get(name));
  const [left, right] = stage.boxes([3, 2]);
  const axes = stage.axes(left, { x: [-2, 5], y: [-1, 5], xlabel: "first weight", ylabel: "second weight" });
  for (const loss of [0.1, 0.5, 2, 5, 10, 20, 35]) {
    const turn = Array.from({ length: 73 }, (_, i) => (i * Math.PI) / 36), [rx, ry] = a.map((curvature) => Math.sqrt((2 * loss) / curvature));
    axes.line(turn.map((t) => b[0] + rx * Math.cos(t)), turn.map((t) => b[1] + ry * Math.sin(t)), "grey thin faint");
  }
  const beside = stage.axes(right, { x: [0, steps], y: [1e-6, 1e3], logy: true, xlabel: "step", ylabel: "loss", names: [["c1", "gates"], ["c4 dashed", "gradient descent"]] });
  const rest = restOf(a, b, forget, rate);
  for (const [f, kind, dots] of [[1, "c4 dashed", 0], [forget, "c1", 2.5]]) {
    const path = gatedPath(a, b, theta, f, rate, steps);
    axes.line(path.map((v) => v[0]), path.map((v) => v[1]), kind);
    if (dots) axes.dots(path.map((v) => v[0]), path.map((v) => v[1]), "c1", dots);
    beside.line(path.map((_, i) => i), path.map((v) => Math.max(1e-6, lossOf(a, b, v))), kind);
  }
  axes.dots([0], [0], "grey", 4);
  axes.text(0.12, -0.12, "θ = 0", { class: "halo" });
  axes.dots([b[0]], [b[1]], "c3", 6);
  axes.text(b[0] + 0.15, b[1] + 0.15, "minimum", { class: "halo" });
  axes.dots([rest[0]], [rest[1]], "c2", 5);
  axes.text(rest[0] - 0.1, rest[1] - 0.45, "rest", { "text-anchor": "end", class: "halo" });
  stage.handle("theta", axes, {
    x: theta[0], y: theta[1], label: "the start of θ", kind: "grey", radius: 7,
    set: (x, y) => change(model, { theta: [x, y] }),
  });
  const factor = slowest(a, forget, rate), decay = (1 - forget) / rate;
  const fate = factor < 1 ? `it settles at (${rest.map((v) => show(v)).join(", ")})` : "it does not settle: some step is longer than what is left of the way";
  const last = lossOf(a, b, gatedPath(a, b, theta, forget, rate, steps).at(-1));
  return `Weight decay λ = (1 − f)/i = ${show(decay)}; largest |f − i a| = ${show(factor)}: ${fate}. Loss after ${steps} steps: ${last < 1e6 ? show(last) : "diverged"}.`;
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Set f = 1: gradient descent. Find the i at which the path begins to swing, 1/8, and the one at which it no longer settles, 2/8. Then close the forget gate a little. Drag the start.",
    height: (width) => (width < 560 ? 440 : 360),
    words: 190,
    controls: [
      slider("forget", "f", { min: 0.8, max: 1, step: 0.005 }),
      slider("rate", "i", { min: 0.005, max: 0.3, log: true, step: 30 }),
      slider("steps", "steps", { min: 5, max: 100, step: 5 }),
    ],
    draw,
  }),
};
