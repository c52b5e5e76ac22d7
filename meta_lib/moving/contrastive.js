// The contrastive loss of a pair, as in meta_lib.siamese, and how a pair is drawn in a plane. Vectors
// are arrays of any length; `measure` is "Euclidean" or "cosine".

const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
const minus = (u, v) => u.map((value, i) => value - v[i]);
const scaled = (u, factor) => u.map((value) => factor * value);

export const euclideanDistance = (f1, f2) => Math.hypot(...minus(f1, f2));

// A vector of length 0 has no direction; torch, too, answers 0.
export function cosineSimilarity(f1, f2) {
  const lengths = Math.hypot(...f1) * Math.hypot(...f2);
  return lengths > 0 ? dot(f1, f2) / lengths : 0;
}

export function distanceOf(f1, f2, measure) {
  return measure === "cosine" ? 1 - cosineSimilarity(f1, f2) : euclideanDistance(f1, f2);
}

// The loss over the distance D, its slope dL/dD, and what that asks of the pair.
export function contrastiveLoss(distance, different, margin) {
  if (!different) return { loss: distance ** 2 / 2, slope: distance, region: "pull" };
  const missing = Math.max(0, margin - distance);
  return { loss: missing ** 2 / 2, slope: -missing, region: missing > 0 ? "push" : "beyond" };
}

// dD/df1. At D = 0, and for a vector of length 0, there is no direction to go.
function slopeOfDistance(f1, f2, measure) {
  if (measure !== "cosine") {
    const D = euclideanDistance(f1, f2);
    return scaled(minus(f1, f2), D > 0 ? 1 / D : 0);
  }
  const [a, b] = [Math.hypot(...f1), Math.hypot(...f2)];
  if (!(a * b > 0)) return scaled(f1, 0);
  return minus(scaled(f1, cosineSimilarity(f1, f2) / (a * a)), scaled(f2, 1 / (a * b)));
}

// A pair: its distance, loss and region, and the gradient of the loss for each of the two vectors.
export function pairOf(f1, f2, different, margin, measure) {
  const distance = distanceOf(f1, f2, measure);
  const { loss, slope, region } = contrastiveLoss(distance, different, margin);
  const gradients = [[f1, f2], [f2, f1]].map(([at, to]) => scaled(slopeOfDistance(at, to, measure), slope));
  return { distance, loss, slope, region, gradients };
}

// Letters that can be read on top of a drawing.
const HALO = "paint-order:stroke;stroke:var(--paper);stroke-width:4;stroke-linejoin:round";

// What the loss does to a pair, in words.
function sayPair({ distance, loss, region, gradients }, margin, measure) {
  const tell = (value) => show(Math.abs(value) < 1e-12 ? 0 : value); // what is left of rounding is 0
  const lengths = gradients.map((gradient) => tell(Math.hypot(...gradient)));
  const D = `D = ${measure === "cosine" ? "1 − cos = " : ""}${tell(distance)}`;
  const side = { pull: "", push: ` < m = ${show(margin)}`, beyond: ` ≥ m = ${show(margin)}` }[region];
  const start = `${D + side}, loss ${tell(loss)}`;
  if (region === "beyond") return `${start}: beyond the margin there is no gradient, the pair is left alone.`;
  if (lengths.every((length) => length === "0")) return `${start}: the gradient is 0, it has nowhere to ${region}.`;
  const does = measure === "cosine" ? "turns" : region === "pull" ? "pulls" : "pushes";
  return `${start}: the gradient ${does} them ${region === "pull" ? "together" : "apart"}, with length ${[...new Set(lengths)].join(" and ")}.`;
}

// The region in which a different pair is pushed, as seen from f2: a disc, or with the cosine a wedge.
function drawRegion(axes, f2, margin, measure) {
  const far = 4 * Math.max(...[...axes.x, ...axes.y].map(Math.abs));
  const turns = (from, to) => Array.from({ length: 73 }, (_, i) => from + ((to - from) * i) / 72);
  let points;
  if (measure !== "cosine") {
    points = turns(0, 2 * Math.PI).map((t) => [f2[0] + margin * Math.cos(t), f2[1] + margin * Math.sin(t)]);
  } else {
    const middle = Math.atan2(f2[1], f2[0]), half = Math.acos(Math.max(-1, 1 - margin));
    const arc = turns(middle - half, middle + half).map((t) => [far * Math.cos(t), far * Math.sin(t)]);
    points = margin < 2 ? [[0, 0], ...arc, [0, 0]] : arc;
  }
  const d = `M${points.map(([x, y]) => `${axes.px(x).toFixed(1)} ${axes.py(y).toFixed(1)}`).join("L")}Z`;
  svg("path", { d, class: "band grey" }, axes.layer);
  svg("path", { d, class: "line grey thin dashed" }, axes.layer);
}

// The line between the two, or the rays whose angle counts, and half a step against each gradient: with
// the Euclidean distance that is where a similar pair meets, and where a different one is out of reach.
function drawPair(axes, f1, f2, { gradients }, measure) {
  if (measure === "cosine") for (const f of [f1, f2]) axes.line([0, f[0]], [0, f[1]], "grey");
  else axes.line([f1[0], f2[0]], [f1[1], f2[1]], "grey dotted");
  [f1, f2].forEach((f, i) => axes.arrow(...f, ...minus(f, scaled(gradients[i], 0.5)), "c2 thick"));
}
