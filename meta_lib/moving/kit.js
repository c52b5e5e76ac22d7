// What all moving figures share. Python puts this file in front of each figure's own, as one module.
//
//   export default { render: ({ model, el }) => figure(model, el, { hint, controls, height, draw }) };
//
// `draw(stage, model)` runs after each change, at most twice a frame. It draws everything anew and
// returns the read-out: a text, which a screen reader hears as well.

const SVG = "http://www.w3.org/2000/svg";
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function tag(name, attributes = {}, parent = null, text = "") {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  parent?.append(element);
  return element;
}

function svg(name, attributes = {}, parent = null, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== "") element.textContent = text;
  parent?.append(element);
  return element;
}

// A number as it is read: three significant digits, a true minus sign.
function show(value, digits = 3) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5)
    ? Number(value.toPrecision(digits)).toExponential().replace("e+", "e")
    : String(Number(value.toPrecision(digits)));
  return text.replace(/-/g, "−");
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

// The figure

let figures = 0;

function figure(model, el, { hint, controls = [], height = 320, draw }) {
  const id = `moving-${(figures += 1)}-${Math.random().toString(36).slice(2, 7)}`;
  const root = tag("div", { class: "moving", role: "group", "data-lm-suppress-shortcuts": "true" }, el);
  // JupyterLab would take the keys for itself, the arrows too.
  root.addEventListener("keydown", (event) => event.stopPropagation());
  root.setAttribute("aria-label", model.get("description") || hint);
  const panel = tag("div", { class: "moving-controls" }, root);
  const frame = tag("div", { class: "moving-stage" }, root);
  const drawing = svg("svg", { role: "group", "aria-label": "drawing" }, frame);
  const back = svg("g", { "aria-hidden": "true" }, drawing);
  const front = svg("g", {}, drawing);
  const readout = tag("p", { class: "moving-readout", "aria-hidden": "true" }, root);
  const heard = tag("p", { class: "moving-heard", role: "status" }, root);
  tag("p", { class: "moving-hint" }, root, hint);
  const stage = new Stage(drawing, back, front, id);

  let waiting = 0, again = false, quiet = 0;
  const paint = () => {
    stage.width = Math.max(260, frame.clientWidth);
    stage.height = typeof height === "function" ? height(stage.width) : height;
    stage.begin();
    const text = draw(stage, model) ?? "";
    stage.end();
    readout.textContent = text;
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

  const refreshers = controls.map((control) => control(panel, model, id, changed)).filter(Boolean);
  button("Reset", () => change(model, structuredClone(model.get("start"))))(panel, model);
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
// largest of them that can be chosen now.
function slider(name, symbol, { min, max, step, log = false, values, most, format = show }) {
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
      const text = `${symbol} = ${format(value)}`;
      label.textContent = text;
      input.setAttribute("aria-valuetext", text);
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

// A button that lets the trait `name` run from where it is up to `most(model)`, one step at a time.
function player(name, label, most, pause = 500) {
  return (panel, model) => {
    const input = tag("button", { type: "button" }, panel, label);
    let timer = 0;
    const stop = () => { clearInterval(timer); timer = 0; input.textContent = label; };
    const step = () => {
      if (!input.isConnected) return stop();
      const next = model.get(name) + 1;
      if (next <= most(model)) change(model, { [name]: next });
      if (next >= most(model)) stop();
    };
    input.addEventListener("click", () => {
      if (timer) return stop();
      if (model.get(name) >= most(model)) change(model, { [name]: 0 });
      // Who asks for less motion goes step by step, at each click.
      if (still()) return step();
      input.textContent = "Pause";
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
  // They fill what lies between `top` and `bottom`.
  boxes(shares, top = 0, bottom = this.height) {
    const total = shares.reduce((a, b) => a + b), rows = this.narrow ? shares.length : 1;
    let x = 0;
    return shares.map((share, i) => {
      const width = this.narrow ? this.width : (this.width * share) / total;
      const height = (bottom - top) / rows;
      const box = { x: this.narrow ? 0 : x, y: top + (this.narrow ? i * height : 0), width, height };
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

  // Axes in a box, from data to the page. `x` and `y` are [low, high].
  axes(box, { x, y, logx = false, logy = false, xlabel = "", ylabel = "", title = "" }) {
    return new Axes(this, box, { x, y, logx, logy, xlabel, ylabel, title });
  }

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
    one.group.setAttribute("aria-label", label);
    one.group.setAttribute("aria-valuetext", text ?? `x ${show(x)}, y ${show(y)}`);
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
    const left = of.ylabel ? 52 : 40, top = of.title ? 24 : 10;
    const bottom = of.xlabel ? 40 : 24;
    this.inner = {
      x: box.x + left, y: box.y + top, width: Math.max(40, box.width - left - 12),
      height: Math.max(40, box.height - top - bottom),
    };
    this.frame(box);
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
    const most = { x: Math.max(2, Math.floor(width / 70)), y: Math.max(2, Math.floor(height / 45)) };
    for (const value of ticks(this.x, this.logx, most.x)) {
      const place = this.px(value);
      svg("line", { x1: place, x2: place, y1: y, y2: y + height }, grid);
      svg("text", { x: place, y: y + height + 15, "text-anchor": "middle" }, grid, show(value));
    }
    for (const value of ticks(this.y, this.logy, most.y)) {
      const place = this.py(value);
      svg("line", { x1: x, x2: x + width, y1: place, y2: place }, grid);
      svg("text", { x: x - 6, y: place + 4, "text-anchor": "end" }, grid, show(value));
    }
    const middle = { x: x + width / 2, "text-anchor": "middle" };
    if (this.xlabel) svg("text", { ...middle, y: y + height + 33 }, grid, this.xlabel);
    if (this.title) svg("text", { ...middle, y: y - 8, class: "title" }, grid, this.title);
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
    stage.text(x + 28, y + 16 * i + 4, text);
  });
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
