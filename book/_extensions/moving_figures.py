"""Put the moving figures on the pages: the still picture, what is stored of it, what runs it.

The notebook has the picture; beside the notebook lies what `make notebooks` has stored of the
figures, in the order in which they are shown. `host.js` puts the figure in the picture's place;
without JavaScript, and on paper, the picture remains.
"""

import json
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

from meta_lib.moving import FOLDER
from meta_lib.moving.stored import ENDING, embedded

logger = logging.getLogger(__name__)


def add_stored(app, doctree):
    """Set each figure beside its picture, which has the same description."""
    path = Path(app.srcdir, app.env.docname + ENDING)
    figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    names = [figure["state"]["name"] for figure in figures]
    for bundle in list(doctree.findall(nodes.container)):
        if figures and description(bundle) == words(figures[0]["state"]["description"]):
            both = nodes.container(classes=["moving-output"])
            bundle.replace_self(both)
            both += [bundle, nodes.raw("", embedded(figures.pop(0)), format="html")]
    for figure in figures:
        name = figure["state"]["name"]
        logger.warning("%s has no picture for the figure %s", app.env.docname, name)
    for name in {name for name in names if names.count(name) > 1}:
        logger.warning("%s has several figures that are named %s", app.env.docname, name)


def description(bundle):
    """Return an output's text, or None where there is none."""
    if bundle.get("nb_element") == "mime_bundle":
        for output in bundle.children:
            if output["mime_type"] == "text/plain":
                return words(output.astext())
    return None


def words(text):
    """Return a text with single spaces."""
    return " ".join(text.split())


def add_host(app, page, template, context, doctree):
    """Add the script to the pages that have a moving figure."""
    if "moving-output" in context.get("body", ""):
        script = Path(FOLDER, "host.js").read_text(encoding="utf-8")
        app.add_js_file(None, body=script, type="module")  # runs when the page is there


def setup(app):
    app.connect("doctree-read", add_stored)
    app.connect("html-page-context", add_host)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
