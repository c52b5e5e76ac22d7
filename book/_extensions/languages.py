"""The book's languages: a button at the head of each page leads to the same place in the other one.

The Chinese pages lie under `zh/` in the built book, with the same names; headings have the same
addresses there, so what is behind the # goes along. What the other extensions write into a page
are the `words` of _config.yml, which the Chinese edition has in Chinese.
"""

import re
from pathlib import Path
from posixpath import dirname, relpath

from docutils import nodes

FOLDER = {"en": "", "zh_CN": "zh/"}
NAMES = {"en": "English", "zh_CN": "中文"}
FULL_WIDTH = re.compile("[：。？！；，、]$")
KEEP_THE_PLACE = """addEventListener("click", ({ target }) => {
    const link = target.closest?.("a.btn-to-language");
    if (!link) return;
    link.hash = location.hash;
    link.removeAttribute("target"); // the theme opens what its buttons lead to beside the page
});"""


def other(language):
    """Return the language that a page leads to."""
    return next(one for one in FOLDER if one != language)


def add_switch(app, page, template, context, doctree):
    """Put the button into the theme's row."""
    if app.builder.format != "html" or page.startswith(("book/library/", "_modules")):
        return
    language = other(app.config.language)
    here, there = (f"{FOLDER[one]}{page}.html" for one in (app.config.language, language))
    context["header_buttons"].insert(0, {
        "type": "link", "url": relpath(there, dirname(here) or "."), "text": NAMES[language],
        "tooltip": NAMES[language], "label": "to-language",
    })  # fmt: skip
    app.add_js_file(None, body=KEEP_THE_PLACE)


def close_gaps(app, doctree):
    """Take out the space after bold words that end in a full-width sign: only Markdown needs it."""
    for bold in doctree.findall(nodes.strong):
        after = bold.next_node(descend=False, siblings=True)
        if (
            isinstance(after, nodes.Text)
            and after.startswith(" ")
            and FULL_WIDTH.search(bold.astext())
        ):
            bold.parent.replace(after, nodes.Text(after.lstrip(" ")))


def replace_theme_words(app, exception):
    """Put the theme's own words in the finished pages into their language."""
    words = app.config.theme_words
    if exception or app.builder.format != "html" or not words:
        return
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile(rf'(="|>\s*)({"|".join(map(re.escape, longest_first))})(?=\s*[<"])')
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(
            pattern.sub(lambda found: found[1] + words[found[2]], text), encoding="utf-8"
        )


def setup(app):
    # After the theme has filled its row, which it does at 501.
    app.connect("html-page-context", add_switch, priority=502)
    app.add_config_value("words", {}, "env", dict)
    app.add_config_value("theme_words", {}, "", dict)
    app.connect("doctree-read", close_gaps)
    app.connect("build-finished", replace_theme_words)
    app.add_config_value("english_headings", {}, "", dict)  # by those of the page's language
    return {"parallel_read_safe": True, "parallel_write_safe": True}
