// What all moving figures share. Python puts this file in front of each figure's own, as one module.
//
//   export default { render: ({ model, el }) => figure(model, el, { hint, controls, height, draw }) };
//
// `draw(stage, model)` runs after each change, at most twice a frame. It draws everything anew and
// returns the read-out: a text, which a screen reader hears as well.

const SVG = "http://www.w3.org/2000/svg";
// A page in another language says what a text is there (book/_translated/words.js).
const here = (text) => globalThis.inThisLanguage?.(String(text)) ?? text;
// How many digits wide a text is about: a Chinese character takes the room of two.
const widthOf = (text) => Array.from(String(here(text))).reduce((sum, sign) => sum + (sign > "\u2e80" ? 2 : 1), 0);
const SPOKEN = ["aria-label", "aria-valuetext"];
const tell = (element, name, value) => element.setAttribute(name, SPOKEN.includes(name) ? here(value) : value);
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function tag(name, attributes = {}, parent = null, text = "") {
  const element = document.createElement(name);
  for (const key in attributes) tell(element, key, attributes[key]);
  if (text) element.textContent = here(text);
  parent?.append(element);
  return element;
}

function svg(name, attributes = {}, parent = null, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const key in attributes) tell(element, key, attributes[key]);
  if (text !== "") element.textContent = here(text);
  parent?.append(element);
  return element;
}

// A number as it is read: three significant digits, a true minus sign; what is huge is a word.
function show(value, digits = 3) {
  if (Number.isNaN(value)) return "not a number";
  const size = Math.abs(value), sign = value < 0 ? "−" : "";
  if (size > 1e6) return `beyond ${sign}10⁶`;
  if (size === 0 || size >= 1e-3) return sign + String(Number(size.toPrecision(digits)));
  const [digit, power] = String(Number(size.toPrecision(digits)).toExponential()).split("e-");
  const raised = Array.from(power, (one) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[one]).join("");
  return `${sign}${digit === "1" ? "" : `${digit} · `}10⁻${raised}`;
}

const many = (count, one, more = `${one}s`) => `${show(count)} ${count === 1 ? one : more}`;

// How wide a text of the drawing is, in pixels.
const pens = new Map();

function textWidth(text, drawing, font = "12px") {
  if (!pens.has(font)) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${font} ${getComputedStyle(drawing).fontFamily}`;
    pens.set(font, { pen, known: new Map() });
  }
  const { pen, known } = pens.get(font);
  if (!known.has(text)) known.set(text, pen.measureText(text).width);
  return known.get(text);
}

// The bytes that meta_lib.moving.floats has written.
function floats(model, name) {
  const view = model.get(name);
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

// Pictures in a `traitlets.Bytes`, a byte for each grey value.
function bytes(model, name) {
  const view = model.get(name);
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

// The place in a list of the number that is nearest to a value.
function nearest(list, value) {
  return list.reduce((best, one, i) => (Math.abs(one - value) < Math.abs(list[best] - value) ? i : best), 0);
}

// Mean and spread, the standard deviation over the draws, times `unit`: 100 for per cent.
function summary(values, unit = 1) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean: unit * mean, spread: unit * Math.sqrt(square / Math.max(1, values.length - 1)) };
}

// A random number generator with a seed (mulberry32): the same numbers for every reader.
function random(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

function change(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

// A line's look for each method, the same in all figures; other names get what is left.
const METHODS = {
  MAML: "c1 thick", "first order": "c5 dashed", "pre-trained": "c2 dashed", "whole network": "c2 dashed", classifier: "c2 dashed",
  "random start": "c3 dotted", "from scratch": "c3 dotted", "new head only": "c4 dashdot", Siamese: "c4", pixels: "grey dashed",
  LSTM: "c1 thick", SGD: "grey dashed", momentum: "c3 dashdot", RMSprop: "c5 thick dotted", Adam: "c2",
};
const OTHERS = ["c6 dotted", "c2 dashed", "c3 dashdot", "c5", "c1", "c4 dashed"];

function methodKinds(names) {
  const taken = names.map((name) => METHODS[name]?.slice(0, 2)), free = OTHERS.filter((kind) => !taken.includes(kind.slice(0, 2)));
  return names.map((name) => METHODS[name] ?? free.shift() ?? "grey");
}

const colourOf = (kind) => kind.split(" ")[0];

// The figure

let figures = 0;

// `height` is that of the drawing, a number or a function of its width, and must not depend on the
// state: nothing may jump. Nor may the read-out grow: it has room for `words` letters, or for twice
// as many as it has at the start. A figure that `asks` does nothing before a button is pressed:
// its controls come first. On a phone the drawing stays in view above its controls. What few readers
// set is `more`, folded behind one line.
function figure(model, el, { hint, controls = [], more = [], height = 320, words, draw, asks = false }) {
  const id = `moving-${(figures += 1)}-${Math.random().toString(36).slice(2, 7)}`;
  const root = tag("div", { class: asks ? "moving asks" : "moving", role: "group", "data-lm-suppress-shortcuts": "true" }, el);
  // JupyterLab would take the keys for itself, the arrows too.
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.setAttribute("aria-label", model.get("description") || here(hint));
  tag("p", { class: "moving-hint" }, root, hint);
  const panel = tag("div", { class: "moving-controls" }, root);
  const frame = tag("div", { class: "moving-stage" }, root);
  const drawing = svg("svg", { role: "group", "aria-label": "drawing" }, frame);
  const back = svg("g", { "aria-hidden": "true" }, drawing);
  const front = svg("g", {}, drawing);
  const readout = tag("p", { class: "moving-readout", "aria-hidden": "true" }, root);
  const heard = tag("p", { class: "moving-heard", role: "status" }, root);
  const stage = new Stage(drawing, back, front, id);

  let waiting = 0, again = false, quiet = 0, room = 0;
  const paint = () => {
    stage.width = Math.max(260, frame.clientWidth);
    stage.height = typeof height === "function" ? height(stage.width) : height;
    root.classList.toggle("narrow", stage.narrow);
    root.classList.toggle("stays", stage.narrow && stage.height < 0.65 * innerHeight);
    stage.begin();
    const text = here(draw(stage, model) ?? "");
    stage.end();
    readout.textContent = text;
    room ||= words ? words * (globalThis.inThisLanguage?.room ?? 1) : Math.max(300, 2.2 * widthOf(text));
    readout.style.height = `${1.5 * Math.ceil(((stage.narrow ? 7.2 : 8) * room) / stage.width + 0.2)}em`;
    clearTimeout(quiet);
    quiet = setTimeout(() => { if (heard.textContent !== text) heard.textContent = text; }, 500);
  };
  // The first change in a frame is drawn at once, and what follows in the same frame at its end.
  const changed = () => {
    if (waiting) { again = true; return; }
    waiting = requestAnimationFrame(() => {
      waiting = 0;
      if (again) { again = false; paint(); }
    });
    queueMicrotask(paint);
  };

  const reset = button("Reset", () => {
    root.dispatchEvent(new Event("moving-reset"));
    change(model, structuredClone(model.get("start")));
  });
  const fold = () => {
    const box = tag("details", { class: "moving-more" }, panel);
    tag("summary", {}, box, "More settings");
    return tag("div", {}, box);
  };
  const settings = (all, into) => all.map((one) => one(into, model, id, changed)).filter(Boolean);
  const refreshers = settings([...controls, reset], panel);
  if (more.length) refreshers.push(...settings(more, fold()));
  const refresh = () => { for (const one of refreshers) one(); changed(); };
  model.on("change", refresh);
  const size = new ResizeObserver(changed);
  size.observe(frame);
  for (const one of refreshers) one();
  try {
    paint();
  } catch (error) {
    // An address may hold what no control would set: then the figure starts as it does.
    if (model.get("kernel")) throw error;
    change(model, structuredClone(model.get("start")));
    paint();
  }
  return () => {
    size.disconnect();
    model.off("change", refresh);
    cancelAnimationFrame(waiting);
    clearTimeout(quiet);
  };
}

// The controls: each is a function of (panel, model, id, changed) that returns how to refresh it.

// A slider for the number `name`, shown as "symbol = value". `values` lists what it may be, or
// min, max and step do; with `log` there are `step` stops in each factor of ten. `most(model)` is the
// largest of them that can be chosen now; `format(value, model)` is how it is read.
function slider(name, symbol, { min, max, step, log = false, values, most, format = (value) => show(value) }) {
  const stops = values ?? (log ? logStops(min, max, step ?? 10) : evenStops(min, max, step ?? 1));
  return (panel, model, id) => {
    const box = tag("div", { class: "moving-control" }, panel);
    const key = `${id}-${name}`;
    const label = tag("label", { for: key }, box);
    const input = tag("input", { type: "range", id: key, name, min: 0, max: stops.length - 1, step: 1 }, box);
    input.addEventListener("input", () => change(model, { [name]: stops[input.valueAsNumber] }));
    // In a page a value may come from the address: only what the slider could set is taken.
    const given = model.get(name), whole = stops.every(Number.isInteger);
    const sound = given >= stops[0] && given <= stops.at(-1) && (!whole || Number.isInteger(given));
    if (!sound && !model.get("kernel")) model.set(name, stops[nearest(stops, given)]);
    return () => {
      const limit = most?.(model), value = Math.min(model.get(name), limit ?? Infinity);
      input.max = limit === undefined ? stops.length - 1 : nearest(stops, limit);
      input.value = nearest(stops, value);
      const text = `${symbol} = ${format(value, model)}`;
      label.textContent = here(text);
      tell(input, "aria-valuetext", text);
    };
  };
}

function evenStops(min, max, step) {
  const count = Math.round((max - min) / step);
  return Array.from({ length: count + 1 }, (_, i) => Number((min + i * step).toPrecision(12)));
}

function logStops(min, max, perDecade) {
  const count = Math.round(Math.log10(max / min) * perDecade);
  return Array.from({ length: count + 1 }, (_, i) =>
    Number((min * (max / min) ** (i / count)).toPrecision(3)));
}

// A menu; options are [value, text] pairs.
function choice(name, label, options) {
  return (panel, model, id) => {
    const box = tag("div", { class: "moving-control" }, panel);
    const key = `${id}-${name}`;
    tag("label", { for: key }, box, label);
    const input = tag("select", { id: key, name }, box);
    options.forEach(([, text], i) => tag("option", { value: i }, input, text));
    input.addEventListener("change", () => change(model, { [name]: options[input.selectedIndex][0] }));
    if (!options.some(([value]) => value === model.get(name))) model.set(name, model.get("start")[name]);
    return () => {
      input.selectedIndex = options.findIndex(([value]) => value === model.get(name));
    };
  };
}

// A box to tick.
function toggle(name, label) {
  return (panel, model, id) => {
    const box = tag("div", { class: "moving-control moving-toggle" }, panel);
    const key = `${id}-${name}`;
    const input = tag("input", { type: "checkbox", id: key, name }, box);
    tag("label", { for: key }, box, label);
    input.addEventListener("change", () => change(model, { [name]: input.checked }));
    return () => { input.checked = model.get(name); };
  };
}

// A button; `act(model)` is called with the mouse, the finger, Space and Enter.
function button(label, act) {
  return (panel, model) => {
    const input = tag("button", { type: "button" }, panel, label);
    input.addEventListener("click", () => act(model));
  };
}

// A button that lets the trait `name` run from 0 up to `most(model)`, one step at a time; after a pause
// it goes on from where it is.
function player(name, label, most, pause = 500) {
  return (panel, model) => {
    const input = tag("button", { type: "button" }, panel, label);
    input.style.minWidth = `${Math.max(widthOf(label), widthOf("Pause")) + 2}ch`; // "Pause" takes no more room, nor less
    let timer = 0, paused = false;
    const stop = () => { clearInterval(timer); timer = 0; paused = false; input.textContent = here(label); };
    const step = () => {
      if (!input.isConnected) return stop();
      const next = model.get(name) + 1;
      if (next <= most(model)) change(model, { [name]: next });
      if (next >= most(model)) stop();
    };
    panel.parentElement.addEventListener("moving-reset", stop);
    input.addEventListener("click", () => {
      if (timer) { stop(); paused = true; return; }
      const at = model.get(name), goesOn = at < most(model) && (paused || at === 0);
      if (!goesOn) change(model, { [name]: 0 });
      paused = false;
      // Who asks for less motion goes step by step, at each click.
      if (still()) {
        if (goesOn) step();
        paused = true;
        return;
      }
      input.textContent = here("Pause");
      timer = setInterval(step, pause);
    });
  };
}

// Where there is a kernel: a button that meta-trains anew, and how far it has come.
function training(label) {
  return (panel, model) => {
    if (!model.get("kernel")) return null;
    button(label, () => model.send({ do: "train" }))(panel, model);
    const bar = tag("progress", { max: 1, "aria-label": "progress of the training" }, panel);
    return () => {
      bar.value = model.get("progress");
      bar.hidden = !(bar.value > 0 && bar.value < 1);
    };
  };
}

// The stage: where a figure draws

class Stage {
  constructor(drawing, back, front, id) {
    Object.assign(this, { drawing, back, front, id, handles: new Map(), seen: new Set(), clips: 0 });
  }

  begin() {
    this.drawing.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.drawing.setAttribute("width", this.width);
    this.drawing.setAttribute("height", this.height);
    this.back.replaceChildren();
    this.seen.clear();
    this.clips = 0;
  }

  end() {
    for (const [key, one] of this.handles) {
      if (!this.seen.has(key)) { one.group.remove(); this.handles.delete(key); }
    }
  }

  get narrow() { return this.width < 560; }

  // Boxes side by side, or beneath each other where the page is narrow; `shares` are their widths.
  // They fill what lies between `top` and `bottom`. Small ones may stay `beside` each other.
  boxes(shares, top = 0, bottom = this.height, beside = !this.narrow) {
    const total = shares.reduce((a, b) => a + b), rows = beside ? 1 : shares.length;
    let x = 0;
    return shares.map((share, i) => {
      const width = beside ? (this.width * share) / total : this.width;
      const height = (bottom - top) / rows;
      const box = { x: beside ? x : 0, y: top + (beside ? 0 : i * height), width, height };
      x += width;
      return box;
    });
  }

  text(x, y, text, attributes = {}) { return svg("text", { x, y, ...attributes }, this.back, text); }

  // A grey picture with `side` × `side` values from 0 (paper) to 1 (ink), in a square of `size`.
  picture(values, side, x, y, size, attributes = {}) {
    return svg("image", { href: inked(values, side), x, y, width: size, height: size, class: "ink", ...attributes }, this.back);
  }

  // Picture number `number` of many that are stored one after the other, a byte a pixel.
  thumbnail(stored, number, side, x, y, size) {
    const values = stored.subarray(number * side * side, (number + 1) * side * side);
    return this.picture(Array.from(values, (value) => value / 255), side, x, y, size);
  }

  // Axes in a box, from data to the page. `x` and `y` are [low, high]. The names of the lines, as for
  // `legend`, stand in rows above, where no line runs.
  axes(box, { x, y, logx = false, logy = false, xlabel = "", ylabel = "", title = "", names = [] }) {
    return new Axes(this, box, { x, y, logx, logy, xlabel, ylabel, title, names });
  }

  textWidth(text, font) { return textWidth(String(here(text)), this.drawing, font); }

  // A point that is dragged, or moved with the arrow keys, by `step` of the data.
  // `set(x, y)` is called with where it goes; `text` is what a screen reader says of it. A point that
  // has only certain places says in `go` where an arrow key takes it: go(1, 0) is to the right.
  handle(key, axes, { x, y, set, label, text, step, go, kind = "c1", radius = 7 }) {
    if (!Number.isFinite(axes.px(x) + axes.py(y))) throw new RangeError(`${label}: no such place`);
    this.seen.add(key);
    let one = this.handles.get(key);
    if (!one) {
      const group = svg("g", { class: "handle", tabindex: 0, role: "slider" }, this.front);
      svg("circle", { r: 16, class: "reach" }, group);
      one = { group, dot: svg("circle", {}, group) };
      this.handles.set(key, one);
      // Within an SVG not every browser heeds touch-action: without this the page would scroll instead.
      group.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
      group.addEventListener("pointerdown", (event) => {
        group.setPointerCapture(event.pointerId);
        group.focus();
        event.preventDefault();
      });
      group.addEventListener("pointermove", (event) => {
        if (group.hasPointerCapture(event.pointerId)) one.set(...one.axes.at(event));
      });
      group.addEventListener("keydown", (event) => {
        const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
        if (!way) return;
        event.preventDefault();
        if (one.go) { one.go(...way); return; }
        const far = event.shiftKey ? 5 : 1;
        one.set(...one.axes.clamp(one.x + far * way[0] * one.step[0], one.y + far * way[1] * one.step[1]));
      });
    }
    const sides = [axes.x, axes.y].map(([low, high]) => (high - low) / 40);
    Object.assign(one, { axes, x, y, set, go, step: step ?? sides });
    one.group.setAttribute("transform", `translate(${axes.px(x)} ${axes.py(y)})`);
    tell(one.group, "aria-label", label);
    tell(one.group, "aria-valuetext", text ?? `x ${show(x)}, y ${show(y)}`);
    one.group.setAttribute("aria-valuenow", Number(x.toPrecision(4)));
    one.group.setAttribute("aria-valuemin", axes.x[0]);
    one.group.setAttribute("aria-valuemax", axes.x[1]);
    one.dot.setAttribute("r", radius);
    one.dot.setAttribute("class", `dot ${kind}`);
  }

  // Call `act(x, y)` where the reader clicks into the axes.
  clicks(axes, act) {
    const { x, y, width, height } = axes.inner;
    const place = svg("rect", { x, y, width, height, class: "clicks" }, this.back);
    place.addEventListener("click", (event) => act(...axes.at(event)));
  }
}

class Axes {
  constructor(stage, box, of) {
    Object.assign(this, of, { stage });
    const rows = inRows(stage, of.names, box.width - 18), top = (of.title ? 24 : 10) + 16 * rows.length;
    const bottom = of.xlabel ? 40 : 24, height = Math.max(40, box.height - top - bottom);
    this.marks = ticks(of.y, of.logy, Math.max(2, Math.floor(height / 45)));
    const widest = Math.max(...this.marks.map((value) => stage.textWidth(show(value))));
    const left = Math.max(of.ylabel ? 52 : 40, widest + (of.ylabel ? 26 : 10));
    this.inner = { x: box.x + left, y: box.y + top, width: Math.max(40, box.width - left - 12), height };
    this.frame(box);
    rows.forEach((row, i) => row.forEach(([x, entry]) => legend(stage, box.x + 18 + x, box.y + (of.title ? 26 : 10) + 16 * i, [entry])));
  }

  px(value) { return this.inner.x + this.inner.width * share(value, this.x, this.logx); }
  py(value) { return this.inner.y + this.inner.height * (1 - share(value, this.y, this.logy)); }

  // Where on the axes an event has happened, in the data's numbers, within the axes.
  at(event) {
    const frame = this.stage.drawing.getBoundingClientRect(), scale = this.stage.width / frame.width;
    const h = ((event.clientX - frame.left) * scale - this.inner.x) / this.inner.width;
    const v = 1 - ((event.clientY - frame.top) * scale - this.inner.y) / this.inner.height;
    return this.clamp(unshare(h, this.x, this.logx), unshare(v, this.y, this.logy));
  }

  clamp(x, y) {
    const within = (value, [low, high]) => Math.min(Math.max(value, low), high);
    return [within(x, this.x), within(y, this.y)];
  }

  frame(box) {
    const { x, y, width, height } = this.inner, back = this.stage.back;
    const clip = svg("clipPath", { id: `${this.stage.id}-clip-${(this.stage.clips += 1)}` }, back);
    // A dot on the edge is seen whole.
    svg("rect", { x: x - 6, y: y - 6, width: width + 12, height: height + 12 }, clip);
    const grid = svg("g", { class: "grid" }, back);
    for (const value of ticks(this.x, this.logx, Math.max(2, Math.floor(width / 70)))) {
      const place = this.px(value), text = show(value), half = this.stage.textWidth(text) / 2;
      svg("line", { x1: place, x2: place, y1: y, y2: y + height }, grid);
      const whole = Math.min(place, box.x + box.width - half - 1);
      svg("text", { x: whole, y: y + height + 15, "text-anchor": "middle" }, grid, text);
    }
    for (const value of this.marks) {
      const place = this.py(value);
      svg("line", { x1: x, x2: x + width, y1: place, y2: place }, grid);
      svg("text", { x: x - 6, y: place + 4, "text-anchor": "end" }, grid, show(value));
    }
    const middle = { x: x + width / 2, "text-anchor": "middle" };
    if (this.xlabel) svg("text", { ...middle, y: y + height + 33 }, grid, this.xlabel);
    if (this.title) svg("text", { ...middle, y: box.y + 14, class: "title" }, grid, this.title);
    if (this.ylabel) {
      const turned = `translate(${box.x + 12} ${y + height / 2}) rotate(-90)`;
      svg("text", { transform: turned, "text-anchor": "middle" }, grid, this.ylabel);
    }
    this.layer = svg("g", { "clip-path": `url(#${clip.id})` }, back);
  }

  // `kind` is a colour, c1 to c6 or grey, and may add "thin", "thick", "dashed", "dotted",
  // "dashdot" or "faint".
  line(xs, ys, kind = "c1") {
    let path = "", pen = "M";
    for (let i = 0; i < xs.length; i += 1) {
      const x = this.px(xs[i]), y = this.py(ys[i]);
      if (!(Math.abs(x) < 1e5 && Math.abs(y) < 1e5)) { pen = "M"; continue; }
      path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
      pen = "L";
    }
    return svg("path", { d: path, class: `line ${kind}` }, this.layer);
  }

  // The area between two curves.
  band(xs, low, high, kind = "c1") {
    const point = (x, y) => `${this.px(x).toFixed(1)} ${this.py(y).toFixed(1)}`;
    const there = xs.map((x, i) => point(x, high[i])), back = xs.map((x, i) => point(x, low[i]));
    return svg("path", { d: `M${[...there, ...back.reverse()].join("L")}Z`, class: `band ${kind}` }, this.layer);
  }

  dots(xs, ys, kind = "c1", radius = 4) {
    for (let i = 0; i < xs.length; i += 1) {
      const cx = this.px(xs[i]), cy = this.py(ys[i]);
      if (Number.isFinite(cx + cy)) svg("circle", { cx, cy, r: radius, class: `dot ${kind}` }, this.layer);
    }
  }

  arrow(x0, y0, x1, y1, kind = "c1") {
    const [a, b, c, d] = [this.px(x0), this.py(y0), this.px(x1), this.py(y1)];
    const length = Math.hypot(c - a, d - b);
    if (!(length > 0.5 && length < 1e5)) return;
    const tip = Math.min(9, length / 2), u = (c - a) / length, v = (d - b) / length;
    const [e, f] = [c - tip * u, d - tip * v];
    svg("path", { d: `M${a} ${b}L${e} ${f}`, class: `line ${kind}` }, this.layer);
    const head = [[c, d], [e - (tip / 2) * v, f + (tip / 2) * u], [e + (tip / 2) * v, f - (tip / 2) * u]];
    svg("path", { d: `M${head.map((p) => p.join(" ")).join("L")}Z`, class: `dot ${kind}` }, this.layer);
  }

  text(x, y, text, attributes = {}) {
    return svg("text", { x: this.px(x), y: this.py(y), ...attributes }, this.layer, text);
  }
}

function share(value, [low, high], log) {
  return log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

function unshare(part, [low, high], log) {
  return log ? low * (high / low) ** part : low + part * (high - low);
}

function ticks([low, high], log, most) {
  if (log) {
    const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
    const every = Math.max(1, Math.ceil((last - first + 1) / most));
    const found = [];
    for (let power = first; power <= last; power += every) found.push(10 ** power);
    if (high > 101 * low) return found;
    // Up to two factors of ten: 1, 2, 5, 10 and so on.
    const finer = Array.from({ length: last - first + 2 }, (_, i) =>
      [1, 2, 5].map((digit) => Number(`${digit}e${first - 1 + i}`))).flat();
    return finer.filter((value) => value >= low * 0.999 && value <= high * 1.001).slice(0, 2 * most);
  }
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

// The names of lines, beneath each other: [[kind, text], …].
function legend(stage, x, y, entries) {
  entries.forEach(([kind, text], i) => {
    svg("path", { d: `M${x} ${y + 16 * i}h22`, class: `line ${kind}` }, stage.back);
    stage.text(x + 28, y + 16 * i + 4, text, { class: "legend" });
  });
}

// The same names in rows of a width: for each row [[x, entry], …].
function inRows(stage, entries, width) {
  const rows = [];
  let x = Infinity;
  for (const entry of entries) {
    const room = 28 + stage.textWidth(entry[1]) + 16;
    if (x + room - 16 > width) { rows.push([]); x = 0; }
    rows.at(-1).push([x, entry]);
    x += room;
  }
  return rows;
}

const inkCache = new Map();

function inked(values, side) {
  const key = values.length === side * side ? Array.from(values, (v) => Math.round(255 * v)).join() : "";
  if (!inkCache.has(key)) {
    const canvas = tag("canvas", { width: side, height: side }), context = canvas.getContext("2d");
    const picture = context.createImageData(side, side);
    for (let i = 0; i < side * side; i += 1) {
      picture.data.set([0, 0, 0, Math.round(255 * Math.min(1, Math.max(0, values[i])))], 4 * i);
    }
    context.putImageData(picture, 0, 0);
    inkCache.set(key, canvas.toDataURL());
  }
  return inkCache.get(key);
}
