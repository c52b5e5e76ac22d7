"""Add the book's own scripts: to pages with code cells or tables, and to that of the search.

The edition in another language has a script with the words of all scripts (book/_translated), which
stands before them.
"""

from pathlib import Path


def add_script(app, page, template, context, doctree):
    body = context.get("body", "")
    if 'class="cell' in body or "<table" in body:
        app.add_js_file("page.js")
    if Path(app.srcdir, "book", "_assets", "words.js").exists():
        app.add_js_file("words.js", priority=100)
    if page == "search":
        app.add_js_file("search.js")


def setup(app):
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
