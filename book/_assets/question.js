// A question in the page: its text becomes a form that answers at once. The page calls this as soon
// as it has read the question. The text stays for paper (question.css).

// A page in another language says what a text is there (book/_translated/words.js).
function say(text) { return globalThis.inThisLanguage?.(text) ?? text; }

function askQuestion(box) {
  const [question, offered] = box.children;
  const reasons = Array.from(box.querySelectorAll("details li"), (item) => item.firstElementChild ?? item);
  const choices = Array.from(box.querySelectorAll(":scope > ul > li"), (item) => item.firstElementChild ?? item);
  const name = `question-${document.querySelectorAll(".question").length}`;

  const form = make("form", { className: "question-form" });
  const group = make("fieldset", {}, make("legend", {}, ...copy(question)));
  const said = make("div", { className: "question-said", ariaLive: "polite" });
  said.textContent = say(choices.length ? "Choose one: the reason stands here at once." : "The reason stands here at once.");
  // All reasons take their place beforehand, unseen, so that none moves the page.
  const places = reasons.map((reason) => make("div", { className: "question-place", ariaHidden: "true" }, ...copy(reason)));
  form.append(group, make("div", { className: "question-answer" }, said, ...places));

  const answer = (reason) => {
    said.replaceChildren(...copy(places[reasons.indexOf(reason)]));
    said.dataset.verdict = reasons.indexOf(reason) === Number(box.dataset.right) ? "yes" : "no";
  };
  if (choices.length) {
    choices.forEach((choice, i) => {
      const radio = make("input", { type: "radio", name });
      radio.addEventListener("change", () => answer(reasons[i]));
      group.append(make("label", {}, radio, make("span", {}, ...copy(choice))));
    });
    group.addEventListener("keydown", moveOnly);
    form.addEventListener("submit", (event) => event.preventDefault());
  } else {
    const field = make("input", { type: "number", step: "any", required: true });
    const label = make("label", {}, make("span", {}, ...copy(offered)), field);
    group.append(label, make("button", { textContent: say("Check") }));
    const [right, less, more] = reasons;
    const [low, high] = right.firstElementChild.textContent.match(/[−-]?[\d.,]+/g).map(toNumber);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const guess = field.valueAsNumber;
      answer(guess < low ? less : guess > high ? more : right);
    });
  }
  box.append(form);
  box.classList.add("asked");
}

// An arrow goes to the next choice without choosing it, else it would give the answer away.
// The space bar chooses, and so does Enter.
function moveOnly(event) {
  const radios = Array.from(event.currentTarget.querySelectorAll("input"));
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (step) {
    event.preventDefault();
    radios.at((radios.indexOf(event.target) + step) % radios.length).focus();
  } else if (event.key === "Enter") {
    event.preventDefault();
    event.target.click();
  }
}

function toNumber(text) {
  return Number(text.replace("−", "-").replaceAll(",", ""));
}

function copy(element) {
  return Array.from(element.childNodes, (node) => node.cloneNode(true));
}

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
