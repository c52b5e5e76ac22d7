"""Put the moving figures on the pages: the still picture, its widget, and what runs it.

A cell that shows a moving figure has two outputs in one, the widget and its picture. MyST-NB keeps
the one it likes better; here both stay, side by side. `host.js` puts the widget in the picture's
place; without JavaScript, and on paper, the picture remains.
"""

from pathlib import Path

from docutils import nodes

import meta_lib.moving

VIEW = "application/vnd.jupyter.widget-view+json"


def keep_both(app, doctree):
    """Take the widget out of the outputs that MyST-NB chooses from, and set it beside them."""
    for bundle in list(doctree.findall(nodes.container)):
        if bundle.get("nb_element") == "mime_bundle":
            for widget in [each for each in bundle.children if each.get("mime_type") == VIEW]:
                bundle.remove(widget)
                both = nodes.container(classes=["moving-output"])
                bundle.replace_self(both)
                both += [bundle, *widget.children]


def add_host(app, page, template, context, doctree):
    """Add the script to the pages that have a moving figure."""
    if "moving-output" in context.get("body", ""):
        script = Path(meta_lib.moving.FOLDER, "host.js").read_text(encoding="utf-8")
        app.add_js_file(None, body=script, type="module")  # runs when the page is there


def setup(app):
    app.connect("doctree-read", keep_both)
    app.connect("html-page-context", add_host)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
