"""Add the book's own scripts: to pages with code cells or tables, and to that of the search."""


def add_script(app, page, template, context, doctree):
    body = context.get("body", "")
    if 'class="cell' in body or "<table" in body:
        app.add_js_file("page.js")
    if page == "search":
        app.add_js_file("search.js")


def setup(app):
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
