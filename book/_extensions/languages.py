"""Lead each page to the same place in the book's other language: a button at its head.

The Chinese pages lie under `zh/` in the built book, with the same names; headings have the same
addresses there, so what is behind the # goes along.
"""

from posixpath import dirname, relpath

FOLDER = {"en": "", "zh_CN": "zh/"}
NAMES = {"en": "English", "zh_CN": "中文"}
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
        "tooltip": NAMES[language], "icon": "fas fa-language", "label": "to-language",
    })  # fmt: skip
    app.add_js_file(None, body=KEEP_THE_PLACE)


def setup(app):
    # After the theme has filled its row, which it does at 501.
    app.connect("html-page-context", add_switch, priority=502)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
