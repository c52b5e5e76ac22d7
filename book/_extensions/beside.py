"""Set a formula and the lines that compute it side by side, their terms in the same colours.

In the notebook they are what they are everywhere: a Markdown cell that ends with a formula, and
then a code cell. The code cell's metadata says which term of the one is what in the other, at most
five of them:

    "terms": [["\\alpha", "alpha"], ["\\nabla L(\\theta)", ["slopes", "grad(error, theta)"]]]

A term is written as in the formula, spaces aside, and as in the code; either may be a list of
forms. Of two that overlap the longer one counts. What the formula or the code does not have fails
the build. MathJax colours the formula (`\\class`); in the code the colours are put into the
finished pages, around what is highlighted and linked there already. `beside.css` has the rest.
"""

import json
import re
from html import escape, unescape
from itertools import groupby
from pathlib import Path
from urllib.parse import quote, unquote

from sphinx.errors import ExtensionError

MOST = 5  # as many colours has beside.css
FORMULA = re.compile(r"\$\$([^$]+)\$\$\s*\Z")
# A name of more than one letter, the words in a formula and a change of its lines are one token.
TEX = re.compile(r"\\(?:text|mathrm|operatorname|begin|end)\{[^{}]*\}|\\[a-zA-Z]+|\\.|\S|\s+")
SPACE = re.compile(r"\s+|\\[,;:! ]|\\q?quad")
SAID = re.compile(r'""".*?"""|"[^"\n]*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
CODE = re.compile(r'(<div class="beside") data-code="([^"]*)"(>.*?<pre>)(.*?)(?=</pre>)', re.DOTALL)


def coloured(formula, terms):
    """Return a formula with its terms in classes.

    terms: for each its forms, a list. Raises ValueError for a form that the formula does not have,
    or has only within longer ones.
    """
    tokens, marked, found = TEX.findall(formula), TEX.findall(formula), set()
    free = [i for i, token in enumerate(tokens) if not SPACE.fullmatch(token)]
    forms = [(_solid(form), number, form) for number, each in enumerate(terms, 1) for form in each]
    for form, number, name in sorted(forms, key=lambda one: -len(one[0])):
        at = [free[end - len(form) : end] for end in range(len(form), len(free) + 1)]
        at = [one for one in at if [tokens[i] for i in one] == form and found.isdisjoint(one)]
        if not at:
            raise ValueError(f"the formula has no {name!r}")
        for one in at:
            found.update(one)
            marked[one[0]] = rf"\class{{term term-{number}}}{{{marked[one[0]]}"
            marked[one[-1]] += "}"
    return "".join(marked)


def _solid(tex):
    return [token for token in TEX.findall(tex) if not SPACE.fullmatch(token)]


def places(code, terms):
    """Return {place in the code: number of the term there}, strings and comments left out.

    Terms and errors as above.
    """
    bare, found = SAID.sub(lambda said: " " * len(said[0]), code), {}
    forms = [(form, number) for number, each in enumerate(terms, 1) for form in each]
    for form, number in sorted(forms, key=lambda one: -len(one[0])):
        at = re.compile(rf"(?<![\w.]){re.escape(form)}(?!\w)").finditer(bare)
        at = [range(*one.span()) for one in at if found.keys().isdisjoint(range(*one.span()))]
        if not at:
            raise ValueError(f"the code has no {form!r}")
        for one in at:
            found |= dict.fromkeys(one, number)
    return found


def paired(cells):
    """Return a notebook's cells with each pair in a box. Raises ValueError where there is none."""
    boxed = []
    for cell in cells:
        boxed.append(cell)
        if "terms" not in cell["metadata"]:
            continue
        before = boxed[-2] if len(boxed) > 1 else {"cell_type": "none"}
        formula = FORMULA.search("".join(before.get("source", "")))
        if before["cell_type"] != "markdown" or formula is None:
            raise ValueError("before a code cell with terms stands a cell that ends with a formula")
        terms = [list(map(_forms, term)) for term in cell["metadata"]["terms"]]
        if len(terms) > MOST:
            raise ValueError(f"{len(terms)} terms; {MOST} have a colour")
        tex, code = zip(*terms, strict=True)
        places("".join(cell["source"]), code)
        before["source"] = (
            f"{formula.string[: formula.start()].rstrip()}\n\n"
            f'<div class="beside" data-code="{quote(json.dumps(code))}">\n\n'
            f"$${coloured(formula[1], tex)}$$\n"
        )
        boxed.append(
            {"cell_type": "markdown", "id": f"{cell['id']}-end", "metadata": {}, "source": "</div>"}
        )
    return boxed


def _forms(written):
    return [written] if isinstance(written, str) else written


def put_side_by_side(app, docname, source):
    """Make the pairs of a notebook, before it is read."""
    if Path(app.env.doc2path(docname)).suffix != ".ipynb" or '"terms"' not in source[0]:
        return
    notebook = json.loads(source[0])
    try:
        notebook["cells"] = paired(notebook["cells"])
    except ValueError as error:
        raise ExtensionError(f"{docname}, a formula and its code: {error}") from error
    source[0] = json.dumps(notebook)


def with_colours(page):
    """Return a finished page with the terms of its code in colour."""

    def colour(match):
        tag, terms, between, pre = match.groups()
        pieces = re.split(r"(<[^>]*>)", pre)
        texts = [unescape(piece) for piece in pieces[::2]]
        numbers, place = places("".join(texts), json.loads(unquote(terms))), 0
        for i, text in enumerate(texts):
            runs = groupby(enumerate(text, place), key=lambda one: numbers.get(one[0]))
            pieces[2 * i] = "".join(_spanned(number, run) for number, run in runs)
            place += len(text)
        return tag + between + "".join(pieces)

    return CODE.sub(colour, page)


def _spanned(number, run):
    text = escape("".join(letter for _, letter in run), quote=False)
    return text if number is None else f'<span class="term term-{number}">{text}</span>'


def colour_code(app, exception):
    """Colour the terms in the code of the finished pages."""
    if exception or app.builder.format != "html":
        return
    for name in app.env.found_docs:
        page = Path(app.outdir, f"{name}.html")
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        if (found := with_colours(text)) != text:
            page.write_text(found, encoding="utf-8")


def setup(app):
    app.connect("source-read", put_side_by_side)
    app.connect("build-finished", colour_code, priority=900)  # after the links in the code
    return {"parallel_read_safe": True, "parallel_write_safe": True}
