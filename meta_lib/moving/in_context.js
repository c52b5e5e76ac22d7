// Linear attention over a context of points: each layer is a step of gradient descent on a line.

const features = (x) => [1, x];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1];

// What the query at x gets after some layers. Each token carries what is left of its y; a layer takes
// from it α times what it pays attention to. The query starts at 0 and ends at minus the answer.
export function attend(xs, ys, alpha, layers, x) {
  let left = ys.slice(), query = 0;
  const paid = (of, values) => xs.reduce((sum, one, i) => sum + dot(features(one), of) * values[i], 0) / xs.length;
  for (let layer = 0; layer < layers; layer += 1) {
    query -= alpha * paid(features(x), left);
    left = left.map((value, i) => value - alpha * paid(features(xs[i]), left));
  }
  return -query;
}

// θ after as many steps of gradient descent from 0 on the mean of ½ (θ · (1, x) − y)².
export function descend(xs, ys, alpha, steps) {
  let theta = [0, 0];
  for (let step = 0; step < steps; step += 1) {
    const gradient = [0, 0];
    xs.forEach((x, i) => {
      const error = dot(theta, features(x)) - ys[i];
      features(x).forEach((one, k) => { gradient[k] += (error * one) / xs.length; });
    });
    theta = theta.map((value, k) => value - alpha * gradient[k]);
  }
  return theta;
}

// The line of least squares; null if all points stand at one x.
export function leastSquares(xs, ys) {
  const n = xs.length, mean = (values) => values.reduce((a, b) => a + b) / n, mx = mean(xs), my = mean(ys);
  const spread = xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
  if (spread < 1e-9) return null;
  const slope = xs.reduce((sum, x, i) => sum + (x - mx) * (ys[i] - my), 0) / spread;
  return [my - slope * mx, slope];
}

// How much each point counts in the answer at x: the answer is Σ weight · y.
export const weightsOf = (xs, alpha, layers, x) =>
  xs.map((_, i) => attend(xs, xs.map((__, k) => Number(k === i)), alpha, layers, x));

function draw(stage, model) {
  const [alpha, layers] = ["alpha", "layers"].map((name) => model.get(name));
  const query = Math.min(2, Math.max(-2, model.get("query")));
  const [xs, ys] = ["xs", "ys"].map((name) => model.get(name).map(Number));
  if (xs.length !== ys.length || ![...xs, ...ys].every(Number.isFinite)) throw new RangeError("no such context");
  const [left, right] = stage.boxes([1.4, 1]);
  const axes = stage.axes(left, { x: [-2, 2], y: [-3, 3], xlabel: "x", ylabel: "y", title: "context and answer", names: [["c1", many(layers, "layer")], ["grey dashed", "least squares"]] });
  const best = leastSquares(xs, ys), theta = descend(xs, ys, alpha, layers), ends = [-2, 2];
  if (best) axes.line(ends, ends.map((x) => dot(best, features(x))), "grey dashed");
  axes.line(ends, ends.map((x) => dot(theta, features(x))), "c1");
  const answer = attend(xs, ys, alpha, layers, query);
  axes.line([query, query], [-3, 3], "grey thin dotted");
  axes.dots([query], [answer], "c2", 6);

  const weights = weightsOf(xs, alpha, layers, query), reach = Math.max(1, ...weights.map(Math.abs).filter((w) => w < 20));
  const beside = stage.axes(right, { x: [-2, 2], y: [-reach, reach], xlabel: "x of the context's point", ylabel: "its weight", title: stage.narrow ? "attention" : "attention, all layers together" });
  beside.line([-2, 2], [0, 0], "grey thin");
  beside.line([query, query], [-reach, reach], "grey thin dotted");
  xs.forEach((x, i) => beside.line([x, x], [0, weights[i]], "c4 thick"));
  beside.dots(xs, weights, "c4", 4);

  xs.forEach((x, i) => stage.handle(`point ${i}`, axes, {
    x: Math.min(2, Math.max(-2, x)), y: Math.min(3, Math.max(-3, ys[i])), label: `point ${i + 1} of the context`, kind: "c4",
    set: (a, b) => change(model, { xs: xs.with(i, a), ys: ys.with(i, b) }),
  }));
  const wanted = best ? dot(best, features(query)) : NaN;
  const said = Math.abs(answer) < 1e4 ? show(answer) : "diverged: α is too large for this context";
  return `At x = ${show(query)}, ${many(layers, "layer")} of attention: ${said}; gradient descent with as many steps at α = ${show(alpha)}: ${Math.abs(answer) < 1e4 ? show(dot(theta, features(query))) : "the same"}; least squares: ${Number.isFinite(wanted) ? show(wanted) : "not determined"}.`;
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Add layers and watch the line come to rest on least squares; then raise α until it does not. Drag the points, and move the query to see which of them it heeds.",
    height: (width) => (width < 560 ? 440 : 360),
    words: 220,
    controls: [
      slider("layers", "layers", { min: 1, max: 20 }),
      slider("alpha", "α", { min: 0.05, max: 1.5, step: 0.05 }),
      slider("query", "query x", { min: -2, max: 2, step: 0.1 }),
    ],
    draw,
  }),
};
