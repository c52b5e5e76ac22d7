// One-shot learning with the reader's own hand: the symbols, the nearest one, the plane.

const LETTERS = "ABCDE", QUERY = 5;

const drawingsOf = (model) => [...Array.from({ length: QUERY }, (_, i) => sound(model.get("support")[i])), sound(model.get("query"))];
const chosen = (model) => (LETTERS[model.get("pad")] ? model.get("pad") : QUERY);
const nameOf = (slot) => LETTERS[slot] ?? "?";

function put(model, slot, drawing, more = {}) {
  const all = drawingsOf(model);
  all[slot] = drawing;
  change(model, slot === QUERY ? { query: drawing, ...more } : { support: all.slice(0, QUERY), ...more });
}

const caches = new WeakMap();

// Each drawing goes through the network once.
function embedded(model, drawing) {
  if (!caches.has(model)) caches.set(model, { weights: tensors(model.get("weights")), known: new Map() });
  const { weights, known } = caches.get(model), key = JSON.stringify(drawing);
  if (known.size > 500) known.clear();
  if (!known.has(key)) known.set(key, embedding(weights, drawing));
  return known.get(key);
}

// The part of a drawing that a pen has written when it has gone a `share` of the whole way.
export function begun(drawing, share) {
  const lengths = (points) => points.slice(1).map(([x, y], i) => Math.hypot(x - points[i][0], y - points[i][1]));
  const strokes = drawing.map(pointsOf), whole = strokes.flatMap(lengths).reduce((sum, one) => sum + one, 0), written = [];
  let left = share * whole;
  for (const points of strokes) {
    if (left <= 0) break;
    const stroke = [points[0]];
    lengths(points).forEach((length, i) => {
      const part = Math.min(1, left / length), [[x0, y0], [x1, y1]] = points.slice(i, i + 2);
      if (left > 0) stroke.push([x0 + part * (x1 - x0), y0 + part * (y1 - y0)]);
      left -= length;
    });
    written.push(stroke.flat());
  }
  return sound(written);
}

const writing = new WeakMap(), SECONDS = 3;

// The query is written once more, and the network answers on the way; a page begins with it.
function writer(label) {
  return (panel, model, id, changed) => {
    if (still()) return null;
    button(label, () => write())(panel, model);
    const input = panel.lastElementChild;
    const stop = () => writing.delete(model);
    const write = () => {
      const pen = { begun: performance.now(), share: 0.02 };
      writing.set(model, pen);
      const step = (now) => {
        if (writing.get(model) !== pen) return;
        pen.share = Math.max(pen.share, (now - pen.begun) / (1000 * SECONDS));
        if (pen.share >= 1 || !input.isConnected) stop();
        else requestAnimationFrame(step);
        changed();
      };
      requestAnimationFrame(step);
    };
    model.on("change", stop);
    let touched = JSON.stringify(model.get("query")) !== JSON.stringify(model.get("start").query);
    model.on("change", () => { touched = true; });
    if (!model.get("kernel")) setTimeout(() => { if (input.isConnected && !touched) write(); }, 1500);
    return null;
  };
}

const HALO = "paint-order: stroke; stroke: var(--paper); stroke-width: 3px";

const slotSize = (width) => Math.min(92, Math.floor((width - 34) / 6));
const padSize = (width) => Math.min(width < 560 ? 208 : 260, Math.floor(width - 84));
const LOW = 190; // the plane on a phone

// The six drawings; a click puts one onto the pad.
function drawSlots(stage, model, drawings, slots, apart, answer) {
  const size = slotSize(stage.width), middle = { "text-anchor": "middle" };
  slots.forEach((slot, i) => {
    const x = 2 + i * (size + 6), y = 20, looks = slot === answer ? "c3 thick" : slot === chosen(model) ? "c2 dashed" : "grey thin";
    const box = svg("rect", { x, y, width: size, height: size, rx: 3, class: `line ${looks}`, style: "fill: transparent; cursor: pointer" }, stage.back);
    box.addEventListener("click", () => change(model, { pad: slot }));
    svg("path", { d: pathOf(drawings[slot], x + size / 8, y + size / 8, (size * 3) / 4), class: "line", style: STROKE }, stage.back);
    stage.text(x + size / 2, 14, nameOf(slot), { ...middle, class: "title" });
    const under = slot === QUERY ? "query" : !drawings[slot].length ? "empty" : apart[slot] === undefined ? "" : `${stage.narrow ? "" : "D = "}${apart[slot].toFixed(2)}`;
    stage.text(x + size / 2, y + size + 16, under, slot === answer ? { ...middle, class: "title" } : middle);
  });
  return size + 50;
}

function drawPad(stage, model, drawing, top) {
  const size = padSize(stage.width), slot = chosen(model);
  stage.pad ??= padOf(stage, () => drawingsOf(model)[chosen(model)], (another) => put(model, chosen(model), another));
  stage.pad.lay(2, top + 22, size, slot === QUERY ? "the query" : `symbol ${nameOf(slot)}`, drawing);
  stage.text(4, top + 14, slot === QUERY ? "draw here: the query, ?" : `draw here: symbol ${nameOf(slot)}${slot < model.get("ways") ? "" : ", left out"}`, { class: "title" });
  stage.text(size + 12, top + 32, "the network", { class: "small" });
  stage.text(size + 12, top + 46, "sees", { class: "small" });
  svg("rect", { x: size + 12, y: top + 52, width: 64, height: 64, class: "line grey thin" }, stage.back);
  if (drawing.length) stage.picture(picture(drawing), SIDE, size + 12, top + 52, 64);
}

// The embeddings in the plane of the symbols, and the query's distances as lines.
function drawPlane(stage, box, drawn, features, query, answer) {
  const { ways, centre, places, share } = planeOf(features);
  const project = (f) => ways.map((way) => way.reduce((sum, w, i) => sum + w * (f[i] - centre[i]), 0));
  const all = query ? [...places, project(query)] : places, inner = [box.width - 64, box.height - 64];
  const sides = [0, 1].map((i) => all.map((place) => place[i])).map((list) => [Math.min(...list), Math.max(...list)]);
  const unit = Math.max(0.1 / inner[0], ...sides.map(([low, high], i) => (1.3 * (high - low)) / inner[i]));
  const [x, y] = sides.map(([low, high], i) => [-1, 1].map((sign) => (low + high) / 2 + (sign * unit * inner[i]) / 2));
  const axes = stage.axes(box, { x, y, title: "the embeddings, in a plane", xlabel: "first direction", ylabel: "second direction" });
  const at = all.at(-1);
  drawn.forEach((slot, i) => {
    if (query) axes.line([at[0], places[i][0]], [at[1], places[i][1]], slot === answer ? "c3 thick" : "grey thin dotted");
  });
  drawn.forEach((slot, i) => {
    const left = query && places[i][0] < at[0];
    axes.dots([places[i][0]], [places[i][1]], slot === answer ? "c3" : "c1", 6);
    stage.text(axes.px(places[i][0]) + (left ? -10 : 10), axes.py(places[i][1]) + 5, nameOf(slot), { class: "title", style: HALO, "text-anchor": left ? "end" : "start" });
  });
  if (query) {
    axes.dots([at[0]], [at[1]], "c2", 6);
    stage.text(axes.px(at[0]), axes.py(at[1]) - 10, "?", { class: "title", style: HALO, "text-anchor": "middle" });
  }
  return share;
}

function draw(stage, model) {
  const drawings = drawingsOf(model), slots = [...Array(model.get("ways")).keys(), QUERY], pen = writing.get(model);
  if (pen) drawings[QUERY] = begun(drawings[QUERY], pen.share);
  const drawn = slots.filter((slot) => slot !== QUERY && drawings[slot].length);
  const features = drawn.map((slot) => embedded(model, drawings[slot]));
  const query = drawings[QUERY].length ? embedded(model, drawings[QUERY]) : null, apart = [];
  if (query) drawn.forEach((slot, i) => { apart[slot] = distance(query, features[i]); });
  const order = drawn.filter((slot) => query).sort((a, b) => apart[a] - apart[b]), answer = order[0];
  const top = drawSlots(stage, model, drawings, slots, apart, answer), size = padSize(stage.width);
  drawPad(stage, model, drawings[chosen(model)], top);
  const box = stage.narrow ? { x: 0, y: top + size + 28, width: stage.width, height: LOW }
    : { x: size + 92, y: top, width: stage.width - size - 92, height: size + 44 };
  const share = drawn.length > 1 ? drawPlane(stage, box, drawn, features, query, answer) : 1;
  if (!drawn.length) return "There is no symbol yet: choose A and draw one.";
  if (!query) return "The query's paper is empty: choose ? and draw one of the symbols again.";
  const others = order.slice(1).map((slot) => `${nameOf(slot)} ${apart[slot].toFixed(2)}`);
  const words = [`The query is nearest to ${nameOf(answer)}: D = ${apart[answer].toFixed(2)}.`];
  if (apart[answer] > 0.5) words.push("That is more than half the margin of 1: perhaps it is none of them.");
  if (others.length) words.push(`Then ${others.join(", ")}. The plane shows ${(100 * share).toFixed(0)} % of the spread of the symbols.`);
  return words.join(" ");
}

function undo(model) { put(model, chosen(model), drawingsOf(model)[chosen(model)].slice(0, -1)); }

let example = 0;

// A symbol gets the next ready-made one; the query one of the symbols, in another hand.
function putExample(model) {
  const slot = chosen(model), all = drawingsOf(model), ready = model.get("examples");
  const drawn = all.slice(0, model.get("ways")).filter((drawing) => drawing.length);
  example += 1;
  if (slot !== QUERY) put(model, slot, sound(ready[(example + 4) % ready.length]));
  else if (drawn.length) put(model, slot, otherHand(drawn[example % drawn.length], example));
}

export default {
  render: ({ model, el }) => figure(model, el, {
    hint: "Press Clear, and draw one of the five symbols yourself. Then press Empty paper and draw your own: Next leads from A to B and on, then choose ? and draw one of them again. Can you draw it so that the network is wrong, and a friend is not?",
    height: (width) => slotSize(width) + padSize(width) + (width < 560 ? 78 + LOW : 96),
    words: 260,
    controls: [
      slider("ways", "symbols N", { min: 3, max: 5 }),
      choice("pad", "on the pad", [[5, "?, the query"], ...[...LETTERS].map((letter, i) => [i, `symbol ${letter}`])]),
      button("Undo", undo),
      button("Clear", (model) => put(model, chosen(model), [])),
      button("Next", (model) => change(model, { pad: chosen(model) === QUERY ? 0 : chosen(model) + 1 < model.get("ways") ? chosen(model) + 1 : QUERY })),
      button("An example", putExample),
      writer("Write ? again"),
      button("Empty paper", (model) => change(model, { support: Array(QUERY).fill([]), query: [], pad: 0 })),
    ],
    draw,
  }),
};
