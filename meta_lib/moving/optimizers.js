// Optimizers, learned and made by hand, on surfaces with two coordinates and on a small network that
// reads digits. All numbers are doubles, as in torch.

const LOST = 1e12;

// A problem writes its gradient at θ into `slope` and returns its loss.
export const SURFACES = {
  bowl(theta, slope) {
    const u = 1.5 * theta[0] - 0.5 * theta[1] - 1, v = 0.4 * theta[0] + 0.8 * theta[1] + 0.6;
    slope[0] = 2 * (1.5 * u + 0.4 * v);
    slope[1] = 2 * (-0.5 * u + 0.8 * v);
    return u * u + v * v;
  },
  valley(theta, slope) {
    const u = theta[0] - 1, v = theta[1] + 1 - (theta[0] * theta[0]) / 2;
    slope[0] = u - 10 * v * theta[0];
    slope[1] = 10 * v;
    return (u * u) / 2 + 5 * v * v;
  },
  ripples(theta, slope) {
    const [x, y] = theta;
    slope[0] = x + 1.8 * Math.sin(3 * x);
    slope[1] = y + 1.8 * Math.sin(3 * y);
    return (x * x + y * y) / 2 + 0.6 * (2 - Math.cos(3 * x) - Math.cos(3 * y));
  },
};

const [PIXELS, UNITS, CLASSES] = [64, 20, 10];
const SECOND = PIXELS * UNITS + UNITS; // where the second layer's weights begin

// Cross-entropy of a network 64-20-10 with ReLU; `images` hold as many digits of each class, in order.
export function reading(images) {
  const x = Float64Array.from(images, (ink) => ink / 16), count = x.length / PIXELS;
  const h = new Float64Array(UNITS), p = new Float64Array(CLASSES);
  return (theta, slope) => {
    slope.fill(0);
    let loss = 0;
    for (let n = 0; n < count; n += 1) {
      const at = n * PIXELS, label = Math.floor((CLASSES * n) / count);
      for (let k = 0; k < UNITS; k += 1) {
        let sum = theta[PIXELS * UNITS + k];
        for (let j = 0; j < PIXELS; j += 1) sum += theta[k * PIXELS + j] * x[at + j];
        h[k] = Math.max(0, sum);
      }
      for (let c = 0; c < CLASSES; c += 1) {
        p[c] = theta[SECOND + CLASSES * UNITS + c];
        for (let k = 0; k < UNITS; k += 1) p[c] += theta[SECOND + c * UNITS + k] * h[k];
      }
      const top = Math.max(...p), right = p[label] - top;
      let total = 0;
      for (let c = 0; c < CLASSES; c += 1) total += p[c] = Math.exp(p[c] - top);
      loss += (Math.log(total) - right) / count;
      for (let c = 0; c < CLASSES; c += 1) {
        p[c] = (p[c] / total - (c === label)) / count;
        slope[SECOND + CLASSES * UNITS + c] += p[c];
        for (let k = 0; k < UNITS; k += 1) slope[SECOND + c * UNITS + k] += p[c] * h[k];
      }
      for (let k = 0; k < UNITS; k += 1) {
        if (h[k] === 0) continue;
        let back = 0;
        for (let c = 0; c < CLASSES; c += 1) back += p[c] * theta[SECOND + c * UNITS + k];
        slope[PIXELS * UNITS + k] += back;
        for (let j = 0; j < PIXELS; j += 1) slope[k * PIXELS + j] += back * x[at + j];
      }
    }
    return loss;
  };
}

// A rule answers to the gradient g of coordinate i at step t, from 1, with the change of θᵢ. It is
// made for a number of coordinates, and remembers of each what it needs.
const RULES = {
  SGD: (alpha) => () => (g) => -alpha * g,
  momentum: (alpha) => (n) => {
    const m = new Float64Array(n);
    return (g, i) => -alpha * (m[i] = 0.9 * m[i] + g);
  },
  RMSprop: (alpha) => (n) => {
    const v = new Float64Array(n);
    return (g, i) => (-alpha * g) / (Math.sqrt((v[i] = 0.99 * v[i] + 0.01 * g * g)) + 1e-8);
  },
  Adam: (alpha) => (n) => {
    const m = new Float64Array(n), v = new Float64Array(n);
    return (g, i, t) => {
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.999 * v[i] + 0.001 * g * g;
      return (-alpha * m[i]) / (1 - 0.9 ** t) / (Math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-8);
    };
  },
};

const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// The learned rule: two LSTM layers and a linear one, with weights φ in torch's order. It keeps what
// the gates of the coordinates in `gates` do: {i: [[layer 1, layer 2], …]}, in torch's order as well.
function learnedRule({ phi, hidden, scale }, gates) {
  let used = 0;
  const take = (count) => phi.subarray(used, (used += count));
  const layers = [2, hidden].map((inputs) => ({
    inputs, W: take(4 * hidden * inputs), U: take(4 * hidden * hidden), b: take(4 * hidden), d: take(4 * hidden),
  }));
  const out = take(hidden), [bias] = take(1);
  return (n) => {
    const memory = layers.map(() => ({ h: new Float64Array(n * hidden), c: new Float64Array(n * hidden) }));
    const z = layers.map(() => new Float64Array(4 * hidden)), seen = new Float64Array(2);
    const cell = (l, x, from, at) => {
      const { inputs, W, U, b, d } = layers[l], { h, c } = memory[l], gate = z[l];
      for (let r = 0; r < 4 * hidden; r += 1) {
        let sum = b[r] + d[r];
        for (let j = 0; j < inputs; j += 1) sum += W[r * inputs + j] * x[from + j];
        for (let j = 0; j < hidden; j += 1) sum += U[r * hidden + j] * h[at + j];
        gate[r] = r >= 2 * hidden && r < 3 * hidden ? Math.tanh(sum) : sigmoid(sum);
      }
      for (let k = 0; k < hidden; k += 1) {
        c[at + k] = gate[hidden + k] * c[at + k] + gate[k] * gate[2 * hidden + k];
        h[at + k] = gate[3 * hidden + k] * Math.tanh(c[at + k]);
      }
    };
    return (g, i) => {
      const large = Math.abs(g) >= Math.exp(-10), at = i * hidden;
      seen[0] = large ? Math.log(Math.abs(g)) / 10 : -1;
      seen[1] = large ? Math.sign(g) : Math.exp(10) * g;
      cell(0, seen, 0, at);
      cell(1, memory[0].h, at, at);
      gates[i]?.push(z.map((gate) => gate.slice()));
      let sum = bias;
      for (let k = 0; k < hidden; k += 1) sum += out[k] * memory[1].h[at + k];
      return scale * sum;
    };
  };
}

// Optimise θ and keep in `lane` the losses and the places; stops between small pieces of work.
export function* optimise(lane, problem, rule, theta, steps, place = Array.from) {
  const slope = new Float64Array(theta.length), change = rule(theta.length);
  for (let t = 1; ; t += 1) {
    const loss = problem(theta, slope);
    lane.losses.push(loss);
    lane.path.push(place(theta));
    if (t > steps || !(Math.abs(loss) < LOST)) return;
    yield;
    for (let i = 0; i < theta.length; i += 1) {
      theta[i] += change(slope[i], i, t);
      if (i % 64 === 63) yield;
    }
  }
}

// The same for one entry without a pause. `entry` has name, theta, steps, images or surface, and
// alpha, or phi, hidden and scale.
export function run(entry) {
  const lane = { losses: [], path: [], gates: { 0: [] } };
  const problem = entry.images ? reading(entry.images) : SURFACES[entry.surface];
  for (const _ of optimise(lane, problem, ruleOf(entry, lane), Float64Array.from(entry.theta), entry.steps));
  return lane;
}

const ruleOf = (entry, lane) => (entry.name === "LSTM"
  ? learnedRule({ ...entry, phi: Float64Array.from(entry.phi) }, lane.gates) : RULES[entry.name](entry.alpha));
