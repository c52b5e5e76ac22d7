// Answers by how sure they are, and what a threshold refuses: right, wrong, and strangers.

const ROWS = [["correctly named", "c1"], ["wrongly named", "c2"], ["strangers", "c4"]];
const STRANGER = -1, WORST = 10;

// What kind each answer is, the number of its row: right, wrong, or a stranger's.
export function kindsOf(truth, answers) {
  return truth.map((label, i) => (label === STRANGER ? 2 : Number(label !== answers[i])));
}

// Of each kind, how many there are and how many reach the threshold.
export function counted(kinds, scores, threshold) {
  const all = [0, 0, 0], kept = [0, 0, 0];
  kinds.forEach((kind, i) => {
    all[kind] += 1;
    if (scores[i] >= threshold) kept[kind] += 1;
  });
  return { all, kept };
}

const shareOf = (part, whole) => (whole > 0 ? (100 * part) / whole : NaN);

// At each threshold from 0 to 1: [own images answered, right among these, strangers named], in %.
export function tradeOff(kinds, scores, stops = 51) {
  return Array.from({ length: stops }, (_, i) => {
    const { all, kept } = counted(kinds, scores, i / (stops - 1)), named = kept[0] + kept[1];
    return [shareOf(named, all[0] + all[1]), shareOf(kept[0], named), shareOf(kept[2], all[2])];
  });
}

const kept = new WeakMap();

function looked(model) {
  const all = model.get("all_shots"), shots = nearest(all, model.get("shots"));
  const by = model.get("by") === "cosine" ? 1 : 0, stored = model.get("scores");
  const before = kept.get(model);
  if (before?.shots === shots && before.by === by && before.stored === stored) return before;
  const truth = model.get("truth"), answers = model.get("answers")[shots], count = truth.length;
  const from = (2 * shots + by) * count, scores = floats(model, "scores").slice(from, from + count);
  const kinds = kindsOf(truth, answers);
  const now = { shots, by, stored, truth, answers, scores, kinds, curve: tradeOff(kinds, scores) };
  kept.set(model, now);
  return now;
}

function draw(stage, model) {
  const { shots, truth, answers, scores, kinds, curve } = looked(model);
  const threshold = Math.min(1, Math.max(0, model.get("threshold"))), names = model.get("names");
  const K = model.get("all_shots")[shots], label = model.get("labels")[model.get("by")];
  const foot = 112;
  const [left, right] = stage.boxes([1.3, 1], 0, stage.height - foot);

  const axes = stage.axes({ ...left, x: left.x + 54, width: left.width - 54 }, { x: [0, 1], y: [-0.6, 2.6], xlabel: label, title: "each answer a stroke" });
  stage.back.querySelectorAll(".grid text[text-anchor=end]").forEach((text) => text.remove());
  ROWS.forEach(([name, kind], row) => {
    const place = axes.py(2 - row), words = here(name).split(" ");
    words.forEach((word, i) => stage.text(axes.inner.x - 6, place + 4 + 13 * (i - (words.length - 1) / 2), word, { "text-anchor": "end", class: "small" }));
    for (const faint of [true, false]) {
      let path = "";
      scores.forEach((score, i) => {
        if (kinds[i] === row && score < threshold === faint) path += `M${axes.px(score).toFixed(1)} ${(place - 14).toFixed(1)}v28`;
      });
      svg("path", { d: path, class: `line ${kind} ${faint ? "thin faint" : "thin"}` }, axes.layer);
    }
  });
  axes.line([threshold, threshold], [-0.6, 2.6], "grey thick dashed");

  const trade = stage.axes(right, { x: [0, 100], y: [0, 100], xlabel: "own images that get an answer, %", ylabel: "share, %", names: [["c1", "answers that are right"], ["c4 dashed", "strangers named"]] });
  const at = curve[Math.round(threshold * (curve.length - 1))];
  trade.line(curve.map((one) => one[0]), curve.map((one) => one[1]), "c1");
  trade.line(curve.map((one) => one[0]), curve.map((one) => one[2]), "c4 dashed");
  trade.dots([at[0]], [at[1]], "c1", 5);
  trade.dots([at[0]], [at[2]], "c4", 5);

  worst(stage, model, { truth, answers, scores, kinds, threshold, names, top: stage.height - foot + 14 });
  const { all, kept: named } = counted(kinds, scores, threshold), given = named[0] + named[1];
  const share = given ? `${shareOf(named[0], given).toFixed(1)} % of them right` : "none";
  return `${K} labelled image${K > 1 ? "s" : ""} of each, ${label} at least ${show(threshold)}: ${given} of ${all[0] + all[1]} own images get a name, ${share}; ${named[2]} of ${all[2]} strangers get one, too.`;
}

// The answers that are wrong and yet given, the surest first.
function worst(stage, model, { truth, answers, scores, kinds, threshold, names, top }) {
  const order = [...kinds.keys()].filter((i) => kinds[i] > 0 && scores[i] >= threshold).sort((a, b) => scores[b] - scores[a]);
  const perRow = stage.narrow ? WORST / 2 : WORST, cell = stage.width / perRow, size = Math.min(46, cell - 8);
  stage.text(4, top, order.length ? `wrong, and yet given an answer${stage.narrow ? "" : "; the surest first"}` : "nothing wrong is given an answer", { class: "title" });
  order.slice(0, perRow).forEach((i, place) => {
    const x = place * cell + (cell - size) / 2, y = top + 8;
    stage.thumbnail(bytes(model, "pictures"), i, model.get("side"), x, y, size);
    const middle = { "text-anchor": "middle", class: "small" };
    stage.text(x + size / 2, y + size + 12, truth[i] === STRANGER ? "stranger" : names[truth[i]], middle);
    stage.text(x + size / 2, y + size + 25, `✗ ${names[answers[i]]}`, { ...middle, class: "wrong" });
  });
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Raise the threshold until no own image is named wrongly: what does that cost? Then look at the strangers, and ask the cosine in place of p.",
    height: (width) => (width < 560 ? 470 : 390),
    words: 190,
    controls: [
      slider("threshold", "answer from", { min: 0, max: 1, step: 0.02 }),
      choice("by", "sure by", [["p", "probability p"], ["cosine", "cosine"]]),
      choice("shots", "shots K", model.get("all_shots").map((K) => [K, String(K)])),
    ],
    draw,
  }),
};
