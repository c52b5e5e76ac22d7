// A bandit with three arms: a learned recurrent policy beside four rules that people have thought out.

const ARMS = 3;

// The learned policy: a GRU, its weights in the order of torch's parameters.
export function policyOf(numbers, hidden) {
  let at = 0;
  const take = (count) => Float64Array.from(numbers.slice(at, (at += count)));
  return {
    hidden, input: take(3 * hidden * (ARMS + 1)), recurrent: take(3 * hidden * hidden),
    inputBias: take(3 * hidden), recurrentBias: take(3 * hidden), output: take(ARMS * hidden), outputBias: take(ARMS),
  };
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// The memory after it has seen the last arm (-1: none yet) and what that arm paid. The rows of the
// matrices are first those of gate r, then of gate z, then of the proposal n.
function remember({ hidden, input, recurrent, inputBias, recurrentBias }, arm, reward, memory) {
  const seen = new Float64Array(3 * hidden), recalled = new Float64Array(3 * hidden), next = new Float64Array(hidden);
  for (let row = 0; row < 3 * hidden; row += 1) {
    let sum = recurrentBias[row];
    for (let j = 0; j < hidden; j += 1) sum += recurrent[row * hidden + j] * memory[j];
    recalled[row] = sum;
    const from = row * (ARMS + 1);
    seen[row] = inputBias[row] + (arm < 0 ? 0 : input[from + arm] + reward * input[from + ARMS]);
  }
  for (let i = 0; i < hidden; i += 1) {
    const r = sigmoid(seen[i] + recalled[i]), z = sigmoid(seen[hidden + i] + recalled[hidden + i]);
    next[i] = (1 - z) * Math.tanh(seen[2 * hidden + i] + r * recalled[2 * hidden + i]) + z * memory[i];
  }
  return next;
}

function softmax(scores) {
  const most = Math.max(...scores), parts = scores.map((score) => Math.exp(score - most));
  const sum = parts.reduce((a, b) => a + b);
  return parts.map((part) => part / sum);
}

function chancesOf({ hidden, output, outputBias }, memory) {
  return softmax(Array.from({ length: ARMS }, (_, a) => memory.reduce((sum, m, j) => sum + output[a * hidden + j] * m, outputBias[a])));
}

// What the policy remembers, and its chances of each arm, after a history [[arm, reward], …].
export function recall(numbers, hidden, history) {
  const policy = policyOf(numbers, hidden);
  let memory = new Float64Array(hidden);
  for (const [arm, reward] of [[-1, 0], ...history]) memory = remember(policy, arm, reward, memory);
  return { memory: Array.from(memory), chances: chancesOf(policy, memory) };
}

const largest = (values) => values.indexOf(Math.max(...values));
const only = (arm) => Array.from({ length: ARMS }, (_, a) => Number(a === arm));

function drawn(chances, uniform) {
  let left = uniform(), arm = 0;
  while (arm < ARMS - 1 && left >= chances[arm]) { left -= chances[arm]; arm += 1; }
  return arm;
}

// A draw from the belief after `wins` and `losses`: a Beta variable, from sums of exponential ones.
function believed(wins, losses, uniform) {
  const gamma = (count) => {
    let product = 1;
    for (let i = 0; i <= count; i += 1) product *= 1 - uniform();
    return -Math.log(product);
  };
  const won = gamma(wins), lost = gamma(losses);
  return won / (won + lost);
}

// Each agent: from its pulls and wins, and a random number generator, to the arm and, where the rule
// names them, the chances that it gave to the arms.
const AGENTS = {
  learned({ policy }) {
    let memory = new Float64Array(policy.hidden);
    return ({ arm, reward, uniform }) => {
      memory = remember(policy, arm, reward, memory);
      const chances = chancesOf(policy, memory);
      return { arm: drawn(chances, uniform), chances };
    };
  },
  greedy({ epsilon }) {
    return ({ pulls, wins, uniform }) => {
      const best = largest(pulls.map((n, a) => (n ? wins[a] / n : 1)));
      const chances = only(best).map((one) => (1 - epsilon) * one + epsilon / ARMS);
      return { arm: drawn(chances, uniform), chances };
    };
  },
  thompson() {
    return ({ pulls, wins, uniform }) => ({ arm: largest(pulls.map((n, a) => believed(wins[a], n - wins[a], uniform))) });
  },
  ucb1: () => bound(Math.SQRT2),
  tuned: ({ c }) => bound(c),
};

function bound(c) {
  return ({ pulls, wins, number }) => {
    const time = Math.log(Math.max(number, 1));
    const arm = largest(pulls.map((n, a) => (n ? wins[a] / n + c * Math.sqrt(time / n) : Infinity)));
    return { arm, chances: only(arm) };
  };
}

// One game: [{ arm, reward, chances }, …]. In the game of this number the arms' order and the luck
// of each round are the same for all agents.
export function play(agent, setting, game) {
  const luck = random(7919 * game + 1), { uniform } = random(104729 * game + 13 + 31 * Object.keys(AGENTS).indexOf(agent));
  const keys = setting.mu.map(() => luck.uniform());
  const order = [0, 1, 2].sort((a, b) => keys[a] - keys[b]);
  const pulls = [0, 0, 0], wins = [0, 0, 0], choose = AGENTS[agent](setting), moves = [];
  let arm = -1, reward = 0;
  for (let number = 0; number < setting.rounds; number += 1) {
    const choice = choose({ pulls, wins, number, arm, reward, uniform });
    arm = choice.arm;
    reward = Number(luck.uniform() < setting.mu[order[arm]]);
    pulls[arm] += 1;
    wins[arm] += reward;
    moves.push({ arm: order[arm], reward, chances: choice.chances && [0, 1, 2].map((a) => choice.chances[order.indexOf(a)]) });
  }
  return moves;
}

// Sums over games, by round: of the regret so far and of the mean reward so far, and of their squares.
export function tally(agent, setting, from, to, sums = null) {
  const { mu, rounds } = setting, best = Math.max(...mu), blank = () => new Array(rounds).fill(0);
  sums ??= { games: 0, regret: blank(), regret2: blank(), reward: blank(), reward2: blank() };
  for (let game = from; game < to; game += 1) {
    let regret = 0, won = 0;
    play(agent, setting, game).forEach(({ arm, reward }, t) => {
      regret += best - mu[arm];
      won += reward;
      sums.regret[t] += regret;
      sums.regret2[t] += regret ** 2;
      sums.reward[t] += won / (t + 1);
      sums.reward2[t] += (won / (t + 1)) ** 2;
    });
    sums.games += 1;
  }
  return sums;
}

const NAMES = { learned: "learned policy", greedy: "ε-greedy", thompson: "Thompson", ucb1: "UCB1", tuned: "tuned UCB" };
const KINDS = { learned: "c1 thick", greedy: "c5 dashdot", thompson: "c4", ucb1: "c2 dotted", tuned: "c3 dashed" };
const SUBSCRIPTS = ["₁", "₂", "₃"];
const SLICE = 5; // milliseconds of games in a frame, and less while something moves
const MOVING = 60; // milliseconds after the last move

const kept = new WeakMap();

// What a figure has computed so far, and how it is drawn again.
function store(model) {
  if (!kept.has(model)) kept.set(model, { policy: policyOf(floats(model, "weights"), model.get("hidden")), tallies: new Map(), views: new Set(), waiting: 0 });
  return kept.get(model);
}

function settingOf(model) {
  const mu = ["mu1", "mu2", "mu3"].map((name) => model.get(name));
  return { mu, rounds: Math.max(1, model.get("rounds")), epsilon: model.get("epsilon"), c: model.get("c"), policy: store(model).policy };
}

// Play a few more games, of the agents who have played least, and ask to go on if some are left. While
// a slider moves, nothing but its own drawing is done.
function grown(model, setting) {
  const own = store(model), { tallies } = own, all = model.get("games");
  if (tallies.size > 400) tallies.clear();
  const keys = Object.keys(NAMES).map((agent) => [agent, setting.mu, setting.rounds, agent === "greedy" && setting.epsilon].join());
  const now = performance.now();
  if (own.last !== keys.join(" ")) own.moved = now;
  const moving = now - own.moved < MOVING, until = now + (moving ? 1 : SLICE);
  const count = (key) => tallies.get(key)?.games ?? 0;
  let least;
  do {
    least = Math.min(...keys.map(count));
    const next = keys.findIndex((key) => count(key) === least);
    if (least < all) tallies.set(keys[next], tally(Object.keys(NAMES)[next], setting, least, least + 1, tallies.get(keys[next])));
  } while (least < all && (least < 2 || performance.now() < until));
  own.last = keys.join(" ");
  clearTimeout(own.waiting);
  if (least < all) own.waiting = setTimeout(() => requestAnimationFrame(() => own.views.forEach((again) => again())), moving ? MOVING : 0);
  return { games: Math.min(...keys.map(count)), sums: keys.map((key) => tallies.get(key)) };
}

// Mean and half a 95 % interval, by round.
function estimates(sums, of) {
  const n = sums.games, mean = sums[of].map((sum) => sum / n);
  const half = mean.map((m, t) => (n > 1 ? 1.96 * Math.sqrt(Math.max(0, sums[`${of}2`][t] / n - m * m) / (n - 1)) : 0));
  return { mean, half };
}

const roundUp = (value) => [0.5, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80].find((top) => top >= value) ?? 120;

function draw(stage, model) {
  const setting = settingOf(model), { games, sums } = grown(model, setting), of = model.get("measure");
  const { rounds, mu } = setting, [curves, cells] = stage.narrow
    ? [{ x: 0, y: 0, width: stage.width, height: 262 }, { x: 0, y: 258, width: stage.width, height: stage.height - 258 }] : stage.boxes([1.1, 1]);
  const names = Object.keys(NAMES), all = model.get("games");
  // Who asks for less motion sees the curves when they are complete.
  const ready = games > 1 && (games >= all || !still());
  const found = ready ? sums.map((one) => estimates(one, of)) : [];
  const top = of === "reward" ? 1 : roundUp(Math.max(0.01, ...found.map(({ mean, half }) => mean.at(-1) + half.at(-1))));
  const axes = stage.axes({ ...curves, height: curves.height - 62 }, {
    x: [0, rounds], y: [0, top], xlabel: "round", title: `mean of ${games} of ${all} games`,
    ylabel: of === "reward" ? "mean reward" : "regret, in wins",
  });
  if (of === "reward") axes.line([0, rounds], [Math.max(...mu), Math.max(...mu)], "grey thin dashed");
  const xs = Array.from({ length: rounds }, (_, t) => t + 1);
  found.forEach(({ mean, half }, i) => {
    axes.band(xs, mean.map((m, t) => m - half[t]), mean.map((m, t) => m + half[t]), KINDS[names[i]].slice(0, 2));
    axes.line(xs, mean, KINDS[names[i]]);
  });
  const ends = found.map(({ mean, half }) => `${mean.at(-1).toFixed(2)} ± ${half.at(-1).toFixed(2)}`);
  const entries = names.map((name, i) => [KINDS[name], ready ? `${NAMES[name]} ${mean2(found[i])}` : NAMES[name]]);
  const foot = curves.y + curves.height - 52;
  legend(stage, curves.x + 40, foot, entries.slice(0, 3));
  legend(stage, curves.x + 40 + (curves.width - 40) / 2, foot, entries.slice(3));
  const score = oneGame(stage, model, setting, cells);
  if (!ready) return `${games} of ${all} games played.`;
  const told = names.map((name, i) => `${NAMES[name]} ${ends[i]}`).join(", ");
  return of === "reward" ? `After ${rounds} rounds, ${games} games: mean reward ${told}. ${score}` : `After ${rounds} rounds, ${games} games: regret ${told}. ${score}`;
}

const mean2 = ({ mean }) => mean.at(-1).toFixed(2);

// One game of the policy and one of its rival: a row for each arm, a column for each round.
function oneGame(stage, model, setting, box) {
  const left = box.x + 58, width = box.width - 70, rival = model.get("rival"), number = model.get("game");
  const step = width / setting.rounds, upTo = Math.min(Math.max(0, model.get("moment")), setting.rounds);
  const block = (box.height - 30) / 2, row = Math.min(42, (block - 34) / 3);
  const scores = ["learned", rival].map((agent, i) => {
    const top = box.y + 10 + i * block, moves = play(agent, setting, number - 1).slice(0, upTo);
    const won = moves.reduce((sum, { reward }) => sum + reward, 0);
    stage.text(left, top + 6, `${NAMES[agent]}: ${won} wins`, { class: "title" });
    const kind = KINDS[agent].slice(0, 2), first = top + 16;
    setting.mu.forEach((value, a) => {
      stage.text(left - 6, first + (a + 0.5) * row + 4, `μ${SUBSCRIPTS[a]} ${show(value)}`, { "text-anchor": "end" });
      svg("line", { x1: left, x2: left + width, y1: first + (a + 0.5) * row, y2: first + (a + 0.5) * row, class: "line grey thin faint" }, stage.back);
    });
    const at = (a) => first + (a + 0.5) * row;
    setting.mu.forEach((_, a) => shade(moves.map(({ chances }) => chances?.[a] ?? 0), (from, to, chance) => svg("rect", {
      x: left + from * step, y: at(a) - row / 2 + 1, width: (to - from) * step, height: row - 2, class: `band ${kind}`, style: `opacity: ${0.45 * chance}`,
    }, stage.back)));
    const bars = moves.map(({ arm, reward }, t) => {
      const tall = row * (reward ? 0.76 : 0.26);
      return `M${(left + (t + 0.2) * step).toFixed(1)} ${at(arm) - tall / 2}h${0.6 * step}v${tall}h${-0.6 * step}z`;
    });
    svg("path", { d: bars.join(""), class: `dot ${kind}`, style: "stroke: none" }, stage.back);
    return `${NAMES[agent]} ${won}`;
  });
  const agent = rival === "thompson" ? "the learned policy" : "the agent";
  stage.text(left, box.y + box.height - 20, "across: rounds; a tall bar: it paid; a short one: not", { class: "small" });
  stage.text(left, box.y + box.height - 5, `shade: ${agent}’s chance of each arm`, { class: "small" });
  return `Game ${number}, wins up to round ${upTo}: ${scores.join(", ")}.`;
}

// Call `act(from, to, chance)` for each run of rounds with the same chance, in steps of 5 %.
function shade(chances, act) {
  const level = chances.map((chance) => Math.round(20 * chance) / 20);
  for (let from = 0, to = 0; from < level.length; from = to) {
    while (to < level.length && level[to] === level[from]) to += 1;
    if (level[from] > 0) act(from, to, level[from]);
  }
}

const redrawn = (panel, model, id, changed) => { store(model).views.add(() => panel.isConnected && changed()); };

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Make the three chances nearly alike, or all very good. Under “More settings” let ε grow, or play 100 rounds, far more than the policy was trained for.",
    height: (width) => (width < 560 ? 478 : 400),
    words: 280,
    controls: [
      redrawn,
      ...SUBSCRIPTS.map((small, i) => slider(`mu${i + 1}`, `μ${small}`, { min: 0, max: 1, step: 0.05 })),
      choice("rival", "a game beside", Object.entries(NAMES).slice(1)),
      slider("game", "game", { min: 1, max: 40 }),
      slider("moment", "up to round", { min: 0, max: 100, most: (model) => model.get("rounds") }),
      player("moment", "Play the game", (model) => model.get("rounds"), 300),
    ],
    more: [
      slider("rounds", "rounds", { min: 5, max: 100, step: 5 }),
      slider("epsilon", "ε", { min: 0, max: 1, step: 0.05 }),
      choice("measure", "curves", [["regret", "regret"], ["reward", "mean reward"]]),
    ],
    draw,
  }),
};
