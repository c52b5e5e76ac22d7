// What the book adds to its pages: folded code is one line beneath what it shows, and one switch opens
// all of it; a solution and its explanation are one; columns of numbers stand at the right.

// A page in another language says what a text is there (book/_translated/words.js).
function say(text) { return globalThis.inThisLanguage?.(text) ?? text; }

const FOLDED = ".cell.tag_hide-input > details.hide";

function joinCode() {
  for (const details of document.querySelectorAll(FOLDED)) {
    const cell = details.parentElement, output = cell.querySelector(":scope > .cell_output");
    const next = cell.nextElementSibling?.querySelector(":scope.tag_hide-input > details.hide");
    if (output) output.after(details);
    else if (next) {
      next.firstElementChild.after(...[...details.children].slice(1));
      cell.remove();
    }
  }
}

function countLines() {
  const folded = document.querySelectorAll(FOLDED);
  for (const details of folded) {
    const count = [...details.querySelectorAll("pre")].flatMap((pre) => pre.textContent.trimEnd().split("\n")).length;
    details.querySelector(".collapsed").textContent = say(`Show the code, ${count} line${count > 1 ? "s" : ""}`);
  }
  return [...folded];
}

function addSwitch(folded) {
  if (!folded.length) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "all-code" });
  const tell = () => {
    const all = folded.every((details) => details.open);
    button.textContent = say(all ? "Fold all code" : "Show all code");
    button.ariaPressed = String(all);
  };
  button.addEventListener("click", () => {
    const open = !folded.every((details) => details.open);
    for (const details of folded) details.open = open;
    tell();
  });
  for (const details of folded) details.addEventListener("toggle", tell);
  tell();
  folded[0].before(button);
}

// The cells of a solution and the words that follow become one fold.
function joinSolutions() {
  for (const cell of document.querySelectorAll(".cell.tag_solution")) {
    const details = cell.querySelector(":scope > details.hide"), before = cell.previousElementSibling;
    if (!details) continue;
    if (before?.matches(".tag_solution")) {
      before.firstElementChild.append(...[...details.children].slice(1));
      cell.remove();
    }
  }
  for (const solution of document.querySelectorAll(".cell.tag_solution > details.hide")) {
    const [summary] = solution.children, words = solution.parentElement.nextElementSibling;
    const number = solution.textContent.match(/Solution to exercise (\d+)/)?.[1] ?? "";
    if (words?.matches("details") && words.firstElementChild?.textContent === say(`Solution to exercise ${number}, explained`)) {
      solution.append(...[...words.children].slice(1));
      words.remove();
    }
    summary.removeAttribute("aria-label");
    summary.querySelector(".collapsed").textContent = say(`Show the solution to exercise ${number}`);
    summary.querySelector(".expanded").textContent = say(`Hide the solution to exercise ${number}`);
  }
}

const NUMBER = /^[−-]?[\d.,]+(\s?%)?(\s±\s?[\s\d.,]+)?(\s?%)?\s*$|^[–-]?$/;

function alignNumbers() {
  for (const table of document.querySelectorAll(".bd-article table")) {
    const rows = [...table.querySelectorAll("tbody tr")].map((row) => [...row.children]);
    rows[0]?.forEach((_, column) => {
      const cells = rows.map((row) => row[column]).filter(Boolean), texts = cells.map((cell) => cell.textContent.trim());
      if (!texts.some((text) => /\d/.test(text)) || !texts.every((text) => NUMBER.test(text))) return;
      for (const row of table.rows) row.cells[column]?.classList.add("number");
    });
  }
}

// Each picture has a number, and beneath it the first sentence of its description, which is read aloud
// already with the picture. Of a moving figure the words beneath say what to do, and get the number.
function captionPictures() {
  const chapter = document.querySelector("h1 .section-number")?.textContent.trim() ?? "";
  const shown = [...document.querySelectorAll(".moving-output, .cell_output img[alt]")].filter((one) => !one.parentElement.closest(".moving-output"));
  shown.forEach((one, i) => {
    const number = say(`Figure ${chapter}${i + 1}`);
    if (one.matches(".moving-output")) {
      one.style.setProperty("--number", `"${number}"`);
      return;
    }
    const [sentence] = one.alt.split(/(?<=[^\s\d.]\.) |(?<=。)/);
    const words = sentence.length > 140 ? sentence.split(/[:;] |[：；]/)[0] : sentence;
    const caption = Object.assign(document.createElement("p"), { className: "picture-caption", ariaHidden: "true" });
    const bold = Object.assign(document.createElement("b"), { textContent: number });
    caption.append(bold, ` ${words.replace(/[.:;,：；，。]*$/, /[。：；，]/.test(sentence) ? "。" : ".")}`);
    caption.classList.toggle("wider", !one.closest("picture") && parseFloat(one.style.width) > one.closest(".cell_output").clientWidth);
    one.closest("a, p, .output")?.after(caption);
  });
}

// A number keeps its unit and its interval in its line.
function keepTogether() {
  const walker = document.createTreeWalker(document.querySelector(".bd-article"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, kept = text.data.replace(/ %/g, "\u00a0%").replace(/ ± /g, "\u00a0±\u00a0");
    if (kept !== text.data && !text.parentElement.closest("pre, code, script, style, .math")) text.data = kept;
  }
}

document.addEventListener("DOMContentLoaded", () => {
  keepTogether();
  joinCode();
  addSwitch(countLines());
  joinSolutions();
  alignNumbers();
  captionPictures();
});
