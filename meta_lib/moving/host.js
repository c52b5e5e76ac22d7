// Runs the moving figures of a page that has no kernel: it reads the state that was stored with the
// page, and gives each figure's module a model as anywidget does.

const STORED = '.moving-output > script[type="application/json"]';

// Whether a value from the address is of the kind that the figure starts with.
function alike(value, start) {
  if (Array.isArray(start)) return Array.isArray(value) && value.every((one) => !start.length || alike(one, start[0]));
  return typeof value === typeof start && (value === null) === (start === null);
}

// A figure's values: what was stored, and what the page's address says of them.
function modelOf({ state, buffers }) {
  const values = { ...state, kernel: false }, listeners = new Map();
  for (const [name, data] of Object.entries(buffers)) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    values[name] = new DataView(bytes.buffer);
  }
  const names = Object.keys(values.start), key = (name) => `${values.name}.${name}`;
  const address = new URL(location.href);
  for (const name of names) {
    try {
      const value = JSON.parse(address.searchParams.get(key(name)));
      if (value !== null && alike(value, values[name])) values[name] = value;
    } catch { /* an address that somebody has mistyped: the figure starts as it does */ }
  }
  let changed = new Set(), timer = 0;
  const tell = (event) => { for (const listener of listeners.get(event) ?? []) listener(); };
  const write = () => {
    const here = new URL(location.href);
    for (const name of names) {
      const text = JSON.stringify(values[name]);
      if (text === JSON.stringify(values.start[name])) here.searchParams.delete(key(name));
      else here.searchParams.set(key(name), text);
    }
    history.replaceState(null, "", here);
  };
  return {
    get: (name) => values[name],
    set(name, value) { if (values[name] !== value) { values[name] = value; changed.add(name); } },
    save_changes() {
      const now = changed;
      changed = new Set();
      for (const name of now) tell(`change:${name}`);
      if (now.size) tell("change");
      clearTimeout(timer);
      timer = setTimeout(write, 300); // browsers refuse an address that changes at each frame
    },
    on(event, listener) { listeners.set(event, [...(listeners.get(event) ?? []), listener]); },
    off(event, listener) { listeners.set(event, (listeners.get(event) ?? []).filter((one) => one !== listener)); },
    send() {},
  };
}

async function run(place, stored) {
  const model = modelOf(stored);
  const module = await import(URL.createObjectURL(new Blob([stored.script], { type: "text/javascript" })));
  if (!document.getElementById("moving-style")) {
    const style = Object.assign(document.createElement("style"), { id: "moving-style" });
    style.textContent = stored.style;
    document.head.append(style);
  }
  const figure = document.createElement("div");
  figure.className = "moving-figure";
  Object.assign(figure, { model, module });
  place.before(figure);
  module.default.render({ model, el: figure });
  // The still picture stands beside what is stored, in the same output.
  place.parentElement.querySelectorAll(":scope > :not(.moving-figure, script)").forEach((one) => one.remove());
}

// A link of the text sets a figure (book/_extensions/figure_links.py), and brings its drawing in view.
function follow(event) {
  const link = event.target.closest?.("a[data-sets]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const figure = [...document.querySelectorAll(".moving-figure")].find(({ model }) => model.get("name") === link.dataset.figure);
  if (!figure) return;
  event.preventDefault();
  for (const [name, value] of Object.entries(JSON.parse(link.dataset.sets))) {
    const folded = figure.querySelector(`details [name="${name}"]`)?.closest("details");
    if (folded && figure.model.get(name) !== value) folded.open = true; // what is set is seen
    figure.model.set(name, value);
  }
  figure.model.save_changes();
  const { top, bottom } = figure.getBoundingClientRect();
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (top < 0 || bottom > innerHeight) figure.scrollIntoView({ block: "start", behavior: calm ? "instant" : "smooth" });
  figure.classList.remove("told");
  void figure.offsetWidth; // so that the mark begins anew
  figure.classList.add("told");
}

async function start() {
  for (const place of document.querySelectorAll(STORED)) {
    // A figure that cannot run stays a picture, and the others move.
    await run(place, JSON.parse(place.textContent)).catch((error) => console.error(error));
  }
  document.documentElement.dataset.moving = "ready";
}

document.addEventListener("click", follow);
start();
