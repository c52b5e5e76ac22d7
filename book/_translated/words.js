// What the scripts of a page say, in the page's language. WORDS has for an English text another, and for
// a sentence with {0}, {1} … for what varies a sentence with the same; what varies is looked up itself.
// What a translation leaves out, a plural's ending, is no more than letters.
globalThis.inThisLanguage = (() => {
  const WORDS = WORDS_OF_THE_LANGUAGE;
  const HOLE = /\{(\d+)\}/, SIGNS = { ", ": "，", "; ": "；", ": ": "：", " and ": "和", " → ": " → " };
  const joined = (text) => text.replace(/(?<=\p{sc=Han}) (?=\p{sc=Han})/gu, "");
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const holesOf = (text) => [...text.matchAll(/\{(\d+)\}/g)].map(([, number]) => number);

  // A text that begins with a comma, a colon or a bracket may be said behind another. Of two that vary
  // beside each other the first has no punctuation in it.
  function formOf([english, other]) {
    const pieces = english.split(/\{\d+\}/), holes = holesOf(english), kept = holesOf(other);
    const groups = holes.map((number, i) => (!kept.includes(number) ? "([a-z]*)" : pieces[i + 1] || i === holes.length - 1 ? "(.*?)" : "([^,;:(]*)"));
    const behind = /^[,;:(]/.test(english) ? "(?:(.*?\\S)( ?))?" : "()()";
    return {
      holes, other, size: pieces.join("").length, key: pieces.reduce((a, b) => (b.length > a.length ? b : a)),
      pattern: new RegExp(`^${behind}${pieces.map((piece, i) => escaped(piece) + (groups[i] ?? "")).join("")}$`, "s"),
    };
  }
  const forms = Object.entries(WORDS).filter(([english]) => HOLE.test(english) || /^[,;:(]/.test(english))
    .map(formOf).sort((a, b) => b.size - a.size);

  // Whether each bracket that a text opens is closed in it.
  function closed(text) {
    let depth = 0;
    for (const sign of text) {
      if (sign === "(") depth += 1;
      else if (sign === ")" && (depth -= 1) < 0) return false;
    }
    return depth === 0;
  }

  // How many words are left in a text that have another in this language; a name has none.
  const latin = (text) => text.match(/[A-Za-z]{2,}/g) ?? [];
  const english = new Set(Object.entries(WORDS).flatMap(([text, other]) => latin(text).filter((word) => !latin(other).includes(word))));
  const left = (text) => latin(text).filter((word) => english.has(word)).length;

  // Of all patterns that fit, the longest of those that leave least in English. One that stands in what
  // varies once more is an entry of a list.
  function matched(text) {
    let best = null;
    for (const { key, holes, other, pattern } of forms) {
      const found = text.includes(key) && pattern.exec(text);
      const varies = found && found.slice(1).map((one) => one ?? "");
      if (!varies || !varies.every((one) => closed(one) && !one.includes(key))) continue;
      const parts = Object.fromEntries(holes.map((number, i) => [number, whole(varies[i + 2]).trim()]));
      const said = joined(whole(varies[0]) + varies[1] + other.replace(/\{(\d+)\}/g, (_, number) => parts[number]));
      if (!left(said)) return said;
      if (best === null || left(said) < left(best)) best = said;
    }
    return best;
  }

  // The parts of a list, and the signs between them, as they are outside of brackets.
  function partsOf(text) {
    const parts = [""];
    for (const one of text.split(/([,;:] | and | → )/)) {
      if (Object.hasOwn(SIGNS, one) && closed(parts.at(-1))) parts.push(SIGNS[one], "");
      else parts.push(parts.pop() + one);
    }
    return parts;
  }

  // Words among numbers: as many of them as are known together.
  function words(text) {
    return text.replace(/\p{L}[\p{L}\p{N}'’-]*(?: \p{L}[\p{L}\p{N}'’-]*)*/gu, (run) => {
      const left = run.split(" "), said = [];
      while (left.length) {
        let count = left.length;
        while (count > 1 && !Object.hasOwn(WORDS, left.slice(0, count).join(" "))) count -= 1;
        const one = left.splice(0, count).join(" ");
        said.push(Object.hasOwn(WORDS, one) ? WORDS[one] : one);
      }
      return joined(said.join(" "));
    });
  }

  function phrase(text) {
    if (Object.hasOwn(WORDS, text)) return WORDS[text];
    const [name, ...value] = text.split(" = ");
    if (value.length && Object.hasOwn(WORDS, name)) return `${WORDS[name]} = ${whole(value.join(" = "))}`;
    const said = matched(text);
    if (said !== null) return said;
    if (text.endsWith(".")) return `${phrase(text.slice(0, -1))}。`;
    const parts = partsOf(text);
    return parts.length > 1 ? parts.map((part, i) => (i % 2 ? part : whole(part))).join("") : words(text);
  }

  // A text that is known as a whole, or its sentences one by one; none after a full stop of full width.
  const known = new Map();
  function whole(text) {
    if (!/[A-Za-z]{2}|[,;:] /.test(text)) return text;
    if (!known.has(text)) {
      if (known.size > 5000) known.clear();
      const [, before, inside, after] = /^(\s*)(.*?)(\s*)$/s.exec(text);
      const sentences = () => inside.split(/(?<=[.!?]) (?=[^a-z])/).map(phrase).join(" ").replace(/(?<=[。！？]) /g, "");
      known.set(text, before + (Object.hasOwn(WORDS, inside) ? WORDS[inside] : sentences()) + after);
    }
    return known.get(text);
  }
  return Object.assign(whole, { room: 0.75 }); // of what the same takes in English
})();
