// The lines beneath what a search finds are prose: no lists of contents, and a dash for a formula.

document.addEventListener("DOMContentLoaded", () => {
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html"), article = page.querySelector(".bd-article");
    for (const formula of article.querySelectorAll(".math")) formula.replaceWith(formula.matches("div") ? "" : "–");
    const part = (anchor && article.querySelector(anchor)) || article;
    const lines = [...part.querySelectorAll("p")].filter((line) => !line.closest("summary, .toctree-wrapper"));
    return lines.map((line) => line.textContent.trim().replace(/\s+/g, " ")).join(" ");
  };
});
