// MAML on sine waves, as in meta_lib.maml: the network 1-40-40-1, its gradient, the product of its
// Hessian with a vector, and from both the meta-gradient, in 64 bits. All is in one function, whose
// text is the whole program of a worker (learning.js). It needs `random` of kit.js and `adamStep` of learning.js.

function learnMaml() {
  const WIDE = 40, B1 = WIDE, W2 = 2 * WIDE, B2 = W2 + WIDE * WIDE, W3 = B2 + WIDE, B3 = W3 + WIDE, SIZE = B3 + 1;
  const TASKS = 25, BLOCK = 10;
  // The weights lie in one array, in torch's order: each layer's weights, then its biases. The values of
  // a layer for n points lie in one array, too, point by point. Three products are all that is heavy, and
  // each takes four points at a time, because that is faster.

  // out[p, j] += Σᵢ W[j, i] in[p, i], the way forwards.
  function forwards(out, weights, at, input, n) {
    for (let p = 0; p < n; p += 4) {
      const a = p * WIDE, b = a + WIDE, c = b + WIDE, d = c + WIDE;
      for (let j = 0, w = at; j < WIDE; j += 1) {
        let s = 0, t = 0, u = 0, v = 0;
        for (let i = 0; i < WIDE; i += 1, w += 1) {
          const weight = weights[w];
          s += weight * input[a + i];
          t += weight * input[b + i];
          u += weight * input[c + i];
          v += weight * input[d + i];
        }
        out[a + j] += s;
        out[b + j] += t;
        out[c + j] += u;
        out[d + j] += v;
      }
    }
  }

  // out[p, i] += Σⱼ W[j, i] back[p, j], the way back.
  function backwards(out, weights, at, back, n) {
    for (let p = 0; p < n; p += 4) {
      const a = p * WIDE, b = a + WIDE, c = b + WIDE, d = c + WIDE;
      for (let j = 0; j < WIDE; j += 1) {
        const s = back[a + j], t = back[b + j], u = back[c + j], v = back[d + j];
        if (s === 0 && t === 0 && u === 0 && v === 0) continue;
        for (let i = 0, w = at + j * WIDE; i < WIDE; i += 1, w += 1) {
          const weight = weights[w];
          out[a + i] += weight * s;
          out[b + i] += weight * t;
          out[c + i] += weight * u;
          out[d + i] += weight * v;
        }
      }
    }
  }

  // gradient[j, i] += Σₚ back[p, j] in[p, i].
  function outer(gradient, at, back, input, n) {
    for (let p = 0; p < n; p += 4) {
      const a = p * WIDE, b = a + WIDE, c = b + WIDE, d = c + WIDE;
      for (let j = 0; j < WIDE; j += 1) {
        const s = back[a + j], t = back[b + j], u = back[c + j], v = back[d + j];
        if (s === 0 && t === 0 && u === 0 && v === 0) continue;
        for (let i = 0, w = at + j * WIDE; i < WIDE; i += 1, w += 1) {
          gradient[w] += s * input[a + i] + t * input[b + i] + u * input[c + i] + v * input[d + i];
        }
      }
    }
  }

  // What one pass through the network leaves behind, for up to `most` points: what each unit gives
  // (one, two), the slope of the loss in each output, and in each unit (back1, back2). The room is for
  // whole fours of points; those that are none stay 0.
  function trace(most) {
    const room = () => new Float64Array(4 * Math.ceil(most / 4) * WIDE);
    const few = () => new Float64Array(4 * Math.ceil(most / 4));
    return { most, one: room(), two: room(), back1: room(), back2: room(), y: few(), slope: few() };
  }

  // The network's heights at x, into kept.y. What is not a number stays so.
  function pass(theta, xs, kept) {
    const { one, two, y } = kept, n = xs.length;
    two.fill(0);
    one.fill(0, n * WIDE); // where a longer list of points may have been
    for (let p = 0; p < n; p += 1) {
      for (let i = 0; i < WIDE; i += 1) {
        const sum = theta[i] * xs[p] + theta[B1 + i];
        one[p * WIDE + i] = sum <= 0 ? 0 : sum;
      }
    }
    forwards(two, theta, W2, one, n);
    for (let p = 0; p < n; p += 1) {
      y[p] = theta[B3];
      for (let j = 0, at = p * WIDE; j < WIDE; j += 1, at += 1) {
        const sum = two[at] + theta[B2 + j];
        two[at] = sum <= 0 ? 0 : sum;
        y[p] += theta[W3 + j] * two[at];
      }
    }
    return y;
  }

  // L(θ), the mean squared error on n points, and its gradient, put into `gradient`.
  function slopes(theta, xs, ys, kept, gradient) {
    const { one, two, back1, back2, slope } = kept, n = xs.length;
    const y = pass(theta, xs, kept);
    gradient.fill(0);
    back1.fill(0);
    back2.fill(0, n * WIDE);
    let loss = 0;
    for (let p = 0; p < n; p += 1) {
      const error = y[p] - ys[p];
      loss += (error * error) / n;
      slope[p] = (2 * error) / n;
      gradient[B3] += slope[p];
      for (let j = 0, at = p * WIDE; j < WIDE; j += 1, at += 1) {
        gradient[W3 + j] += slope[p] * two[at];
        back2[at] = two[at] === 0 ? 0 : slope[p] * theta[W3 + j];
        gradient[B2 + j] += back2[at];
      }
    }
    outer(gradient, W2, back2, one, n);
    backwards(back1, theta, W2, back2, n);
    for (let p = 0; p < n; p += 1) {
      for (let i = 0, at = p * WIDE; i < WIDE; i += 1, at += 1) {
        if (one[at] === 0) back1[at] = 0;
        gradient[i] += back1[at] * xs[p];
        gradient[B1 + i] += back1[at];
      }
    }
    return loss;
  }

  // ∇²L(θ) v, where slopes() has left `kept`: the derivative of each of its lines in the direction v.
  function curvature(theta, xs, v, kept, ahead, product) {
    const { one, two, back1, back2, slope } = kept, n = xs.length;
    const { one: one_, two: two_, back1: back1_, back2: back2_ } = ahead; // how fast each changes
    product.fill(0);
    two_.fill(0);
    back1_.fill(0);
    one_.fill(0, n * WIDE);
    back2_.fill(0, n * WIDE);
    for (let p = 0; p < n; p += 1) {
      for (let i = 0, at = p * WIDE; i < WIDE; i += 1, at += 1) {
        one_[at] = one[at] === 0 ? 0 : v[i] * xs[p] + v[B1 + i];
      }
    }
    forwards(two_, theta, W2, one_, n);
    forwards(two_, v, W2, one, n);
    for (let p = 0; p < n; p += 1) {
      let y_ = v[B3];
      for (let j = 0, at = p * WIDE; j < WIDE; j += 1, at += 1) {
        two_[at] = two[at] === 0 ? 0 : two_[at] + v[B2 + j];
        y_ += theta[W3 + j] * two_[at] + v[W3 + j] * two[at];
      }
      const slope_ = (2 * y_) / n;
      product[B3] += slope_;
      for (let j = 0, at = p * WIDE; j < WIDE; j += 1, at += 1) {
        product[W3 + j] += slope_ * two[at] + slope[p] * two_[at];
        back2_[at] = two[at] === 0 ? 0 : slope_ * theta[W3 + j] + slope[p] * v[W3 + j];
        product[B2 + j] += back2_[at];
      }
    }
    outer(product, W2, back2_, one, n);
    outer(product, W2, back2, one_, n);
    backwards(back1_, theta, W2, back2_, n);
    backwards(back1_, v, W2, back2, n);
    for (let p = 0; p < n; p += 1) {
      for (let i = 0, at = p * WIDE; i < WIDE; i += 1, at += 1) {
        if (one[at] === 0) back1_[at] = 0;
        product[i] += back1_[at] * xs[p];
        product[B1 + i] += back1_[at];
      }
    }
  }

  // The room for one task's way through `steps` inner steps.
  function desk(steps, most) {
    const vector = () => new Float64Array(SIZE);
    return {
      steps, most, thetas: Array.from({ length: steps + 1 }, vector), kept: Array.from({ length: steps + 1 }, () => trace(most)),
      ahead: trace(most), slope: vector(), step: vector(), product: vector(),
    };
  }

  // θ₀ = φ, …, θ_K, each α ∇L(θ) further, with only the weights from number `from` on moving; returns the
  // support losses on the way there.
  function innerSteps(phi, xs, ys, alpha, from, at) {
    const losses = [];
    at.thetas[0].set(phi);
    for (let step = 0; step < at.steps; step += 1) {
      const theta = at.thetas[step], next = at.thetas[step + 1];
      losses.push(slopes(theta, xs, ys, at.kept[step], at.slope));
      next.set(theta);
      for (let i = from; i < SIZE; i += 1) next[i] -= alpha * at.slope[i];
    }
    return losses;
  }

  // Adds one task's share of the meta-gradient to `sum`, and returns the query loss L(θ_K).
  function oneTask({ supportX, supportY, queryX, queryY }, phi, { alpha, algorithm }, at, sum) {
    const { thetas, kept, steps, step, product, ahead } = at;
    if (algorithm === "Reptile") {
      // It knows no query set: it steps towards where training on all points leads.
      innerSteps(phi, Float64Array.of(...supportX, ...queryX), Float64Array.of(...supportY, ...queryY), alpha, 0, at);
      for (let i = 0; i < SIZE; i += 1) sum[i] += (phi[i] - thetas[steps][i]) / alpha;
      return slopes(thetas[steps], queryX, queryY, kept[steps], step);
    }
    const from = algorithm === "ANIL" ? W3 : 0;
    innerSteps(phi, supportX, supportY, alpha, from, at);
    const loss = slopes(thetas[steps], queryX, queryY, kept[steps], step); // v = ∇L(θ_K)
    for (let k = steps - 1; k >= 0 && algorithm !== "first order"; k -= 1) {
      // Back through θ ↦ θ - α ∇L(θ): v becomes v - α ∇²L(θ) v. What does not move has no share in it.
      const moving = from ? step.slice().fill(0, 0, from) : step;
      curvature(thetas[k], supportX, moving, kept[k], ahead, product);
      for (let i = 0; i < SIZE; i += 1) step[i] -= alpha * product[i];
    }
    for (let i = 0; i < SIZE; i += 1) sum[i] += step[i];
    return loss;
  }

  // The meta-gradient, the mean over the tasks, and the mean query loss after the inner steps.
  function metaGradient(phi, tasks, settings, at = desk(settings.steps, pointsOf(tasks[0]))) {
    const gradient = new Float64Array(SIZE);
    let loss = 0;
    for (const task of tasks) loss += oneTask(task, phi, settings, at, gradient) / tasks.length;
    return { gradient: gradient.map((value) => value / tasks.length), loss };
  }

  const pointsOf = ({ supportX, queryX }) => supportX.length + queryX.length;

  // Tasks and weights from a seed, in the order of meta_lib.tasks.sinusoids.

  const many = (count, draw) => Float64Array.from({ length: count }, draw);

  function sample(uniform, shots, count = TASKS) {
    const amplitude = many(count, () => 0.1 + 4.9 * uniform()), phase = many(count, () => Math.PI * uniform());
    const x = () => many(count * shots, () => -5 + 10 * uniform()), support = x(), query = x();
    return Array.from(amplitude, (height, task) => {
      const part = (all) => all.subarray(task * shots, (task + 1) * shots);
      const y = (xs) => xs.map((one) => height * Math.sin(one - phase[task]));
      const [supportX, queryX] = [part(support), part(query)];
      return { supportX, supportY: y(supportX), queryX, queryY: y(queryX) };
    });
  }

  // Within ± 1 / √(inputs), as torch begins.
  function firstWeights(uniform) {
    const deep = 1 / Math.sqrt(WIDE);
    return many(SIZE, (_, i) => (i < W2 ? 1 : deep) * (2 * uniform() - 1));
  }

  // A training: where it stands, and one iteration of it.

  function start(settings) {
    const { uniform } = random(settings.seed);
    return {
      settings, phi: firstWeights(uniform), done: 0, uniform, curve: [], sum: 0, failed: 0,
      adam: { steps: 0, mean: new Float64Array(SIZE), square: new Float64Array(SIZE) },
      desk: desk(settings.steps, 2 * settings.shots),
    };
  }

  function iterate(state) {
    const { settings, phi } = state, { beta, iterations, shots } = settings;
    const { gradient, loss } = metaGradient(phi, sample(state.uniform, shots), settings, state.desk);
    if (!Number.isFinite(loss + gradient.reduce((a, b) => a + b * b, 0))) { state.failed = state.done + 1; return; }
    // The rate falls evenly to 0, which lets a short training settle.
    adamStep(phi, gradient, state.adam, beta * Math.max(0, 1 - state.done / iterations));
    state.done += 1;
    state.sum += loss / BLOCK;
    if (state.done % BLOCK === 0) { state.curve.push(state.sum); state.sum = 0; }
  }

  // The mean error of waves that are always the same and never trained on, after the inner steps.
  function unseen(state) {
    const { settings, phi } = state, from = settings.algorithm === "ANIL" ? W3 : 0, spare = new Float64Array(SIZE);
    const waves = sample(random(2 ** 31).uniform, settings.shots), { desk: at } = state;
    return waves.reduce((sum, { supportX, supportY, queryX, queryY }) => {
      innerSteps(phi, supportX, supportY, settings.alpha, from, at);
      return sum + slopes(at.thetas[settings.steps], queryX, queryY, at.kept[settings.steps], spare) / waves.length;
    }, 0);
  }

  // What the page is told: a copy, since the training goes on.
  function report(state, since) {
    return { done: state.done, failed: state.failed, phi: state.phi.slice(), curve: state.curve.slice(since), since, unseen: unseen(state) };
  }

  return { SIZE, W3, BLOCK, pass, trace, desk, slopes, curvature, innerSteps, metaGradient, sample, firstWeights, start, iterate, report };
}
