// How accurate each contender is after some steps of fine-tuning, at each rate: tables to look up.

// Means and half intervals after 0, 1, … steps, for the contender of this number.
export function curveOf(table, counts, shots, rate, name) {
  const steps = table.length / 2 / counts.reduce((a, b) => a * b);
  const from = ((shots * counts[1] + rate) * counts[2] + name) * steps, half = table.length / 2;
  return { mean: Array.from(table.slice(from, from + steps)), half: Array.from(table.slice(half + from, half + from + steps)) };
}

// The best [rate, steps] of a contender, with at least one step: curves[rate] holds its means.
export function bestOf(curves) {
  let best = [0, 1];
  curves.forEach((mean, rate) => mean.forEach((value, step) => {
    if (step > 0 && value > curves[best[0]][best[1]]) best = [rate, step];
  }));
  return best;
}

const percent = (value) => `${(100 * value).toFixed(0)} %`;

const kept = new WeakMap();

// Everything there is for a number of shots: by contender and rate, and the best of each.
function looked(model) {
  const [all, rates, names] = ["all_shots", "rates", "names"].map((name) => model.get(name));
  const key = nearest(all, model.get("shots")), table = model.get("table");
  const before = kept.get(model);
  if (before?.key === key && before.table === table) return before;
  const counts = [all.length, rates.length, names.length], numbers = floats(model, "table");
  const curves = names.map((_, name) => rates.map((_, rate) => curveOf(numbers, counts, key, rate, name)));
  const best = curves.map((of) => bestOf(of.map(({ mean }) => mean)));
  const now = { key, table, rates, names, curves, best, shots: all[key], level: model.get("level")[key] };
  kept.set(model, now);
  return now;
}

function draw(stage, model) {
  const { rates, names, curves, best, shots, level } = looked(model), rate = nearest(rates, model.get("alpha")), kinds = methodKinds(names);
  const last = curves[0][0].mean.length - 1, step = Math.min(Math.max(0, model.get("steps")), last);
  const [left, right] = stage.narrow
    ? [{ x: 0, y: 0, width: stage.width, height: 268 }, { x: 0, y: 272, width: stage.width, height: stage.height - 272 }] : stage.boxes([1.15, 1]);
  const xs = Array.from({ length: last + 1 }, (_, i) => i);
  const axes = stage.axes({ ...left, height: left.height - 62 }, {
    x: [0, last], y: [0, 100], xlabel: "gradient steps on the support set", ylabel: "validation accuracy, %",
    title: `${shots} shot${shots > 1 ? "s" : ""}, α = ${show(rates[rate])}`,
  });
  axes.line([step, step], [0, 100], "grey thick faint");
  axes.line([0, last], [20, 20], "grey thin");
  axes.line([0, last], [100 * level, 100 * level], "c6 dotted");
  curves.forEach((of, i) => {
    const { mean, half } = of[rate];
    axes.band(xs, mean.map((m, t) => 100 * (m - half[t])), mean.map((m, t) => 100 * (m + half[t])), colourOf(kinds[i]));
    axes.line(xs, mean.map((m) => 100 * m), kinds[i]);
    axes.dots([step], [100 * mean[step]], colourOf(kinds[i]), 5);
  });
  const entries = names.map((name, i) => [kinds[i], `${name}: ${percent(curves[i][rate].mean[step])}`]);
  entries.push(["c6 dotted", `no step, nearest: ${percent(level)}`], ["grey thin", "chance: 20 %"]);
  const foot = left.y + left.height - 52;
  legend(stage, left.x + 6, foot, entries.slice(0, 3));
  legend(stage, left.x + left.width / 2 + 6, foot, entries.slice(3));
  maps(stage, model, right, rate, step);
  const now = names.map((name, i) => `${name} ${percent(curves[i][rate].mean[step])} ± ${(100 * curves[i][rate].half[step]).toFixed(0)}`);
  const most = names.map((name, i) => {
    const [at, steps] = best[i], found = [name, percent(curves[i][at].mean[steps])].join(" ");
    return `${found} (α = ${show(rates[at])}, ${steps} steps)`;
  });
  return `${shots} shot${shots > 1 ? "s" : ""}, α = ${show(rates[rate])}, ${step} step${step === 1 ? "" : "s"}: ${now.join(", ")}. Best of the search: ${most.join(", ")}.`;
}

// How strong the colour is of a cell with this accuracy: none at chance, 20 %, all of it at 100 %.
const strength = (mean) => 0.04 + 0.96 * Math.max(0, (mean - 0.2) / 0.8) ** 1.5;

// The whole search, a map for each contender: the stronger its colour, the more accurate a cell.
function maps(stage, model, box, rate, step) {
  const { rates, names, curves, best } = looked(model), kinds = methodKinds(names), across = stage.narrow ? 2 : 1;
  const each = (box.height - 44) / Math.ceil(names.length / across), room = box.width / across;
  const width = (room - 56) / curves[0][0].mean.length, row = (each - 24) / rates.length;
  names.forEach((name, i) => {
    const left = box.x + 44 + room * (i % across), top = box.y + 22 + Math.floor(i / across) * each, y = (r) => top + (rates.length - 1 - r) * row;
    stage.text(left, top - 6, name, { class: "title" });
    rates.forEach((value, r) => {
      stage.text(left - 5, y(r) + row / 2 + 4, show(value), { "text-anchor": "end", class: "small" });
      curves[i][r].mean.forEach((mean, s) => {
        const cell = svg("rect", { x: left + s * width + 0.5, y: y(r) + 0.5, width: width - 1, height: row - 1, class: `band ${colourOf(kinds[i])} clicks`, style: `fill: var(--c); opacity: ${strength(mean).toFixed(3)}` }, stage.back);
        cell.addEventListener("click", () => change(model, { alpha: value, steps: s }));
      });
    });
    const around = (r, s, look) => svg("rect", { x: left + s * width, y: y(r), width, height: row, "pointer-events": "none", ...look }, stage.back);
    around(rate, step, { class: "line thick", style: "stroke: var(--ink)" });
    stage.text(left + (best[i][1] + 0.5) * width, y(best[i][0]) + row / 2 + 5, "★", { "text-anchor": "middle", "pointer-events": "none" });
  });
  scale(stage, box.x + 44, box.y + box.height - 32);
  stage.text(box.x + 44, box.y + box.height - 4, `across: steps 0 to ${curves[0][0].mean.length - 1}; up: α; ★ best; frame: shown`, { class: "small" });
}

// What a colour's strength means.
function scale(stage, left, top) {
  const marks = [0.2, 0.4, 0.6, 0.8, 1];
  stage.text(left, top + 9, "accuracy", { class: "small" });
  marks.forEach((mean, i) => {
    const x = left + 54 + 42 * i;
    svg("rect", { x, y: top, width: 14, height: 10, class: "band grey", style: `fill: var(--c); opacity: ${strength(mean).toFixed(3)}` }, stage.back);
    stage.text(x + 17, top + 9, `${100 * mean}${mean < 1 ? "" : " %"}`, { class: "small" });
  });
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Move α to 0.3 and to 1, and watch where the curves fall; then choose one shot. In the maps, click a cell to go there.",
    height: (width) => (width < 560 ? 500 : 420),
    words: 330,
    controls: [
      choice("shots", "shots K", model.get("all_shots").map((K) => [K, String(K)]).reverse()),
      slider("alpha", "α", { values: model.get("rates") }),
      slider("steps", "steps", { min: 0, max: 10 }),
      player("steps", "Play the steps", () => 10),
    ],
    draw,
  }),
};
