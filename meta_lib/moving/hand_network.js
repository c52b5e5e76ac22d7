// From the strokes of a drawing to its picture, and from there to its embedding.
// A drawing is as in pad.js.

const SIDE = 28, LONGEST = 17, INK = 0.9, WIDTH = 0.55;

// The drawing as ink on paper, 28 × 28, with the size and the shade of Omniglot's characters.
export function picture(drawing) {
  const strokes = drawing.map(pointsOf), points = strokes.flat();
  const sides = [0, 1].map((i) => points.map((point) => point[i])).map((list) => [Math.min(...list), Math.max(...list)]);
  const longer = Math.max(1, ...sides.map(([low, high]) => high - low));
  const scale = Math.min(LONGEST / longer, SIDE / (PAPER + 1));
  const place = (point) => point.map((value, i) => (value - (sides[i][0] + sides[i][1]) / 2) * scale + (SIDE - 1) / 2);
  const squares = new Float64Array(SIDE * SIDE).fill(Infinity);
  for (const stroke of strokes) {
    const path = stroke.map(place);
    for (let i = 0; i < Math.max(1, path.length - 1) && path.length; i += 1) reach(squares, path[i], path[i + 1] ?? path[i]);
  }
  return Float32Array.from(squares, (square) => INK * Math.exp(-square / (2 * WIDTH ** 2)));
}

// How far each pixel is, at most, from the line between two points; squared.
function reach(squares, [x0, y0], [x1, y1]) {
  const u = x1 - x0, v = y1 - y0, length = Math.max(u * u + v * v, 1e-9);
  for (let y = 0, at = 0; y < SIDE; y += 1) {
    for (let x = 0; x < SIDE; x += 1, at += 1) {
      const along = Math.min(1, Math.max(0, ((x - x0) * u + (y - y0) * v) / length));
      const square = (x - x0 - along * u) ** 2 + (y - y0 - along * v) ** 2;
      if (square < squares[at]) squares[at] = square;
    }
  }
}

// A number of 16 bits: sign, five bits of exponent, ten of fraction.
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

// The tensors of a safetensors file in half precision, by name: { shape, values }.
export function tensors(view) {
  const start = 8 + view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + 8, start - 8)));
  return Object.fromEntries(Object.entries(header).filter(([name]) => name !== "__metadata__").map(([name, of]) => {
    const [from, to] = of.data_offsets;
    const values = Float32Array.from({ length: (to - from) / 2 }, (_, i) => half(view.getUint16(start + from + 2 * i, true)));
    return [name, { shape: of.shape, values }];
  }));
}

// A 3 × 3 convolution of stride 2 and ReLU, from (inputs, side, side) to (outputs, half, half).
function convolve(x, side, { shape: [outputs, inputs], values }, bias) {
  const wide = side + 2, next = (side + 1) >> 1, padded = new Float32Array(inputs * wide * wide);
  for (let i = 0; i < inputs; i += 1) {
    for (let y = 0; y < side; y += 1) {
      padded.set(x.subarray((i * side + y) * side, (i * side + y + 1) * side), (i * wide + y + 1) * wide + 1);
    }
  }
  const result = new Float32Array(outputs * next * next);
  for (let o = 0, at = 0; o < outputs; o += 1) {
    for (let y = 0; y < next; y += 1) {
      for (let x = 0; x < next; x += 1, at += 1) {
        let sum = bias[o];
        for (let i = 0, w = o * inputs * 9; i < inputs; i += 1, w += 9) {
          const p = (i * wide + 2 * y) * wide + 2 * x, q = p + wide, r = q + wide;
          sum += values[w] * padded[p] + values[w + 1] * padded[p + 1] + values[w + 2] * padded[p + 2] +
            values[w + 3] * padded[q] + values[w + 4] * padded[q + 1] + values[w + 5] * padded[q + 2] +
            values[w + 6] * padded[r] + values[w + 7] * padded[r + 1] + values[w + 8] * padded[r + 2];
        }
        result[at] = Math.max(0, sum);
      }
    }
  }
  return result;
}

// The drawing's embedding: convolutions, the mean over what is left of the picture, a linear layer.
export function embedding(weights, drawing) {
  let x = picture(drawing), side = SIDE;
  for (let block = 0; weights[`w${block}`]; block += 1) {
    x = convolve(x, side, weights[`w${block}`], weights[`b${block}`].values);
    side = (side + 1) >> 1;
  }
  const area = side * side, { shape: [features, filters], values } = weights.last;
  const means = Array.from({ length: filters }, (_, i) => x.subarray(i * area, (i + 1) * area).reduce((a, b) => a + b) / area);
  return Array.from({ length: features }, (_, f) => means.reduce((sum, mean, i) => sum + values[f * filters + i] * mean, 0));
}

export const distance = (f1, f2) => Math.hypot(...f1.map((value, i) => value - f2[i]));

// The plane in which points of many dimensions spread most: their first two principal directions.
export function planeOf(points) {
  const count = points.length, centre = points[0].map((_, i) => points.reduce((sum, point) => sum + point[i], 0) / count);
  const spread = points.map((point) => point.map((value, i) => value - centre[i]));
  const inner = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  const gram = spread.map((u) => spread.map((v) => inner(u, v)));
  const total = gram.reduce((sum, row, i) => sum + row[i], 0), found = [];
  for (let axis = 0; axis < 2; axis += 1) {
    let vector = points.map((_, i) => Math.cos(2.4 * i + 1 + axis)), value = 0;
    for (let round = 0; round < 200; round += 1) {
      vector = gram.map((row) => inner(row, vector));
      for (const one of found) { const part = inner(one.vector, vector); vector = vector.map((v, i) => v - part * one.vector[i]); }
      value = Math.hypot(...vector);
      vector = vector.map((v) => (value > 1e-9 * total && value > 0 ? v / value : 0));
    }
    // Its sign is free: the first symbols stay on their side.
    if (vector[axis] < 0) vector = vector.map((v) => -v);
    found.push({ vector, value, way: centre.map((_, f) => inner(vector, spread.map((row) => row[f])) / Math.sqrt(value || 1)) });
  }
  const place = (point) => found.map(({ way }) => inner(way, point.map((value, i) => value - centre[i])));
  return { places: points.map(place), ways: found.map(({ way }) => way), centre, share: total ? (found[0].value + found[1].value) / total : 1 };
}
