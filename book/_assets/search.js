// The lines beneath what a search finds are prose: no lists of contents, and a dash for a formula.
// What is asked in Chinese, which writes no spaces, is cut into the longest words that the index has.

document.addEventListener("DOMContentLoaded", () => {
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html"), article = page.querySelector(".bd-article");
    for (const formula of article.querySelectorAll(".math")) formula.replaceWith(formula.matches("div") ? "" : "–");
    const part = (anchor && article.querySelector(anchor)) || article;
    const lines = [...part.querySelectorAll("p")].filter((line) => !line.closest("summary, .toctree-wrapper"));
    return lines.map((line) => line.textContent.trim().replace(/\s+/g, " ")).join(" ");
  };

  const split = splitQuery, LONGEST = 8;
  const words = (text) => {
    const known = (word) => word in Search._index.terms || word in Search._index.titleterms, found = [];
    for (let at = 0; at < text.length;) {
      let length = Math.min(LONGEST, text.length - at);
      while (length > 1 && !known(text.slice(at, at + length))) length--;
      if (length > 1) found.push(text.slice(at, at + length));
      at += length;
    }
    return found;
  };
  splitQuery = (query) => split(query).flatMap((part) =>
    part.split(/(\p{Script=Han}+)/u).flatMap((piece) => (/\p{Script=Han}/u.test(piece) ? words(piece) : piece || [])));
});
