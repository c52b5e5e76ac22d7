"""Put in what the theme's pages leave out for some of their readers.

For those who do not see them, all found by axe-core (`tests/test_built_pages.py`): the side bar is
no landmark, the arrows that unfold a part have no name, a long signature is a list of definitions
that define nothing, a column without a title has an empty title, and the bibliography has roles
that do not exist any more.

For those who have no mouse: MathJax makes each formula a stop of the Tab key, for its menu, and a
chapter has up to 270 of them. The formulas are read aloud without it; what remains a stop is a
formula that is wider than the page, so that the arrow keys can move it.

For those who read without a server: the results of a search come with lines from the pages found,
which a page from the file system may not fetch. There they come without.
"""

from pathlib import Path

FILLED = {
    'class="bd-sidebar-primary bd-sidebar': 'role="navigation" aria-label="{side_bar}" '
    'class="bd-sidebar-primary bd-sidebar',
    '<summary><span class="toctree-toggle"': '<summary aria-label="{part}">'
    '<span class="toctree-toggle"',
    '<dl>\n<dd><em class="sig-param">': '<dl role="presentation">\n<dd><em class="sig-param">',
    '<th class="head"></th>': '<td class="head"></td>',
    '<th class="head"><p></p></th>': '<td class="head"></td>',
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    ' role="doc-biblioentry"': "",
}

WIDE_FORMULAS = """{
    const reach = () => document.querySelectorAll('mjx-container[display="true"]').forEach(
        (one) => { one.tabIndex = one.scrollWidth > one.clientWidth ? 0 : -1; });
    addEventListener("load", () => MathJax.startup.promise.then(reach));
    addEventListener("resize", reach);
}"""


def fill_in(app, exception):
    """Put the missing names and roles into the finished pages."""
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        filled = text
        for before, after in FILLED.items():
            filled = filled.replace(before, after.format(**app.config.words))
        if filled != text:
            page.write_text(filled, encoding="utf-8")


def add_scripts(app, page, template, context, doctree):
    """Add what a page needs: the stops at its wide formulas, a search without lines."""
    if 'class="math' in context.get("body", ""):
        app.add_js_file(None, body=WIDE_FORMULAS)
    if page == "search":
        no_lines = "DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false"
        app.add_js_file(None, body=f'if (location.protocol === "file:") {no_lines};')


def pass_over_formulas(app, config):
    """Take the formulas out of the order of the Tab key."""
    config.mathjax3_config = config.mathjax3_config or {}
    options = config.mathjax3_config.setdefault("options", {})
    options["menuOptions"] = {"settings": {"inTabOrder": False}}


def setup(app):
    app.connect("config-inited", pass_over_formulas)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
