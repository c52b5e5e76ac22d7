// What the scripts of a page say, in the page's language: WORDS has for an English text, with {0}, {1} …
// for what varies, another. What varies may be such a text itself.
globalThis.inThisLanguage = (() => {
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const forms = Object.entries(WORDS).sort(([a], [b]) => b.replace(/\{\d\}/g, "").length - a.replace(/\{\d\}/g, "").length)
    .map(([english, other]) => [new RegExp(`^${english.split(/\{\d\}/).map(escaped).join("(.+?)")}$`, "s"), other]);
  const phrase = (text) => {
    for (const [form, other] of forms) {
      const found = form.exec(text);
      if (found) return other.replace(/\{(\d)\}/g, (_, i) => whole(found[Number(i) + 1]));
    }
    return text;
  };
  // A text that is known as a whole, or its sentences one by one; after a full stop of full width no space.
  const known = new Map();
  const whole = (text) => {
    if (known.size > 2000) known.clear();
    if (!known.has(text)) {
      const sentences = () => text.split(/(?<=[.!?]) (?=[^a-z])/).map(phrase).join(" ").replace(/(?<=[。！？]) /g, "");
      known.set(text, WORDS[text] ?? sentences());
    }
    return known.get(text);
  };
  return whole;
})();
