"""Let the prose drive a figure: a link in a chapter sets what the figure shows.

In the notebook it is a plain link, `[with one label](#figure-limits?labels=1&amount=0)`: the name
of the figure, then traits that the reader can change, with their values, as JSON or as they stand.
In Jupyter and on GitHub it does nothing. In the page `host.js` sets the traits; the
link's own address opens the page with the figure in that state.
"""

import json
import re
from html import escape
from pathlib import Path
from urllib.parse import parse_qsl, quote

from sphinx.errors import ExtensionError

from meta_lib.moving.stored import ENDING

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\(#figure-(?P<name>[\w-]+)\?(?P<values>[^)\s]+)\)")


def settings(name, values, figures):
    """Return {trait: value} of a link. Raises ValueError where it names what is not there.

    figures: what is stored beside the notebook.
    """
    starts = {figure["state"]["name"]: figure["state"]["start"] for figure in figures}
    if name not in starts:
        raise ValueError(f"there is no figure {name!r}, only {sorted(starts)}")
    found = {}
    for trait, text in parse_qsl(values, keep_blank_values=True, strict_parsing=True):
        if trait not in starts[name]:
            raise ValueError(f"{name} has no {trait!r} to set, only {sorted(starts[name])}")
        try:
            found[trait] = json.loads(text)
        except json.JSONDecodeError:
            found[trait] = text
        if _kind(found[trait]) is not _kind(starts[name][trait]):
            raise ValueError(f"{name}.{trait} is {starts[name][trait]!r}, which {text!r} cannot be")
    return found


def linked(text, figures):
    """Return Markdown in which the links that set a figure are what the page needs."""

    def link(match):
        found = settings(match["name"], match["values"], figures)
        pairs = [f"{match['name']}.{trait}={quote(json.dumps(v))}" for trait, v in found.items()]
        sets = escape(json.dumps(found, ensure_ascii=False))
        return (
            f'<a class="sets-figure" href="?{escape("&".join(pairs))}" '
            f'data-figure="{match["name"]}" data-sets="{sets}">{match["text"]}</a>'
        )

    return LINK.sub(link, text)


def link_figures(app, docname, source):
    """Make the links of a notebook, before it is read."""
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb" or "(#figure-" not in source[0]:
        return
    beside = path.with_name(path.stem + ENDING)
    figures = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else []
    notebook = json.loads(source[0])
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            try:
                cell["source"] = linked("".join(cell["source"]), figures)
            except ValueError as error:
                raise ExtensionError(f"{docname}, cell {number}, a link: {error}") from error
    source[0] = json.dumps(notebook)


def setup(app):
    app.connect("source-read", link_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _kind(value):
    return float if type(value) is int else type(value)
