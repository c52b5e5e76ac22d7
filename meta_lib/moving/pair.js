// One pair: where it lies in the plane, and where on its loss.

function drawPlane(stage, box, model, pair) {
  const axes = stage.axes(box, { x: [-2, 2], y: [-2, 2], xlabel: "feature 1", ylabel: "feature 2" });
  const f1 = model.get("f1"), f2 = model.get("f2"), measure = model.get("measure");
  if (model.get("different")) drawRegion(axes, f2, model.get("margin"), measure);
  axes.dots([0], [0], "grey", 3);
  drawPair(axes, f1, f2, pair, measure);
  axes.dots([f2[0]], [f2[1]], "c3", 7);
  for (const [f, name] of [[f1, "f₁"], [f2, "f₂"]]) {
    // Where no arrow runs: a push goes straight away from the other, a turn to either side.
    const away = f === f1 ? minus(f1, f2) : minus(f2, f1);
    const side = measure === "cosine" ? f : pair.region === "push" ? [-away[1], away[0]] : away;
    const far = Math.hypot(...side) || 1;
    const [x, y] = [axes.px(f[0]) + (18 * side[0]) / far, axes.py(f[1]) - (18 * side[1]) / far];
    stage.text(x, y + 4, name, { "text-anchor": "middle", class: "title", style: HALO });
  }
  stage.handle("f1", axes, {
    x: f1[0], y: f1[1], label: "f₁, the first vector", kind: "c1", radius: 9,
    text: `f₁ = (${show(f1[0])}, ${show(f1[1])}), D = ${show(pair.distance)}, loss ${show(pair.loss)}`,
    set: (x, y) => change(model, { f1: [x, y] }),
  });
}

function drawLoss(stage, box, model, pair) {
  const margin = model.get("margin"), different = model.get("different");
  const end = model.get("measure") === "cosine" ? 2 : 4;
  const top = Math.max(1.1 * contrastiveLoss(0, true, margin).loss, 1.2 * pair.loss, 0.5);
  const axes = stage.axes(box, {
    x: [0, end], y: [0, top], xlabel: model.get("measure") === "cosine" ? "distance D = 1 − cos" : "distance D", ylabel: "loss L",
    names: [["c1 thick", different ? "different pair" : "similar pair"], ["c6 thin dashed", different ? "were it similar" : "were it different"], ["c2", "slope"]],
  });
  const Ds = Array.from({ length: 161 }, (_, i) => (i * end) / 160);
  const curve = (kind, other) => axes.line(Ds, Ds.map((D) => contrastiveLoss(D, other, margin).loss), kind);
  if (different) {
    axes.band([0, margin], [0, 0], [top, top], "grey");
    axes.line([margin, margin], [0, top], "grey thin dashed");
    const { x, y, width } = axes.inner, right = axes.px(Math.min(margin, end));
    if (right - x > 50) stage.text(x + 6, y + 16, "push");
    if (x + width - right > 70) stage.text(right + 6, y + 16, "left alone", { style: HALO });
  }
  curve("c6 thin dashed", !different);
  curve("c1 thick", different);
  const run = end / 8, at = [pair.distance, pair.loss];
  axes.line([at[0] - run, at[0] + run], [at[1] - run * pair.slope, at[1] + run * pair.slope], "c2");
  axes.dots([at[0]], [at[1]], "c2", 6);
}

function draw(stage, model) {
  const [f1, f2, margin, measure] = ["f1", "f2", "margin", "measure"].map((name) => model.get(name));
  const inside = f1.length === 2 && f1.every((value) => Math.abs(value) <= 2);
  if (!inside) throw new RangeError("f₁ lies outside the plane");
  const pair = pairOf(f1, f2, model.get("different"), margin, measure);
  const side = stage.narrow ? 270 : Math.min(0.5 * stage.width, stage.height);
  const left = { x: stage.narrow ? (stage.width - side) / 2 : 0, y: 0, width: side, height: side };
  const right = stage.narrow
    ? { x: 0, y: side, width: stage.width, height: stage.height - side }
    : { x: side + 12, y: 0, width: stage.width - side - 12, height: stage.height };
  drawPlane(stage, left, model, pair);
  drawLoss(stage, right, model, pair);
  return `${model.get("different") ? "Different, Y = 1" : "Similar, Y = 0"}: ${sayPair(pair, margin, measure)}`;
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Drag f₁ out of the grey region, and see the arrows vanish. Then take the cosine, and move f₁ straight towards the origin: what changes?",
    height: (width) => (width < 560 ? 460 : Math.min(420, width / 2)),
    words: 190,
    controls: [
      slider("margin", "margin m", { min: 0.1, max: 2, step: 0.05 }),
      choice("measure", "distance", [["Euclidean", "Euclidean"], ["cosine", "cosine, 1 − cos"]]),
      toggle("different", "a different pair (Y = 1)"),
    ],
    draw,
  }),
};
