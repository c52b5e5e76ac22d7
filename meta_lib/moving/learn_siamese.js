// A Siamese network on drawn characters, as in meta_lib.siamese: the network 196-64-2, the contrastive
// loss of pairs and its gradient, in 64 bits. All is in one function, whose text is the whole program of
// a worker (learning.js). It needs `random` of kit.js and `adamStep` of learning.js.

function learnSiamese() {
  const SIDE = 14, PIXELS = SIDE * SIDE, WIDE = 64, B1 = WIDE * PIXELS, W2 = B1 + WIDE, B2 = W2 + 2 * WIDE, SIZE = B2 + 2;
  const FAMILIAR = 200, NEW = 6, DRAWERS = 20, PAIRS = 64, BLOCK = 10;
  const many = (count, draw) => Float64Array.from({ length: count }, draw);

  // Characters from a seed, in the order of meta_lib.tasks.glyphs.

  const POINTS = 40, THICK = 0.045, EDGE = 0.5 / SIDE, FILLS = 0.64;
  const BERNSTEIN = Array.from({ length: POINTS }, (_, i) => i / (POINTS - 1))
    .map((t) => [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t ** 3]);

  // Points along the curves whose four controls, x and y of each, lie one after the other; so do they.
  function curve(controls) {
    const points = new Float64Array((controls.length / 8) * POINTS * 2);
    for (let at = 0, next = 0; at < controls.length; at += 8) {
      for (const [a, b, c, d] of BERNSTEIN) {
        for (let i = at; i < at + 2; i += 1, next += 1) {
          points[next] = a * controls[i] + b * controls[i + 2] + c * controls[i + 4] + d * controls[i + 6];
        }
      }
    }
    return points;
  }

  // Half of the strokes set out where the one before ended; all fill the middle of the sheet.
  function strokes(uniform) {
    const count = 1 + Math.floor(4 * uniform()), controls = many(8 * count, uniform);
    for (let stroke = 1; stroke < count; stroke += 1) {
      if (uniform() < 0.5) controls.set(controls.slice(8 * stroke - 2, 8 * stroke), 8 * stroke);
    }
    const points = curve(controls), sides = [0, 1].map((axis) => points.filter((_, i) => i % 2 === axis));
    const low = sides.map((side) => Math.min(...side)), high = sides.map((side) => Math.max(...side));
    const most = Math.max(high[0] - low[0], high[1] - low[1]);
    return controls.map((value, i) => 0.5 + (FILLS * (value - (low[i % 2] + high[i % 2]) / 2)) / most);
  }

  // Drawing number `d` of `ink`, from 0 (paper) to 1 (ink): how near each pixel is to one of the points.
  function drawn(points, thick, ink, d) {
    for (let pixel = 0; pixel < PIXELS; pixel += 1) {
      const u = ((pixel % SIDE) + 0.5) / SIDE, v = (Math.floor(pixel / SIDE) + 0.5) / SIDE;
      let near = Infinity;
      for (let i = 0; i < points.length; i += 2) {
        const square = (points[i] - u) ** 2 + (points[i + 1] - v) ** 2;
        if (square < near) near = square;
      }
      ink[d * PIXELS + pixel] = 1 / (1 + Math.exp((Math.sqrt(near) - thick) / EDGE));
    }
  }

  // The first `count` drawings of character `number`, one after the other.
  function character(number, count = DRAWERS) {
    const { uniform, normal } = random(number), form = strokes(uniform);
    const controls = Array.from({ length: DRAWERS }, () => form.map((value) => value + 0.04 * normal()));
    const [turn, shear, wide, high] = Array.from({ length: 4 }, () => many(DRAWERS, normal));
    const shift = Array.from({ length: DRAWERS }, () => [0.05 * normal(), 0.05 * normal()]);
    const thick = many(DRAWERS, () => THICK * Math.exp(0.2 * normal())), ink = new Float64Array(count * PIXELS);
    for (let d = 0; d < count; d += 1) {
      const angle = (Math.PI / 180) * 12 * turn[d], slant = 0.15 * shear[d], cos = Math.cos(angle), sin = Math.sin(angle);
      const [sx, sy] = [Math.exp(0.1 * wide[d]), Math.exp(0.1 * high[d])];
      const points = curve(controls[d]);
      for (let i = 0; i < points.length; i += 2) {
        const x = points[i] - 0.5, y = points[i + 1] - 0.5;
        points[i] = x * cos * sx + y * (slant * cos - sin) * sy + 0.5 + shift[d][0];
        points[i + 1] = x * sin * sx + y * (slant * sin + cos) * sy + 0.5 + shift[d][1];
      }
      drawn(points, thick[d], ink, d);
    }
    return ink;
  }

  // As many drawings of a reader's symbol, each a list of points from some hand: it fills the sheet as
  // the characters do.
  function symbol(hands) {
    const ink = new Float64Array(hands.length * PIXELS);
    hands.forEach((points, d) => {
      const sides = [0, 1].map((axis) => points.map((point) => point[axis]));
      const ends = sides.map((side) => [Math.min(...side), Math.max(...side)]), most = Math.max(1, ...ends.map(([low, high]) => high - low));
      drawn(points.flatMap((point) => point.map((value, axis) => 0.5 + (FILLS * (value - (ends[axis][0] + ends[axis][1]) / 2)) / most)), THICK, ink, d);
    });
    return ink;
  }

  function characters(from, count) {
    const all = new Float64Array(count * DRAWERS * PIXELS);
    for (let k = 0; k < count; k += 1) all.set(character(from + k), k * DRAWERS * PIXELS);
    return all;
  }

  // The network. The weights lie in one array, in torch's order; images and features lie in one array,
  // too, one after the other.

  const room = (most) => ({ hidden: new Float64Array(most * WIDE), f: new Float64Array(most * 2), back: new Float64Array(most * WIDE) });

  // The features of n images, a multiple of four of them, into kept.f: four at a time, which is faster.
  function embed(theta, images, n, kept) {
    const { hidden, f } = kept;
    for (let p = 0; p < n; p += 4) {
      const a = p * PIXELS, b = a + PIXELS, c = b + PIXELS, d = c + PIXELS;
      for (let j = 0, w = 0; j < WIDE; j += 1) {
        let s = theta[B1 + j], t = s, u = s, v = s;
        for (let i = 0; i < PIXELS; i += 1, w += 1) {
          const weight = theta[w];
          s += weight * images[a + i];
          t += weight * images[b + i];
          u += weight * images[c + i];
          v += weight * images[d + i];
        }
        hidden[p * WIDE + j] = s > 0 ? s : 0;
        hidden[(p + 1) * WIDE + j] = t > 0 ? t : 0;
        hidden[(p + 2) * WIDE + j] = u > 0 ? u : 0;
        hidden[(p + 3) * WIDE + j] = v > 0 ? v : 0;
      }
    }
    for (let p = 0; p < n; p += 1) {
      for (let k = 0; k < 2; k += 1) {
        let sum = theta[B2 + k];
        for (let j = 0; j < WIDE; j += 1) sum += theta[W2 + k * WIDE + j] * hidden[p * WIDE + j];
        f[2 * p + k] = sum;
      }
    }
    return f;
  }

  // From the slope of a loss in each feature, and what embed() has left, to its gradient.
  function backwards(theta, images, n, kept, slope, gradient) {
    const { hidden, back } = kept;
    gradient.fill(0);
    for (let p = 0; p < n; p += 1) {
      const s = slope[2 * p], t = slope[2 * p + 1];
      gradient[B2] += s;
      gradient[B2 + 1] += t;
      for (let j = 0, at = p * WIDE; j < WIDE; j += 1, at += 1) {
        gradient[W2 + j] += s * hidden[at];
        gradient[W2 + WIDE + j] += t * hidden[at];
        back[at] = hidden[at] === 0 ? 0 : s * theta[W2 + j] + t * theta[W2 + WIDE + j];
        gradient[B1 + j] += back[at];
      }
    }
    for (let p = 0; p < n; p += 4) {
      const a = p * PIXELS, b = a + PIXELS, c = b + PIXELS, d = c + PIXELS;
      for (let j = 0; j < WIDE; j += 1) {
        const at = p * WIDE + j, s = back[at], t = back[at + WIDE], u = back[at + 2 * WIDE], v = back[at + 3 * WIDE];
        if (s === 0 && t === 0 && u === 0 && v === 0) continue;
        for (let i = 0, w = j * PIXELS; i < PIXELS; i += 1, w += 1) {
          gradient[w] += s * images[a + i] + t * images[b + i] + u * images[c + i] + v * images[d + i];
        }
      }
    }
  }

  // The distance of two points in the plane, and its slope in the first of them, put into `out`. Where
  // there is no direction, the slope is 0.
  function distance(x, y, u, v, measure, out) {
    if (measure === "cosine") {
      const a = Math.sqrt(x * x + y * y), b = Math.sqrt(u * u + v * v), lengths = a * b;
      const cos = lengths > 0 ? (x * u + y * v) / lengths : 0;
      out[0] = lengths > 0 ? (cos * x) / (a * a) - u / lengths : 0;
      out[1] = lengths > 0 ? (cos * y) / (a * a) - v / lengths : 0;
      return 1 - cos;
    }
    const D = Math.sqrt((x - u) * (x - u) + (y - v) * (y - v));
    out[0] = D > 0 ? (x - u) / D : 0;
    out[1] = D > 0 ? (y - v) / D : 0;
    return D;
  }

  // The mean contrastive loss of pairs, whose first images come first in `images`, then their second;
  // the first `similar` pairs are of one character. Its gradient is put into `gradient`.
  function pairLoss(theta, images, similar, { margin, measure }, kept, gradient) {
    const pairs = images.length / PIXELS / 2, n = 2 * pairs, f = embed(theta, images, n, kept);
    const slope = new Float64Array(2 * n), one = [0, 0], other = [0, 0];
    let loss = 0;
    for (let pair = 0; pair < pairs; pair += 1) {
      const a = 2 * pair, b = 2 * (pairs + pair);
      const D = distance(f[a], f[a + 1], f[b], f[b + 1], measure, one);
      distance(f[b], f[b + 1], f[a], f[a + 1], measure, other);
      const missing = Math.max(0, margin - D), together = pair < similar;
      loss += (together ? D * D : missing * missing) / 2 / pairs;
      const pull = (together ? D : -missing) / pairs; // dL/dD
      for (const k of [0, 1]) {
        slope[a + k] = pull * one[k];
        slope[b + k] = pull * other[k];
      }
    }
    backwards(theta, images, n, kept, slope, gradient);
    return loss;
  }

  // Pairs from a seed, in the order of meta_lib.siamese.sample_pairs.
  function samplePairs(uniform, similar, ink, images) {
    const draw = (below) => Array.from({ length: PAIRS }, (_, pair) => Math.floor(uniform() * below(pair < similar)));
    const first = draw(() => FAMILIAR), walk = draw(() => FAMILIAR - 1), one = draw(() => DRAWERS), more = draw((same) => DRAWERS - same);
    for (let pair = 0; pair < PAIRS; pair += 1) {
      const same = pair < similar, second = same ? first[pair] : (first[pair] + 1 + walk[pair]) % FAMILIAR;
      const put = (place, kind, drawing) => {
        const from = (kind * DRAWERS + drawing) * PIXELS;
        images.set(ink.subarray(from, from + PIXELS), place * PIXELS);
      };
      put(pair, first[pair], one[pair]);
      put(PAIRS + pair, second, same ? (one[pair] + 1 + more[pair]) % DRAWERS : more[pair]);
    }
    return images;
  }

  // Within ± 1 / √(inputs), as torch begins.
  function firstWeights(uniform) {
    return many(SIZE, (_, i) => (2 * uniform() - 1) / Math.sqrt(i < W2 ? PIXELS : WIDE));
  }

  // A training: where it stands, and one iteration of it.

  let ink = null; // of the familiar characters, then of the new ones

  function start(settings) {
    ink ??= characters(0, FAMILIAR + NEW);
    const { uniform } = random(settings.seed);
    return {
      settings, phi: firstWeights(uniform), done: 0, uniform, curve: [], sum: 0, failed: 0,
      adam: { steps: 0, mean: new Float64Array(SIZE), square: new Float64Array(SIZE) },
      images: new Float64Array(2 * PAIRS * PIXELS), kept: room(2 * PAIRS), gradient: new Float64Array(SIZE),
    };
  }

  function iterate(state) {
    const { settings, phi, gradient } = state, similar = Math.round(settings.similar * PAIRS);
    const loss = pairLoss(phi, samplePairs(state.uniform, similar, ink, state.images), similar, settings, state.kept, gradient);
    if (!Number.isFinite(loss + gradient.reduce((a, b) => a + b * b, 0))) { state.failed = state.done + 1; return; }
    // The rate falls evenly to 0, which lets a short training settle.
    adamStep(phi, gradient, state.adam, settings.beta * Math.max(0, 1 - state.done / settings.iterations));
    state.done += 1;
    state.sum += loss / BLOCK;
    if (state.done % BLOCK === 0) { state.curve.push(state.sum); state.sum = 0; }
  }

  // What the page is told: a copy, since the training goes on; and where the new characters lie.
  function report(state, since) {
    const n = NEW * DRAWERS, at = embed(state.phi, ink.subarray(FAMILIAR * DRAWERS * PIXELS), n, room(n));
    return { done: state.done, failed: state.failed, phi: state.phi.slice(), curve: state.curve.slice(since), at };
  }

  return { SIDE, PIXELS, FAMILIAR, NEW, DRAWERS, PAIRS, BLOCK, SIZE, room, character, characters, symbol, embed, distance, pairLoss, samplePairs, firstWeights, start, iterate, report };
}
