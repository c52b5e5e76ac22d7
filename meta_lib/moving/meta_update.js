// MAML's meta-update on quadratic tasks, L(θ) = ½ (θ - c)⊤ H (θ - c), on a line or in the plane.

const times = (H, v) => H.map((row) => row.reduce((sum, h, i) => sum + h * v[i], 0));
const add = (u, v, factor = 1) => u.map((value, i) => value + factor * v[i]);
const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
const lossOf = ({ H, c }, v) => 0.5 * dot(add(v, c, -1), times(H, add(v, c, -1)));

// One meta-update: for each task the path from φ to θ′, the gradient there, and what the chain rule
// makes of it on its way back to φ: (I - αH) once for each inner step. Tasks are added up.
export function metaStep(tasks, phi, alpha, beta, steps) {
  const inner = tasks.map((task) => {
    const path = [phi];
    for (let step = 0; step < steps; step += 1) {
      path.push(add(path[step], times(task.H, add(path[step], task.c, -1)), -alpha));
    }
    const slope = times(task.H, add(path[steps], task.c, -1));
    let pull = slope;
    for (let step = 0; step < steps; step += 1) pull = add(pull, times(task.H, pull), -alpha);
    return { path, slope, pull, loss: lossOf(task, path[steps]) };
  });
  const sum = (vectors) => vectors.reduce((u, v) => add(u, v));
  const first = sum(inner.map((task) => task.slope)), full = sum(inner.map((task) => task.pull));
  const loss = inner.reduce((total, task) => total + task.loss, 0);
  return { inner, first, full, loss, next: add(phi, full, -beta) };
}

// Where `count` meta-updates lead, by the full gradient or by the first-order one.
export function walk(tasks, phi, alpha, beta, steps, rule, count) {
  const path = [phi];
  for (let update = 0; update < count; update += 1) {
    path.push(add(path[update], metaStep(tasks, path[update], alpha, beta, steps)[rule], -beta));
  }
  return path;
}

// The meta-loss is a bowl, too: its H is the sum of the tasks' S H S, with S = (I - αH)^steps.
export function metaBowl(tasks, alpha, steps) {
  const size = tasks[0].c.length, unit = (i) => Array.from({ length: size }, (_, j) => Number(i === j));
  const pullAt = (v) => metaStep(tasks, v, alpha, 1, steps).full, zero = pullAt(Array(size).fill(0));
  const columns = Array.from({ length: size }, (_, i) => add(pullAt(unit(i)), zero, -1));
  const H = columns.map((_, row) => columns.map((column) => column[row]));
  const [[a, b], [, d]] = size === 1 ? [[H[0][0], 0], [0, 1]] : H;
  const [x, y] = size === 1 ? [zero[0], 0] : zero, determinant = a * d - b * b;
  const c = [-(d * x - b * y) / determinant, -(a * y - b * x) / determinant];
  return { H, c: c.slice(0, size) };
}

const KINDS = ["c3", "c4", "c6"];
const MOMENTS = ["φ", "the inner steps", "the gradients at θ′", "the correction", "the next φ"];
const LAST = MOMENTS.length - 1, UPDATES = 60, FAR = 1e4;
const ZOOMS = [10, 5, 3, 2]; // how much longer the short arrows at θ′ may be drawn
const X = [-3, 3], Y = [-3, 3], HIGHEST = 12;

const longest = (vectors) => Math.max(...vectors.map((v) => Math.hypot(...v)));
const chosen = (model) => model.get(model.get("space")).slice(0, model.get("tasks"));
const startOf = (model) => (model.get("space") === "line" ? [model.get("phi")[0]] : model.get("phi"));
const setting = (model) => [chosen(model), startOf(model), model.get("alpha"), model.get("beta"), model.get("steps")];
const point = (v) => (v.length === 1 ? show(v[0]) : `(${v.map((value) => show(value)).join(", ")})`);
const columns = (points) => [points.map((p) => p[0]), points.map((p) => p[1])];

function draw(stage, model) {
  const [tasks, phi, alpha, beta, steps] = setting(model), flat = phi.length === 1;
  const moment = model.get("moment"), result = metaStep(tasks, phi, alpha, beta, steps);
  const [left, right] = stage.boxes([1, 1]);
  const labels = flat ? { y: [0, HIGHEST], ylabel: "loss" } : { y: Y, ylabel: "second coordinate" };
  const zoom = ZOOMS.find((times) => times * beta * longest(result.inner.map(({ slope }) => slope)) < 3.2) ?? 1;
  const drawn = zoom > 1 ? `, × ${zoom}` : "";
  const axes = stage.axes(left, {
    x: X, xlabel: flat ? "θ" : "first coordinate", title: "one meta-update", ...labels,
    names: [["c5", `−β gradient${drawn}`], ["c2 thick", "correction"], ["c1 thick", "step of φ"]],
  });
  const outer = stage.axes(right, {
    x: X, xlabel: flat ? "φ" : "first coordinate", title: `${UPDATES} meta-updates`, ...labels, ...(flat && { ylabel: "meta-loss" }),
    names: [["c1", "MAML"], ["c5 dashed", "first order"], ...(stage.narrow ? [] : [["grey thin", flat ? "the meta-loss" : "equal meta-loss"]])],
  });

  // On a line a point stands on its task's parabola, in the plane it stands for itself.
  const place = (task, v) => (flat ? [v[0], lossOf(task, v)] : v);
  tasks.forEach((task, i) => {
    (flat ? parabola : bowl)(axes, task, `${KINDS[i]} thin`);
    const { path, slope, pull } = result.inner[i];
    const at = place(task, path.at(-1)), tip = (v) => (flat ? [at[0] - zoom * beta * v[0], at[1]] : add(at, v, -zoom * beta));
    if (moment >= 1) axes.line(...columns(path.map((v) => place(task, v))), KINDS[i]);
    if (moment >= 1) axes.dots(...columns(path.map((v) => place(task, v))), KINDS[i]);
    if (moment >= 2) axes.arrow(...at, ...tip(slope), "c5");
    if (moment >= 3) axes.arrow(...tip(slope), ...tip(pull), "c2 thick");
  });
  const floor = (v) => (flat ? [v[0], 0] : v);
  if (moment >= 4) axes.arrow(...floor(phi), ...floor(result.next), "c1 thick");
  const [x, y] = floor(phi);
  stage.handle("phi", axes, {
    x, y, label: "φ, the common start", kind: "grey", radius: 6, text: `φ = ${point(phi)}`,
    set: (x, y) => change(model, { phi: [x, flat ? model.get("phi")[1] : y] }),
  });

  const meta = metaBowl(tasks, alpha, steps);
  const after = (v) => metaStep(tasks, v, alpha, beta, steps).loss;
  if (flat) curve(outer, (x) => after([x]), "grey");
  else bowl(outer, meta, "grey thin");
  const ends = {};
  for (const [rule, kind, mark] of [["first", "c5 dashed", "c5"], ["full", "c1", "c1"]]) {
    const path = walk(tasks, phi, alpha, beta, steps, rule, UPDATES), end = path.at(-1);
    const sound = end.every((value) => Math.abs(value) < FAR);
    const places = path.map((v) => (flat ? [v[0], after(v)] : v));
    outer.line(...columns(places), kind);
    outer.dots(...columns(sound ? [places[0], places.at(-1)] : [places[0]]), mark, 5);
    ends[rule] = sound ? `is at ${point(end)}` : "flies away";
  }
  const numbers = [...result.inner.map((task) => task.path.at(-1)), result.full].flat();
  if (!numbers.every((value) => Math.abs(value) < FAR)) {
    return `Diverged: with α = ${show(alpha)} each inner step overshoots the steepest task, and lands farther away than it started.`;
  }
  const reached = result.inner.map((task, i) => `θ′${"₁₂₃"[i]} = ${point(task.path.at(-1))}`).join(", ");
  return `φ = ${point(phi)}; ${reached}; meta-loss ${show(result.loss)}; gradient by first order ${point(result.first)}, ` +
    `with the correction ${point(result.full)}; next φ = ${point(result.next)}. After ${UPDATES} updates MAML ${ends.full}, first order ${ends.first}.`;
}

function curve(axes, height, kind) {
  const xs = Array.from({ length: 121 }, (_, i) => X[0] + ((X[1] - X[0]) * i) / 120);
  axes.line(xs, xs.map(height), kind);
}

const parabola = (axes, task, kind) => curve(axes, (x) => lossOf(task, [x]), kind);

// Ellipses of equal loss: c + (L⊤)⁻¹ of a circle, with H = L L⊤.
function bowl(axes, { H, c }, kind) {
  const a = Math.sqrt(H[0][0]), b = H[0][1] / a, d = Math.sqrt(Math.max(H[1][1] - b * b, 1e-9));
  for (const loss of [0.15, 0.6, 1.4, 2.5]) {
    const r = Math.sqrt(2 * loss), turn = Array.from({ length: 61 }, (_, i) => (i * Math.PI) / 30);
    const v = turn.map((t) => (r * Math.sin(t)) / d);
    axes.line(turn.map((t, i) => c[0] + (r * Math.cos(t) - b * v[i]) / a), v.map((y) => c[1] + y), `${kind} faint`);
  }
  axes.dots([c[0]], [c[1]], kind, 3);
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Drag φ, or move it with the arrow keys, and press Play. With one inner step, make α larger and watch the correction grow; above 2/λ of the steep task its path jumps out of the valley.",
    height: (width) => (width < 560 ? 480 : 400),
    words: 330,
    controls: [
      slider("alpha", "α", { min: 0.02, max: 1, log: true, step: 20 }),
      slider("beta", "β", { min: 0.05, max: 5, log: true, step: 20 }),
      slider("steps", "inner steps", { min: 0, max: 8 }),
      slider("tasks", "tasks", { min: 2, max: 3 }),
      slider("moment", "shown", { min: 0, max: LAST, format: (i) => MOMENTS[i] }),
      choice("space", "θ has", [["line", "one coordinate"], ["plane", "two coordinates"]]),
      player("moment", "Play", () => LAST, 900),
      button("Take the step", (model) => {
        const { next } = metaStep(...setting(model));
        const within = next.map((value) => Math.min(3, Math.max(-3, value)));
        change(model, { phi: [...within, ...model.get("phi").slice(within.length)] });
      }),
    ],
    draw,
  }),
};
