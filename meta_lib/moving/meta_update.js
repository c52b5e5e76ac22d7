// MAML's meta-update on quadratic tasks, L(θ) = ½ (θ - c)ᵀ H (θ - c), on a line or in the plane.

const times = (H, v) => H.map((row) => row.reduce((sum, h, i) => sum + h * v[i], 0));
const add = (u, v, factor = 1) => u.map((value, i) => value + factor * v[i]);

// One meta-update: for each task the path from φ to θ′, the gradient there, and what the chain rule
// makes of it on its way back to φ: (I - αH) once for each inner step.
export function metaStep(tasks, phi, alpha, beta, steps) {
  const inner = tasks.map(({ H, c }) => {
    const path = [phi];
    for (let step = 0; step < steps; step += 1) {
      const slope = times(H, add(path[step], c, -1));
      path.push(add(path[step], slope, -alpha));
    }
    const slope = times(H, add(path[steps], c, -1));
    let pull = slope;
    for (let step = 0; step < steps; step += 1) pull = add(pull, times(H, pull), -alpha);
    const loss = (0.5 * slope.reduce((sum, s, i) => sum + s * (path[steps][i] - c[i]), 0));
    return { path, slope, pull, loss };
  });
  const mean = (vectors) => vectors.reduce((u, v) => add(u, v)).map((value) => value / tasks.length);
  const first = mean(inner.map((task) => task.slope)), full = mean(inner.map((task) => task.pull));
  const loss = inner.reduce((sum, task) => sum + task.loss, 0) / tasks.length;
  return { inner, first, full, loss, next: add(phi, full, -beta) };
}

const KINDS = ["c1", "c4", "c6"];
const MOMENTS = ["φ", "the inner steps", "the gradients at θ′", "the second-order correction", "the next φ"];
const last = MOMENTS.length - 1;

const chosen = (model) => model.get(model.get("space")).slice(0, model.get("tasks"));
const startOf = (model) => (model.get("space") === "line" ? [model.get("phi")[0]] : model.get("phi"));
const update = (model) => metaStep(chosen(model), startOf(model), model.get("alpha"), model.get("beta"), model.get("steps"));
const point = (v) => (v.length === 1 ? show(v[0]) : `(${v.map((value) => show(value)).join(", ")})`);

function draw(stage, model) {
  const flat = model.get("space") === "line", moment = model.get("moment"), tasks = chosen(model);
  const result = update(model), phi = startOf(model), beta = model.get("beta");
  const box = { x: 0, y: 0, width: stage.width, height: stage.height };
  const axes = stage.axes(box, {
    x: [-3, 4], y: flat ? [0, 12] : [-3, 3], xlabel: flat ? "θ" : "first coordinate",
    ylabel: flat ? "loss" : "second coordinate",
  });
  // On a line a point stands on its task's parabola, in the plane it stands for itself.
  const height = ({ H, c }, v) => 0.5 * add(v, c, -1).reduce((sum, d, i) => sum + d * times(H, add(v, c, -1))[i], 0);
  const place = (task, v) => (flat ? [v[0], height(task, v)] : v);
  tasks.forEach((task, i) => {
    (flat ? parabola : bowl)(axes, task, KINDS[i]);
    const { path, slope, pull } = result.inner[i];
    if (moment >= 1) {
      const places = path.map((v) => place(task, v));
      axes.line(places.map((p) => p[0]), places.map((p) => p[1]), KINDS[i]);
      axes.dots(places.map((p) => p[0]), places.map((p) => p[1]), KINDS[i]);
    }
    const at = place(task, path.at(-1)), tip = (v) => (flat ? [at[0] - beta * v[0], at[1]] : add(at, v, -beta));
    if (moment >= 2) axes.arrow(...at, ...tip(slope), "c5");
    if (moment >= 3) axes.arrow(...tip(slope), ...tip(pull), "c3 thick");
  });
  if (moment >= 4) {
    const y = flat ? 0 : phi[1], to = flat ? [result.next[0], 0] : result.next;
    axes.arrow(phi[0], y, ...to, "c2 thick");
    axes.dots([to[0]], [to[1]], "c2", 6);
  }
  stage.handle("phi", axes, {
    x: phi[0], y: flat ? 0 : phi[1], label: "φ, the common start", kind: "grey", radius: 9,
    text: `φ = ${point(phi)}`,
    set: (x, y) => change(model, { phi: [x, flat ? model.get("phi")[1] : y] }),
  });
  legend(stage, axes.inner.x + 12, 22, [
    ["c5", "gradient at θ′, times −β"], ["c3 thick", "second-order correction"], ["c2 thick", "the step of φ"],
  ]);
  const numbers = [phi, ...result.inner.map((task) => task.path.at(-1)), result.full, result.next].flat();
  if (!numbers.every((n) => Math.abs(n) < 1e6)) return `Diverged: with α = ${show(model.get("alpha"))} a step overshoots the steepest task by more than it gains.`;
  const ends = result.inner.map((task, i) => `θ′${"₁₂₃"[i]} = ${point(task.path.at(-1))}`).join(", ");
  return `${MOMENTS[moment]}: φ = ${point(phi)}; ${ends}; meta-loss ${show(result.loss)}; ` +
    `first-order gradient ${point(result.first)}, with the correction ${point(result.full)}; next φ = ${point(result.next)}`;
}

function parabola(axes, { H, c }, kind) {
  const xs = Array.from({ length: 141 }, (_, i) => -3 + i / 20);
  axes.line(xs, xs.map((x) => 0.5 * H[0][0] * (x - c[0]) ** 2), `${kind} thin`);
}

// Ellipses of equal loss: c + L⁻ᵀ of a circle, with H = L Lᵀ.
function bowl(axes, { H, c }, kind) {
  const a = Math.sqrt(H[0][0]), b = H[0][1] / a, d = Math.sqrt(H[1][1] - b * b);
  for (const loss of [0.15, 0.6, 1.4, 2.5]) {
    const r = Math.sqrt(2 * loss), turn = Array.from({ length: 61 }, (_, i) => (i * Math.PI) / 30);
    const v = turn.map((t) => (r * Math.sin(t)) / d);
    axes.line(turn.map((t, i) => c[0] + (r * Math.cos(t) - b * v[i]) / a), v.map((y) => c[1] + y), `${kind} thin faint`);
  }
  axes.dots([c[0]], [c[1]], kind, 3);
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Drag φ, or move it with the arrow keys. Make α so large that the correction turns the pull of the steep task round; then leave it out with three tasks.",
    height: (width) => (width < 560 ? 340 : 400),
    controls: [
      slider("alpha", "α", { min: 0.02, max: 1, log: true, step: 20 }),
      slider("beta", "β", { min: 0.05, max: 5, log: true, step: 20 }),
      slider("steps", "inner steps", { min: 0, max: 8 }),
      slider("tasks", "tasks", { min: 2, max: 3 }),
      slider("moment", "shown up to", { min: 0, max: last, format: (i) => MOMENTS[i] }),
      choice("space", "parameters", [["line", "one: θ on a line"], ["plane", "two: θ in the plane"]]),
      player("moment", "Play", () => last),
      button("Take the step", (model) => change(model, { phi: [...update(model).next, ...model.get("phi").slice(1)].slice(0, 2) })),
    ],
    draw,
  }),
};
