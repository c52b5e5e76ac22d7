// One-shot learning with the reader's own hand: the drawing pad, the nearest symbol, the plane.

const LETTERS = "ABCDE", QUERY = 5, MOST = 400;

// A stroke without the points that hardly bend it (Douglas and Peucker).
export function simpler(stroke, slack = 0.8) {
  const keep = (points) => {
    const [[x0, y0], [x1, y1]] = [points[0], points.at(-1)], u = x1 - x0, v = y1 - y0, length = Math.hypot(u, v);
    const off = points.map(([x, y]) => (length ? Math.abs(u * (y - y0) - v * (x - x0)) / length : Math.hypot(x - x0, y - y0)));
    const far = off.indexOf(Math.max(...off));
    return off[far] <= slack ? [points[0], points.at(-1)] : [...keep(points.slice(0, far + 1)), ...keep(points.slice(far)).slice(1)];
  };
  return stroke.length <= 4 ? stroke : keep(pointsOf(stroke)).flat();
}

// What an address or Python may hold, as a drawing: whole points on the paper, and not too many.
function sound(drawing) {
  const within = (value) => Math.min(PAPER, Math.max(0, Math.round(Number(value) || 0)));
  return (Array.isArray(drawing) ? drawing : []).filter((stroke) => Array.isArray(stroke) && stroke.length > 1).slice(0, 40)
    .map((stroke) => stroke.slice(0, Math.min(MOST, stroke.length & ~1)).map(within));
}

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

// The drawing pad: pen, finger or mouse; with the keyboard the arrows move a pen, and Space puts it down.
function padOf(stage, model) {
  const group = svg("g", { class: "handle", tabindex: 0, role: "application", style: "cursor: crosshair" }, stage.front);
  const paper = svg("rect", { class: "line grey", style: "fill: transparent; touch-action: none" }, group);
  const strokes = svg("path", { class: "line", style: STROKE }, group), tip = svg("circle", { r: 5, class: "dot c2" }, group);
  const pad = { group, paper, strokes, tip, pen: [32, 32], down: false, pointer: null };
  const slotDrawing = () => drawingsOf(model)[chosen(model)];
  const begin = (point) => put(model, chosen(model), [...slotDrawing(), point]);
  const extend = (point, slack = 1.5) => {
    const drawing = slotDrawing(), last = drawing.at(-1);
    if (!last || drawing.flat().length >= MOST || Math.hypot(point[0] - last.at(-2), point[1] - last.at(-1)) < slack) return;
    put(model, chosen(model), [...drawing.slice(0, -1), [...last, ...point]]);
  };
  const tidy = () => { const drawing = slotDrawing(); if (drawing.length) put(model, chosen(model), [...drawing.slice(0, -1), simpler(drawing.at(-1))]); };
  const at = (event) => {
    const frame = paper.getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height]
      .map((share) => Math.min(PAPER, Math.max(0, Math.round(share * PAPER))));
  };
  // Within an SVG not every browser heeds touch-action: without this the page would scroll instead.
  group.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  group.addEventListener("pointerdown", (event) => {
    if (pad.pointer !== null || event.button > 0) return;
    pad.pointer = event.pointerId;
    group.setPointerCapture(event.pointerId);
    group.focus({ preventScroll: true });
    event.preventDefault();
    pad.down = false;
    begin((pad.pen = at(event)));
  });
  group.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pad.pointer) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) extend((pad.pen = at(one)));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    group.addEventListener(end, (event) => { if (event.pointerId === pad.pointer) { pad.pointer = null; tidy(); } });
  }
  group.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way && event.key !== " " && event.key !== "Backspace") return;
    event.preventDefault();
    if (event.key === "Backspace") return undo(model);
    if (!way) pad.down = !pad.down;
    else pad.pen = pad.pen.map((value, i) => Math.min(PAPER, Math.max(0, value + way[i] * (event.shiftKey ? 8 : 3))));
    if (!way && pad.down) begin(pad.pen);
    else if (way && pad.down) { extend(pad.pen, 1); tidy(); }
    pad.place();
  });
  return pad;
}

const STROKE = "stroke: var(--ink); stroke-linecap: round; pointer-events: none";
const HALO = "paint-order: stroke; stroke: var(--paper); stroke-width: 3px";

const pathOf = (drawing, x, y, size) => drawing.map((stroke) => "M" + pointsOf(stroke)
  .map(([u, v]) => `${(x + (u * size) / PAPER).toFixed(1)} ${(y + (v * size) / PAPER).toFixed(1)}`).join("L") + (stroke.length < 4 ? "h.01" : "")).join("");

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
  const size = padSize(stage.width), pad = (stage.pad ??= padOf(stage, model)), slot = chosen(model);
  for (const [key, value] of Object.entries({ x: 2, y: top + 22, width: size, height: size, rx: 4 })) pad.paper.setAttribute(key, value);
  pad.strokes.setAttribute("d", pathOf(drawing, 2, top + 22, size));
  pad.strokes.setAttribute("stroke-width", 4);
  pad.place = () => {
    pad.tip.setAttribute("cx", 2 + (pad.pen[0] * size) / PAPER);
    pad.tip.setAttribute("cy", top + 22 + (pad.pen[1] * size) / PAPER);
    pad.tip.style.opacity = document.activeElement === pad.group ? 1 : 0;
    pad.group.setAttribute("aria-label", `drawing pad for ${slot === QUERY ? "the query" : `symbol ${nameOf(slot)}`}: the arrow keys move the pen, ` +
      `Space puts it down or lifts it, Backspace undoes; pen ${pad.down ? "down" : "up"} at ${pad.pen.join(", ")}`);
  };
  pad.group.onfocus = pad.group.onblur = pad.place;
  pad.place();
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
  const far = apart[answer] > 0.5 ? " That is more than half the margin of 1: perhaps it is none of them." : "";
  return `The query is nearest to ${nameOf(answer)}: D = ${apart[answer].toFixed(2)}.${far}` +
    (others.length ? ` Then ${others.join(", ")}. The plane shows ${(100 * share).toFixed(0)} % of the spread of the symbols.` : "");
}

function undo(model) { put(model, chosen(model), drawingsOf(model)[chosen(model)].slice(0, -1)); }

// Another hand: a little turned, slanted, and shaky.
export function otherHand(drawing, seed) {
  const { normal } = random(seed), turn = 0.15 * normal(), slant = 0.2 * normal(), scale = Math.exp(-0.1 + 0.1 * normal());
  const [cos, sin] = [scale * Math.cos(turn), scale * Math.sin(turn)], middle = PAPER / 2;
  return sound(drawing.map((stroke) => pointsOf(stroke).flatMap(([x, y]) => {
    const u = x - middle + slant * (middle - y), v = y - middle;
    return [middle + cos * u - sin * v + normal(), middle + sin * u + cos * v + normal()];
  })));
}

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
