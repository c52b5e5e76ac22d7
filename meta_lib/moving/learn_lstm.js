// The LSTM optimizer on random bowls, as in meta_lib.lstm_optimizer: its steps, and the gradient of a
// piece of them by back-propagation through time, in 64 bits. All is in one function, whose text is the
// whole program of a worker (learning.js). It needs `random` of kit.js, `adamStep` of learning.js, and
// SURFACES and RULES of optimizers.js.

function learnLstm() {
  const TASKS = 16, DIMENSIONS = 10, RACE = 100, UNSEEN = 20, EVERY = 20, SCALE = 0.1, VALIDATION = 40;
  const RATES = Array.from({ length: 21 }, (_, i) => 10 ** (-3 + i / 4));
  const many = (count, draw) => Float64Array.from({ length: count }, draw);

  // Bowls ‖Wθ - y‖², a start for each, from a seed, in the order of meta_lib.tasks.quadratics. θ of all
  // tasks lies in one array, task by task. A problem writes its gradient at θ into `slope`, and returns
  // its loss.

  function bowl(W, y, size) {
    const rest = new Float64Array(size);
    return (theta, slope) => {
      let loss = 0;
      slope.fill(0);
      for (let i = 0; i < size; i += 1) {
        let sum = -y[i];
        for (let j = 0; j < size; j += 1) sum += W[i * size + j] * theta[j];
        rest[i] = sum;
        loss += sum * sum;
      }
      for (let i = 0; i < size; i += 1) {
        for (let j = 0; j < size; j += 1) slope[j] += 2 * rest[i] * W[i * size + j];
      }
      return loss;
    };
  }

  // `units` measures θ in another unit: y and the start become as many times as large.
  function sample(normal, tasks = TASKS, size = DIMENSIONS, units = 1) {
    const W = many(tasks * size * size, normal), y = many(tasks * size, () => units * normal());
    const problems = Array.from({ length: tasks }, (_, task) =>
      bowl(W.subarray(task * size * size, (task + 1) * size * size), y.subarray(task * size, (task + 1) * size), size));
    return { problems, size, theta: many(tasks * size, () => units * normal()) };
  }

  // Losses of all tasks, summed; the gradients are put into `slope`.
  function losses({ problems, size }, theta, slope) {
    return problems.reduce((sum, problem, task) => {
      const from = task * size, to = from + size;
      return sum + problem(theta.subarray(from, to), slope.subarray(from, to));
    }, 0);
  }

  // The rule: two LSTM layers and a linear one. Its weights φ lie in one array, in torch's order.

  function parts(phi, hidden) {
    let used = 0;
    const take = (count) => phi.subarray(used, (used += count));
    const layers = [2, hidden].map((inputs) => ({
      inputs, W: take(4 * hidden * inputs), U: take(4 * hidden * hidden), b: take(4 * hidden), d: take(4 * hidden),
    }));
    return { layers, out: take(hidden), bias: take(1) };
  }

  const sizeOf = (hidden) => 4 * hidden * (2 + hidden + 2) + 4 * hidden * (hidden + hidden + 2) + hidden + 1;

  // What `steps` steps for n coordinates leave behind: the input, and of each layer the gates (torch's
  // order: input, forget, candidate, output), the cell state, its tanh, and the hidden state. h[0] and
  // c[0] are those before the first step.
  function memory(n, hidden, steps) {
    const list = (count, width) => Array.from({ length: count }, () => new Float64Array(n * width));
    const layer = () => ({ z: list(steps, 4 * hidden), c: list(steps + 1, hidden), tanh: list(steps, hidden), h: list(steps + 1, hidden) });
    return { n, hidden, steps, seen: list(steps, 2), layers: [layer(), layer()], slopes: list(steps + 1, 1), update: new Float64Array(n) };
  }

  function cell({ inputs, W, U, b, d }, { z, c, tanh, h }, x, t, n, hidden) {
    const gates = z[t], [before, after] = [c[t], c[t + 1]], [held, next] = [h[t], h[t + 1]], bend = tanh[t];
    for (let p = 0; p < n; p += 1) {
      const at = p * hidden, from = p * inputs, row = p * 4 * hidden;
      for (let r = 0; r < 4 * hidden; r += 1) {
        let sum = b[r] + d[r];
        for (let j = 0, w = r * inputs; j < inputs; j += 1, w += 1) sum += W[w] * x[from + j];
        for (let j = 0, w = r * hidden; j < hidden; j += 1, w += 1) sum += U[w] * held[at + j];
        gates[row + r] = r >= 2 * hidden && r < 3 * hidden ? Math.tanh(sum) : 1 / (1 + Math.exp(-sum));
      }
      for (let k = 0; k < hidden; k += 1) {
        const sum = gates[row + hidden + k] * before[at + k] + gates[row + k] * gates[row + 2 * hidden + k];
        after[at + k] = sum;
        bend[at + k] = Math.tanh(sum);
        next[at + k] = gates[row + 3 * hidden + k] * bend[at + k];
      }
    }
  }

  // One step: from the gradients in at.slopes[t] to the updates of all coordinates, in at.update.
  function step({ layers, out, bias }, at, t) {
    const { n, hidden, seen, slopes, update } = at, smallest = Math.exp(-10);
    for (let p = 0; p < n; p += 1) {
      const g = slopes[t][p], large = Math.abs(g) >= smallest;
      seen[t][2 * p] = large ? Math.log(Math.abs(g)) / 10 : -1;
      seen[t][2 * p + 1] = large ? Math.sign(g) : Math.exp(10) * g;
    }
    cell(layers[0], at.layers[0], seen[t], t, n, hidden);
    cell(layers[1], at.layers[1], at.layers[0].h[t + 1], t, n, hidden);
    const h = at.layers[1].h[t + 1];
    for (let p = 0; p < n; p += 1) {
      let sum = bias[0];
      for (let k = 0; k < hidden; k += 1) sum += out[k] * h[p * hidden + k];
      update[p] = SCALE * sum;
    }
  }

  // What one step hands on to the next piece, as plain numbers: the last state becomes the first.
  function carry({ layers, steps }) {
    for (const { c, h } of layers) { c[0].set(c[steps]); h[0].set(h[steps]); }
  }

  function forget({ layers }) {
    for (const { c, h } of layers) { c[0].fill(0); h[0].fill(0); }
  }

  // Back through one step of one layer for coordinate p: dh and dc are the slopes in its h and c, and
  // become those in the h and c before; the slope in its input is put into dx.
  function backCell({ inputs, W, U }, own, { z, c, tanh, h }, x, t, p, hidden, dh, dc, dx, dz) {
    const at = p * hidden, row = p * 4 * hidden, from = p * inputs, gates = z[t], before = c[t], held = h[t];
    for (let k = 0; k < hidden; k += 1) {
      const i = gates[row + k], f = gates[row + hidden + k], g = gates[row + 2 * hidden + k], o = gates[row + 3 * hidden + k], bend = tanh[t][at + k];
      const slope = dc[k] + dh[k] * o * (1 - bend * bend);
      dz[k] = slope * g * i * (1 - i);
      dz[hidden + k] = slope * before[at + k] * f * (1 - f);
      dz[2 * hidden + k] = slope * i * (1 - g * g);
      dz[3 * hidden + k] = dh[k] * bend * o * (1 - o);
      dc[k] = slope * f;
    }
    dh.fill(0);
    dx.fill(0);
    for (let r = 0; r < 4 * hidden; r += 1) {
      const slope = dz[r];
      own.b[r] += slope;
      own.d[r] += slope;
      for (let j = 0, w = r * inputs; j < inputs; j += 1, w += 1) { own.W[w] += slope * x[from + j]; dx[j] += slope * W[w]; }
      for (let j = 0, w = r * hidden; j < hidden; j += 1, w += 1) { own.U[w] += slope * held[at + j]; dh[j] += slope * U[w]; }
    }
  }

  // The mean loss over a piece of at.steps steps from θ, which goes along, and its gradient for φ. The
  // gradients that the rule is given count as constants. at.slopes[0] holds those at θ.
  function piece(phi, batch, theta, at) {
    const { n, hidden, steps, slopes, seen, layers } = at, { problems } = batch, rule = parts(phi, hidden);
    let loss = 0;
    for (let t = 0; t < steps; t += 1) {
      step(rule, at, t);
      for (let p = 0; p < n; p += 1) theta[p] += at.update[p];
      loss += losses(batch, theta, slopes[t + 1]) / problems.length / steps;
    }
    const gradient = new Float64Array(sizeOf(hidden)), own = parts(gradient, hidden), room = () => new Float64Array(hidden);
    const [dh1, dc1, dh2, dc2, dx2] = [room(), room(), room(), room(), room()], dx1 = new Float64Array(2), dz = new Float64Array(4 * hidden);
    for (let p = 0; p < n; p += 1) {
      for (const one of [dh1, dc1, dh2, dc2]) one.fill(0);
      let ahead = 0; // how the losses from here on change with θ, and so with the update
      for (let t = steps - 1; t >= 0; t -= 1) {
        ahead += slopes[t + 1][p] / problems.length / steps;
        own.bias[0] += SCALE * ahead;
        for (let k = 0; k < hidden; k += 1) {
          own.out[k] += SCALE * ahead * layers[1].h[t + 1][p * hidden + k];
          dh2[k] += SCALE * ahead * rule.out[k];
        }
        backCell(rule.layers[1], own.layers[1], layers[1], layers[0].h[t + 1], t, p, hidden, dh2, dc2, dx2, dz);
        for (let k = 0; k < hidden; k += 1) dh1[k] += dx2[k];
        backCell(rule.layers[0], own.layers[0], layers[0], seen[t], t, p, hidden, dh1, dc1, dx1, dz);
      }
    }
    slopes[0].set(slopes[steps]);
    return { gradient, loss };
  }

  // The race: what the rule and its hand-made rivals make of problems that it has not practised on.

  // Mean losses on the way, RACE + 1 of them, of whatever answers to the gradients with updates.
  function descend(batch, answer) {
    const theta = batch.theta.slice(), slope = new Float64Array(theta.length), curve = [];
    for (let t = 1; ; t += 1) {
      curve.push(losses(batch, theta, slope) / batch.problems.length);
      if (t > RACE) return curve;
      const update = answer(slope, t);
      for (let p = 0; p < theta.length; p += 1) theta[p] += update[p];
    }
  }

  function byRule(phi, hidden, batch) {
    const at = memory(batch.theta.length, hidden, 1), rule = parts(phi, hidden);
    return descend(batch, (slope) => {
      at.slopes[0].set(slope);
      step(rule, at, 0);
      carry(at);
      return at.update;
    });
  }

  function byHand(name, alpha, batch) {
    const change = RULES[name](alpha)(batch.theta.length), update = new Float64Array(batch.theta.length);
    return descend(batch, (slope, t) => {
      for (let p = 0; p < update.length; p += 1) update[p] = change(slope[p], p, t);
      return update;
    });
  }

  const RIVALS = ["SGD", "momentum", "Adam"];
  let rates = null;

  // Each rival's best rate of 21, by the mean loss at the end of the race on other bowls.
  function tuned() {
    if (!rates) {
      const batch = sample(random(2 ** 30).normal, VALIDATION);
      rates = Object.fromEntries(RIVALS.map((name) => {
        const ends = RATES.map((alpha) => byHand(name, alpha, batch).at(-1)).map((end) => (Number.isFinite(end) ? end : Infinity));
        return [name, RATES[ends.indexOf(Math.min(...ends))]];
      }));
    }
    return rates;
  }

  const surface = (name) => () => ({
    problems: new Array(UNSEEN).fill(SURFACES[name]), size: 2, theta: (({ uniform }) => many(2 * UNSEEN, () => -3 + 6 * uniform()))(random(2 ** 31)),
  });
  const ARENAS = {
    bowls: () => sample(random(2 ** 31).normal, UNSEEN), tenfold: () => sample(random(2 ** 31).normal, UNSEEN, DIMENSIONS, 10),
    valley: surface("valley"), ripples: surface("ripples"),
  };
  const arenas = {};

  // An arena's problems, and what the tuned rivals make of them.
  function arenaOf(name) {
    if (!arenas[name]) {
      const batch = ARENAS[name](), alphas = tuned();
      arenas[name] = { batch, rivals: Object.fromEntries(RIVALS.map((rival) => [rival, byHand(rival, alphas[rival], batch)])) };
    }
    return arenas[name];
  }

  // A training: where it stands, and one iteration of it.

  function firstWeights(uniform, hidden) {
    return many(sizeOf(hidden), () => (2 * uniform() - 1) / Math.sqrt(hidden));
  }

  function start(settings) {
    const { hidden, truncation, seed } = settings, { uniform, normal } = random(seed), size = sizeOf(hidden);
    return {
      settings, phi: firstWeights(uniform, hidden), done: 0, normal, curve: [], sum: 0, failed: 0, batch: null, ends: [], races: {},
      adam: { steps: 0, mean: new Float64Array(size), square: new Float64Array(size) }, at: memory(TASKS * DIMENSIONS, hidden, truncation),
    };
  }

  function iterate(state) {
    const { settings, phi, at } = state, { horizon, truncation, beta, iterations } = settings, pieces = horizon / truncation;
    if (state.done % pieces === 0) {
      state.batch = sample(state.normal);
      forget(at);
      losses(state.batch, state.batch.theta, at.slopes[0]);
    } else carry(at);
    const { gradient, loss } = piece(phi, state.batch, state.batch.theta, at);
    if (!Number.isFinite(loss + gradient.reduce((a, b) => a + b * b, 0))) { state.failed = state.done + 1; return; }
    // The rate falls evenly to 0, which lets a short training settle.
    adamStep(phi, gradient, state.adam, beta * Math.max(0, 1 - state.done / iterations));
    state.done += 1;
    state.races = {};
    state.sum += loss / pieces;
    if (state.done % pieces === 0) { state.curve.push(state.sum); state.sum = 0; }
    if (state.done % EVERY === 0) state.ends.push(race(state, "bowls").at(-1));
  }

  // The rule's race as it is now, kept until it has learned more.
  function race(state, arena) {
    state.races[arena] ??= byRule(state.phi, state.settings.hidden, arenaOf(arena).batch);
    return state.races[arena];
  }

  // What the page is told: copies, since the training goes on. The race is run where the rule rests, and
  // after every EVERY iterations.
  function report(state, since, resting) {
    const { done, failed, phi, curve, ends, settings: { arena } } = state;
    if (resting || state.shown?.arena !== arena || done - state.shown.done >= EVERY) {
      state.shown = { done, arena, rule: race(state, arena), end: race(state, "bowls").at(-1), rivals: arenaOf(arena).rivals, target: arenaOf("bowls").rivals, rates: tuned() };
    }
    return { done, failed, phi: phi.slice(), curve: curve.slice(since), ends: ends.slice(), race: state.shown };
  }

  return { TASKS, DIMENSIONS, EVERY, RACE, sizeOf, sample, losses, memory, forget, carry, piece, byRule, byHand, tuned, arenaOf, firstWeights, start, iterate, report };
}
