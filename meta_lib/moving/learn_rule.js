// An LSTM learns an update rule: a training that the reader starts, and the race that it runs anew after
// each few iterations.

const rules = learnLstm();
export { random };
export const { firstWeights } = rules;

const HIDDEN = [4, 8, 12, 20], HORIZONS = [20, 40, 100, 200], PIECES = [1, 2, 5, 10, 20, 50, 100, 200], ITERATIONS = [20, 100, 300, 500, 1000, 3000, 10000];
const RACERS = { SGD: "grey dashed", momentum: "c3 dashdot", Adam: "c2 dotted" };
const ARENAS = [["bowls", "unseen bowls"], ["tenfold", "tenfold units"], ["valley", "a bent valley"], ["ripples", "ripples"]];
const HEIGHTS = { bowls: [0.05, 1000], tenfold: [5, 1e5], valley: [1e-3, 1e3], ripples: [0.1, 100] };

// A truncation that divides the horizon: the largest that is not above the chosen one.
const pieceOf = (truncation, horizon) => PIECES.filter((one) => one <= truncation && horizon % one === 0).at(-1) ?? 1;

// What the reader has chosen, made sound: an address may say anything.
function settingsOf(model) {
  const among = (name, list) => list[nearest(list, Number(model.get(name)) || 0)], horizon = among("horizon", HORIZONS);
  const arena = ARENAS.some(([name]) => name === model.get("arena")) ? model.get("arena") : "bowls";
  return {
    hidden: among("hidden", HIDDEN), horizon, truncation: pieceOf(model.get("truncation"), horizon), beta: within(model.get("beta") || 0, 1e-4, 1),
    iterations: Math.round(within(model.get("iterations") || 1, 1, ITERATIONS.at(-1))), seed: Math.round(within(model.get("seed") || 0, 0, 1e6)), arena,
  };
}

// A loss within the axis; what is not a number lies at its top.
const inside = ([low, high]) => (loss) => (Number.isNaN(loss) ? high : within(loss, low, high));
const arenaName = (arena) => ARENAS.find(([name]) => name === arena)[1];

function drawRace(stage, box, { race, before }) {
  const y = HEIGHTS[race.arena], rivals = Object.entries(RACERS);
  const axes = stage.axes(box, {
    x: [0, rules.RACE], y, logy: true, xlabel: "step of the race", ylabel: "mean loss", title: arenaName(race.arena),
    names: [["c1 thick", "LSTM, now"], ["c4 dashed", "the run before"], ...rivals.map(([name, kind]) => [kind, `${name}, tuned`])],
  });
  const line = (curve, kind) => axes.line(curve.map((_, t) => t), curve.map(inside(y)), kind);
  for (const [name, kind] of rivals) line(race.rivals[name], kind);
  if (before?.race?.arena === race.arena) line(before.race.rule, "c4 dashed");
  line(race.rule, "c1 thick");
}

function drawProgress(stage, box, { race, ends, curve, settings, before }) {
  const { iterations, horizon, truncation } = settings, y = HEIGHTS.bowls, seen = inside(y);
  const axes = stage.axes(box, {
    x: [0, 1.04 * iterations], y, logy: true, xlabel: "iteration", title: "at the end of the race on unseen bowls",
    names: [["c1 thick", "LSTM"], ["c4 dashed", "the run before"], ["c5 thin", "LSTM in practice"]],
  });
  for (const [name, kind] of Object.entries(RACERS)) {
    const end = seen(race.target[name].at(-1));
    axes.line([0, 1.04 * iterations], [end, end], kind);
  }
  const raced = (values, kind) => axes.line(values.map((_, i) => rules.EVERY * (i + 1)), values.map(seen), kind);
  axes.line(curve.map((_, batch) => ((batch + 0.5) * horizon) / truncation), curve.map(seen), "c5 thin");
  if (before) raced(before.ends, "c4 dashed");
  raced(ends, "c1 thick");
  axes.dots(ends.map((_, i) => rules.EVERY * (i + 1)), ends.map(seen), "c1", 3);
}

function draw(stage, now) {
  if (!now.race) return `The rivals are being tuned. ${ahead(now.settings)}`;
  const [left, right] = stage.boxes([1, 1]);
  drawRace(stage, left, now);
  drawProgress(stage, right, now);
  return said(now);
}

function said({ settings, done, failed, race, before }) {
  const { iterations } = settings, words = [], rivals = Object.entries(race.rivals).map(([name, curve]) => [name, curve.at(-1)]), end = race.rule.at(-1);
  if (failed) words.push(`Lost in iteration ${failed}: the meta-loss or its gradient is no longer a number.`);
  words.push(done ? `Iteration ${done} of ${iterations}.` : `φ is random: the rule has learned nothing yet. ${ahead(settings)}`);
  words.push(`The race on ${arenaName(race.arena)}, mean loss after ${rules.RACE} steps: LSTM ${show(end)}; ${rivals.map(([name, loss]) => `${name} ${show(loss)}`).join(", ")}, with the rates that are best on other bowls.`);
  const beaten = rivals.filter(([, loss]) => !(loss <= end)).map(([name]) => name);
  words.push(beaten.length ? `The LSTM is ahead of ${beaten.join(", ")}.` : "The LSTM is ahead of none.");
  if (before?.race) words.push(`The run before (${named(before.settings)}), on unseen bowls: ${show(before.race.end)}; now ${show(race.end)}.`);
  return words.join(" ");
}

const named = ({ hidden, truncation, horizon, beta }) => `${hidden} units, truncation ${truncation}, horizon ${horizon}, β = ${show(beta)}`;
const ahead = (settings) => `Learn begins ${settings.iterations} iterations with ${named(settings)}.`;

export default {
  render: ({ model, el }) => {
    const follow = follower(model, el, {
      learner: learnLstm, needed: [random, adamStep, constant("SURFACES", SURFACES), constant("RULES", RULES)], settingsOf,
      first: () => ({ race: null, ends: [] }), live: ["arena"],
    });
    const end = figure(model, el, {
      asks: true,
      hint: "Press Learn, and watch the thick line in the race: it flounders, then descends, then overtakes, or does not. Then let the rule loose where it has not practised.",
      height: (width) => (width < 560 ? 500 : 380),
      words: 450,
      controls: [
        slider("hidden", "units in a layer", { values: HIDDEN }),
        slider("horizon", "horizon", { values: HORIZONS }),
        slider("truncation", "truncation", { values: PIECES, most: (of) => of.get("horizon") }),
        slider("beta", "meta rate β", { min: 0.0001, max: 1, log: true, step: 10 }),
        slider("iterations", "iterations", { values: ITERATIONS }),
        choice("arena", "race on", ARENAS),
        button("Another random start", (of) => change(of, { seed: settingsOf(of).seed + 1 })),
        driving(follow),
      ],
      draw: (stage) => draw(stage, follow.now),
    });
    return () => { end(); follow.end(); };
  },
};
