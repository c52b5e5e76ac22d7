// How something learns in the page: in a worker, so that the page stays free; where there is none, in
// slices on the page's own thread. A learner is one function that needs nothing but what is named
// beside it, and returns start(settings), iterate(state) and report(state, since, resting); so its own text,
// and theirs, is the worker's program, and nothing has to be fetched. A state has `settings`, `done`,
// `failed` and `curve`.

// An object of functions as the text of a constant, for such a program.
const constant = (name, functions) =>
  `const ${name} = { ${Object.entries(functions).map(([key, one]) => `${key}: ${/^[\w$]+\(/.test(one) ? `function ${one}` : one}`).join(", ")} };`;

// Carries a state to where it is asked to go, some time at a time, and tells how far it has come.
function runner(learner, tell, slice) {
  let run = 0, state = null, goal = 0, told = 0, waiting = 0;
  const go = () => {
    const end = performance.now() + slice;
    waiting = 0;
    while (state.done < goal && !state.failed && performance.now() < end) learner.iterate(state);
    const resting = state.done >= goal || state.failed > 0, news = learner.report(state, told, resting);
    told = state.curve.length;
    if (!resting) waiting = setTimeout(go, 0);
    tell({ run, ...news });
  };
  return (asked) => {
    if (asked.settings) [run, state, told] = [asked.run, learner.start({ ...asked.settings }), 0];
    if (asked.live) Object.assign(state.settings, asked.live);
    goal = asked.goal;
    if (!waiting) waiting = setTimeout(go, 0);
  };
}

// Returns ask({ settings, goal }), to start anew, and ask({ goal, live }), where `live` are settings
// that change on the way; `tell(news)` hears of it. What is still on its way from an earlier start
// is not told.
function learning(learner, needed, tell) {
  let run = 0, worker = null, wanted;
  const heard = (news) => { if (news.run === run) tell(news); };
  const inSlices = () => runner(learner(), heard, 8);
  let send;
  try {
    const program = `${needed.join("\n")}\n${learner}\n${runner}\n` +
      `const answer = runner(${learner.name}(), (news) => postMessage(news), 40);\nonmessage = ({ data }) => answer(data);`;
    const address = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
    worker = new Worker(address);
    send = (what) => worker.postMessage(what);
    worker.onmessage = ({ data }) => {
      URL.revokeObjectURL(address);
      heard(data);
    };
    // Some pages forbid workers, and say so only afterwards: then what was asked is asked again.
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      send = inSlices();
      send(wanted);
    };
  } catch {
    send = inSlices();
  }
  return {
    ask({ settings, goal, live }) {
      if (settings) run += 1;
      wanted = { run, goal, settings: settings ?? { ...wanted.settings, ...live } };
      send(settings ? wanted : { goal, live });
    },
    end() {
      send({ goal: 0 });
      worker?.terminate();
      run = -1;
    },
  };
}

const within = (value, low, high) => Math.min(Math.max(value, low), high);

// A training as the reader follows it: where it is, what it was before, and how it is driven.
// `settingsOf(model)` are its settings, made sound, with `iterations` among them; those that `live`
// names may change while it runs. `first(settings)` is what can be drawn before the first news.
function follower(model, el, { learner, needed, settingsOf, first, live = [] }) {
  const now = { key: "", goal: 0, done: 0, failed: 0, curve: [], mixed: false, before: null, paint: () => {} };
  let seen = true, inView = true, lookedOn = false;
  const goalOf = () => within(Math.round(model.get("goal")) || 0, 0, settingsOf(model).iterations);
  // Another figure of the page may look on, and ask (together.js).
  const tell = () => {
    if (now.settings) document.dispatchEvent(new CustomEvent("learning-told", { detail: { name: model.get("name"), ...now } }));
  };
  const told = ({ curve, ...news }) => {
    now.curve.push(...curve);
    Object.assign(now, news);
    const resting = now.failed || now.done >= now.goal;
    // The worker was on when it was asked to pause: it is where it is.
    if (now.done > goalOf()) change(model, { goal: now.done });
    if (resting && model.get("kernel")) change(model, { found: new DataView(now.phi.slice().buffer) });
    if (resting || !still()) now.paint();
    tell();
  };
  const worker = learning(learner, needed, told);
  const keyOf = (settings) => JSON.stringify({ ...settings, ...Object.fromEntries(live.map((name) => [name, 0])) });
  const begin = () => {
    const settings = settingsOf(model), { before, ...run } = now;
    if (now.curve.length) now.before = run;
    Object.assign(now, first(settings), { settings, key: keyOf(settings), done: 0, failed: 0, curve: [], mixed: false });
    worker.ask({ settings, goal: seen ? now.goal : 0 });
    tell();
  };
  const ended = () => now.failed > 0 || now.done >= now.settings.iterations;
  const again = () => {
    now.goal = 0;
    begin();
    change(model, { goal: 0 });
    now.paint();
  };
  const follow = () => {
    const settings = settingsOf(model), goal = goalOf(), asked = goal !== now.goal;
    const anew = keyOf(settings) !== now.key;
    // Other settings begin from the start, and wait, unless a goal has come with them; so do fewer iterations.
    now.goal = anew && !asked && now.key ? 0 : goal;
    const moved = live.filter((name) => settings[name] !== now.settings?.[name]);
    if (anew || goal < now.done) begin();
    else if (asked || moved.length) {
      const changed = Object.fromEntries(moved.map((name) => [name, settings[name]]));
      now.settings = settings;
      now.mixed ||= now.done > 0 && moved.length > 0;
      worker.ask({ goal: seen ? goal : 0, live: changed });
    }
    if (now.goal !== goal) change(model, { goal: now.goal });
  };
  const look = () => {
    const before = seen;
    seen = (inView || lookedOn) && !document.hidden;
    if (seen !== before) worker.ask({ goal: seen ? now.goal : 0 });
  };
  const watch = new IntersectionObserver((entries) => { inView = entries.at(-1).isIntersecting; look(); });
  watch.observe(el);
  document.addEventListener("visibilitychange", look);
  const asked = ({ detail: { values = {}, goal, anew, looks } }) => {
    if (looks !== undefined) { lookedOn = looks; look(); tell(); }
    if (anew || (goal && ended())) again();
    const known = Object.entries(values).filter(([name]) => name in model.get("start"));
    if (known.length) change(model, Object.fromEntries(known));
    if (goal !== undefined) change(model, { goal: goal ? settingsOf(model).iterations : now.done });
  };
  document.addEventListener("learning-asked", asked);
  return {
    now,
    again,
    ended,
    // Once the other controls have made sound what an address may have said.
    start() {
      model.on("change", follow);
      follow();
    },
    end() {
      watch.disconnect();
      document.removeEventListener("visibilitychange", look);
      document.removeEventListener("learning-asked", asked);
      model.off("change", follow);
      worker.end();
    },
  };
}

// The buttons, and how far it has come.
function driving({ now, start, again, ended }) {
  return (panel, model, id, changed) => {
    start();
    const go = (goal) => change(model, { goal: Math.min(goal, now.settings.iterations) });
    const main = tag("button", { type: "button" }, panel, "Learn");
    main.addEventListener("click", () => {
      if (running()) return go(now.done);
      if (ended()) again();
      // Who asks for less motion goes a piece at a time, at each click.
      return go(still() ? now.done + now.settings.iterations / 10 : Infinity);
    });
    button("One iteration", () => go(now.done + 1))(panel, model);
    button("Start again", again)(panel, model);
    const bar = tag("progress", { max: 1, "aria-label": "progress of the training" }, panel);
    const running = () => now.goal > now.done && !now.failed;
    const refresh = () => {
      main.textContent = here(running() ? "Pause" : now.done && now.done < now.settings.iterations ? "Go on" : "Learn");
      bar.value = now.done / now.settings.iterations;
    };
    now.paint = () => { refresh(); changed(); };
    return refresh;
  };
}

// One step of Adam with rate β, in place; a part of the learners' programs.
function adamStep(weights, gradient, adam, beta) {
  adam.steps += 1;
  const first = 1 - 0.9 ** adam.steps, second = Math.sqrt(1 - 0.999 ** adam.steps);
  for (let i = 0; i < weights.length; i += 1) {
    adam.mean[i] += 0.1 * (gradient[i] - adam.mean[i]);
    adam.square[i] = 0.999 * adam.square[i] + 0.001 * gradient[i] * gradient[i];
    weights[i] -= ((beta / first) * adam.mean[i]) / (Math.sqrt(adam.square[i]) / second + 1e-8);
  }
}
