// The page's trainings side by side: one set of controls for all that learn on it, and how far each has come.

const LEARNERS = [["learn_plane", "Siamese"], ["learn_waves", "MAML"], ["learn_rule", "LSTM"]];
const LOW = 1e-4, HIGH = 1e3;

const ask = (what) => document.dispatchEvent(new CustomEvent("learning-asked", { detail: what }));

function drawLoss(stage, box, title, { curve = [], settings, done = 0 } = {}) {
  const losses = curve.map((loss) => (Number.isFinite(loss) ? Math.min(Math.max(loss, LOW), HIGH) : HIGH));
  const y = losses.length ? [Math.min(...losses) / 2.5, 2.5 * Math.max(...losses)] : [0.01, 1], most = settings?.iterations ?? 1;
  const axes = stage.axes(box, { x: [0, 1.04 * most], y, logy: true, xlabel: "iteration", title });
  axes.line(losses.map((_, i) => (done * (i + 0.5)) / losses.length), losses, "c1 thick");
}

function draw(stage, told) {
  stage.boxes([1, 1, 1], 0, stage.height, true).forEach((box, i) => {
    const [name, title] = LEARNERS[i];
    drawLoss(stage, box, stage.narrow ? title : `${title}: loss in practice`, told.get(name));
  });
  const here = LEARNERS.filter(([name]) => told.has(name));
  if (!here.length) return "None of the three figures is on this page: show them in cells of the same notebook.";
  return here.map(([name, title]) => {
    const { settings, done, failed, curve } = told.get(name), { alpha, beta, shots, iterations } = settings;
    const how = `${alpha === undefined ? "" : `α = ${show(alpha)}, `}β = ${show(beta)}${shots ? `, ${many(shots, "shot")}` : ""}`;
    if (failed) return `${title}, ${how}: lost in iteration ${failed}.`;
    return `${title}, ${how}: ${done ? `iteration ${done} of ${iterations}${curve.length ? `, loss ${show(curve.at(-1))}` : ""}` : "not begun"}.`;
  }).join(" ");
}

export default {
  render: ({ model, el }) => {
    const told = new Map();
    let paint = () => {}, looks = true;
    const hear = ({ detail }) => {
      const first = !told.has(detail.name);
      told.set(detail.name, detail);
      if (first) ask({ looks });
      paint();
    };
    document.addEventListener("learning-told", hear);
    // All go on while this figure is seen, wherever they are on the page.
    const watch = new IntersectionObserver((entries) => { looks = entries.at(-1).isIntersecting; ask({ looks }); });
    watch.observe(el);
    const names = ["alpha", "beta", "shots"], tell = Object.fromEntries(names.map((name) => [name, () => ask({ values: { [name]: model.get(name) } })]));
    for (const name of names) model.on(`change:${name}`, tell[name]);
    const running = () => [...told.values()].some(({ done, goal, failed }) => goal > done && !failed);
    const end = figure(model, el, {
      asks: true,
      hint: "Press Learn: all three learn at once. α is MAML's own, shots are MAML's and the Siamese network's, β is everybody's.",
      height: 190,
      words: 330,
      controls: [
        slider("alpha", "rate α", { min: 0.0005, max: 0.5, log: true, step: 20 }),
        slider("beta", "rate β", { min: 0.0001, max: 1, log: true, step: 10 }),
        slider("shots", "shots", { min: 1, max: 5 }),
        (panel, of, id, changed) => {
          const main = tag("button", { type: "button" }, panel, "Learn");
          main.style.minWidth = "8ch";
          main.addEventListener("click", () => ask({ goal: !running() }));
          paint = () => { main.textContent = here(running() ? "Pause" : "Learn"); changed(); };
          return paint;
        },
        button("Start again", () => ask({ anew: true })),
      ],
      draw: (stage) => draw(stage, told),
    });
    return () => {
      end();
      watch.disconnect();
      document.removeEventListener("learning-told", hear);
      for (const name of names) model.off(`change:${name}`, tell[name]);
      ask({ looks: false });
    };
  },
};
