// A drawing pad. A drawing is a list of strokes, a stroke a list x, y, x, y, … of whole numbers from 0 to 63.

const PAPER = 63, MOST = 400;
const STROKE = "stroke: var(--ink); stroke-linecap: round; pointer-events: none";

const pointsOf = (stroke) => Array.from({ length: stroke.length >> 1 }, (_, i) => [stroke[2 * i], stroke[2 * i + 1]]);

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

const pathOf = (drawing, x, y, size) => drawing.map((stroke) => "M" + pointsOf(stroke)
  .map(([u, v]) => `${(x + (u * size) / PAPER).toFixed(1)} ${(y + (v * size) / PAPER).toFixed(1)}`).join("L") + (stroke.length < 4 ? "h.01" : "")).join("");

// Another hand: a little turned, slanted, and shaky.
export function otherHand(drawing, seed) {
  const { normal } = random(seed), turn = 0.15 * normal(), slant = 0.2 * normal(), scale = Math.exp(-0.1 + 0.1 * normal());
  const [cos, sin] = [scale * Math.cos(turn), scale * Math.sin(turn)], middle = PAPER / 2;
  return sound(drawing.map((stroke) => pointsOf(stroke).flatMap(([x, y]) => {
    const u = x - middle + slant * (middle - y), v = y - middle;
    return [middle + cos * u - sin * v + normal(), middle + sin * u + cos * v + normal()];
  })));
}

// The pad itself: pen, finger or mouse; with the keyboard the arrows move a pen, and Space puts it down.
// `drawing()` is what is on it, `put(drawing)` keeps another. It stands where `lay` puts it, and may show another.
function padOf(stage, drawing, put) {
  const group = svg("g", { class: "handle", tabindex: 0, role: "application", style: "cursor: crosshair" }, stage.front);
  const paper = svg("rect", { rx: 4, class: "line grey", style: "fill: transparent; touch-action: none" }, group);
  const strokes = svg("path", { class: "line", style: STROKE, "stroke-width": 4 }, group), tip = svg("circle", { r: 5, class: "dot c2" }, group);
  let pen = [32, 32], down = false, pointer = null, where = { x: 0, y: 0, size: 0, label: "" };
  const place = () => {
    const [u, v] = pen.map((value) => (value * where.size) / PAPER);
    tip.setAttribute("cx", where.x + u);
    tip.setAttribute("cy", where.y + v);
    tip.style.opacity = document.activeElement === group ? 1 : 0;
    tell(group, "aria-label", `drawing pad for ${where.label}: the arrow keys move the pen, ` +
      `Space puts it down or lifts it, Backspace undoes; pen ${down ? "down" : "up"} at ${pen.join(", ")}`);
  };
  const begin = () => put([...drawing(), pen]);
  const extend = (slack = 1.5) => {
    const all = drawing(), last = all.at(-1);
    if (!last || all.flat().length >= MOST || Math.hypot(pen[0] - last.at(-2), pen[1] - last.at(-1)) < slack) return;
    put([...all.slice(0, -1), [...last, ...pen]]);
  };
  const tidy = () => { const all = drawing(); if (all.length) put([...all.slice(0, -1), simpler(all.at(-1))]); };
  const at = (event) => {
    const frame = paper.getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height]
      .map((share) => Math.min(PAPER, Math.max(0, Math.round(share * PAPER))));
  };
  // Within an SVG not every browser heeds touch-action: without this the page would scroll instead.
  group.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  group.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button > 0) return;
    pointer = event.pointerId;
    group.setPointerCapture(pointer);
    group.focus({ preventScroll: true });
    event.preventDefault();
    down = false;
    pen = at(event);
    begin();
  });
  group.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) { pen = at(one); extend(); }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    group.addEventListener(end, (event) => { if (event.pointerId === pointer) { pointer = null; tidy(); } });
  }
  group.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way && event.key !== " " && event.key !== "Backspace") return;
    event.preventDefault();
    if (event.key === "Backspace") { put(drawing().slice(0, -1)); return; }
    if (!way) down = !down;
    else pen = pen.map((value, i) => Math.min(PAPER, Math.max(0, value + way[i] * (event.shiftKey ? 8 : 3))));
    if (!way && down) begin();
    else if (way && down) { extend(1); tidy(); }
    place();
  });
  group.onfocus = group.onblur = place;
  return {
    lay(x, y, size, label, shown = drawing()) {
      where = { x, y, size, label };
      for (const [key, value] of Object.entries({ x, y, width: size, height: size })) paper.setAttribute(key, value);
      strokes.setAttribute("d", pathOf(shown, x, y, size));
      if (!group.isConnected) stage.front.append(group);
      place();
    },
    hide() { group.remove(); },
  };
}
