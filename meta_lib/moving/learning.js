// How something learns in the page: in a worker, so that the page stays free; where there is none, in
// slices on the page's own thread. A learner is one function that needs nothing but what is named
// beside it, and returns start(settings), iterate(state) and report(state, since); so its own text,
// and theirs, is the worker's program, and nothing has to be fetched.

// Carries a state to where it is asked to go, some time at a time, and tells how far it has come.
function runner(learner, tell, slice) {
  let run = 0, state = null, goal = 0, told = 0, waiting = 0;
  const go = () => {
    const end = performance.now() + slice;
    waiting = 0;
    while (state.done < goal && !state.failed && performance.now() < end) learner.iterate(state);
    const news = learner.report(state, told);
    told = state.curve.length;
    if (state.done < goal && !state.failed) waiting = setTimeout(go, 0);
    tell({ run, ...news });
  };
  return (asked) => {
    if (asked.settings) [run, state, told] = [asked.run, learner.start(asked.settings), 0];
    goal = asked.goal;
    if (!waiting) waiting = setTimeout(go, 0);
  };
}

// Returns ask({ settings, goal }), to start anew, and ask({ goal }); `tell(news)` hears of it. What
// is still on its way from an earlier start is not told.
function learning(learner, needed, tell) {
  let run = 0, worker = null, asked = [];
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
    // Some pages forbid workers, and say so only afterwards: then all that was asked is asked again.
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      send = inSlices();
      asked.forEach((one) => send(one));
    };
  } catch {
    send = inSlices();
  }
  return {
    ask({ settings, goal }) {
      if (settings) { run += 1; asked = []; }
      const what = settings ? { run, settings, goal } : { goal };
      asked = [...asked.filter((one) => one.settings), what];
      send(what);
    },
    end() {
      send({ goal: 0 });
      worker?.terminate();
      run = -1;
    },
  };
}
