"""What must hold for every stored notebook; none is run here."""

import ast
import json
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.glob("book/**/*.ipynb")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
NO_CHAPTERS = ("book/intro.ipynb", "book/5-practice/watch-them-learn.ipynb")
CHAPTERS = [name for name in NOTEBOOKS if name not in NO_CHAPTERS]
FEWEST_EXERCISES = 4
LONGEST_CELL, LONGEST_SOLUTION = 15, 25
LARGEST_FILE = 1_000_000
SHORTEST_DESCRIPTION = 40

SET_UP = """\
from importlib.util import find_spec

if not find_spec("meta_lib"):  # in Colab, say: install it, and leave the PyTorch that is there
    %pip install -q {address}/archive/main.zip"""

FENCED_CODE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1`*\s*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
DIRECTIVE_OR_ROLE = re.compile(
    r"^\s*(?:`{3,}|:{3,}|~{3,})\s*\{.*|\{[\w:+-]+\}`[^`]*`|^\([\w-]+\)=\s*$", re.MULTILINE
)
LEFT_OVER = re.compile(
    r"^\s*(?:`{3,}|:{3,}|~{3,})|\{[\w:+-]+\}`|\{[.#]\w|\{\w+=|^\([\w-]+\)=|^%\s|\]\(|\[\^",
    re.MULTILINE,
)
MACHINE_PATH = re.compile(r"/home/|/root/|/tmp/|/Users/|[A-Z]:\\|site-packages")
MEMORY_ADDRESS = re.compile(r"0x[0-9a-f]{6,}", re.IGNORECASE)
TIMING = re.compile(r"\d[^\S\n]?(?:s|ms|µs|us|sec|secs|seconds?|minutes?|min)\b")
TAG_OR_SCRIPT = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
VIEW = "application/vnd.jupyter.widget-view+json"
NETWORK = re.compile(r"\b(?:import|from)\s+(?:requests|urllib|httpx?)\b|\bcdn\b|jsdelivr|unpkg")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(\s*<?([^\s)>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
PAPER = re.compile(r"https?://(?:[\w.]*arxiv\.org|(?:dx\.)?doi\.org)/[^\s)>\]\"'`]+")


def toc_entries():
    """List the pages that the table of contents names, without their endings."""

    def files(node):
        if isinstance(node, dict):
            yield from (node[key] for key in ("root", "file") if key in node)
            for value in node.values():
                yield from files(value)
        elif isinstance(node, list):
            for value in node:
                yield from files(value)

    return list(files(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))))


@pytest.fixture(params=NOTEBOOKS)
def name(request):
    """Go through the notebooks by their paths."""
    return request.param


@pytest.fixture
def notebook(name):
    """Read the stored notebook."""
    return nbformat.read(ROOT / name, as_version=4)


def of_kind(notebook, kind):
    """List (number, cell) for the cells of one kind, all cells numbered from 0."""
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == kind]


def code_outputs(notebook):
    """List (cell number, cell, output) for every stored output."""
    return [(i, c, output) for i, c in of_kind(notebook, "code") for output in c.outputs]


def texts(output):
    """List the readable texts of an output: streams, text, HTML; not pictures."""
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return output.traceback
    return [text for mime, text in output.data.items() if mime.startswith("text/")]


def prose(notebook):
    """List (cell number, text without blocks of code) for the Markdown cells."""
    return [(i, FENCED_CODE.sub("", cell.source)) for i, cell in of_kind(notebook, "markdown")]


def links(notebook):
    """List (cell number, is it an image, label, target) for the Markdown links."""
    return [
        (i, bool(bang), label, target)
        for i, text in prose(notebook)
        for bang, label, target in LINK.findall(INLINE_CODE.sub("code", text))
    ]


def report(faults, what):
    """Fail with one line for each fault."""
    assert not faults, f"{what}:\n" + "\n".join(f"  {fault}" for fault in faults)


def excerpt(match):
    """Show a match with a little of what stands around it."""
    text = match.string[max(0, match.start() - 30) : match.end() + 30]
    return "…" + " ".join(text.split()) + "…"


def test_there_are_notebooks():
    assert NOTEBOOKS, "no notebook was found under book/"


@pytest.mark.parametrize("entry", toc_entries())
def test_every_entry_of_the_contents_has_its_file(entry):
    found = [ending for ending in (".ipynb", ".md") if (ROOT / (entry + ending)).exists()]
    assert len(found) == 1, f"_toc.yml names {entry}: found {found or 'no such file'}"


def test_is_in_the_contents(name):
    assert name.removesuffix(".ipynb") in toc_entries(), f"{name} is not in _toc.yml"


def test_is_small(name):
    size = (ROOT / name).stat().st_size
    assert size <= LARGEST_FILE, f"{name} has {size:,} bytes; {LARGEST_FILE:,} are allowed"


def test_was_run_from_top_to_bottom(notebook):
    cells = [(i, cell) for i, cell in of_kind(notebook, "code") if cell.source.strip()]
    faults = [
        f"cell {i} has execution count {cell.execution_count}, expected {expected}"
        for expected, (i, cell) in enumerate(cells, start=1)
        if cell.execution_count != expected
    ]
    report(faults, "run it with `make notebooks NOTEBOOKS=...`")
    assert not cells or any(cell.outputs for _, cell in cells), "no cell has a stored output"


def test_starts_with_the_set_up_cell(notebook):
    """It installs what is lacking, from the book's address; the rendered pages leave it out."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    first, title = notebook.cells[:2]
    assert first.source == SET_UP.format(address=config["repository"]["url"])
    assert tags(first) == ["remove-cell"] and not first.outputs
    assert title.cell_type == "markdown" and title.source.startswith("# ")


def test_has_no_stored_error(notebook):
    faults = [
        f"cell {i}: {output.ename}: {output.evalue}"
        for i, _, output in code_outputs(notebook)
        if output.output_type == "error"
    ]
    report(faults, "stored errors")


def test_stores_no_timing_and_no_widget(notebook):
    """A widget without a kernel is an error in JupyterLab; without it, the picture is shown."""
    assert "widgets" not in notebook.metadata, "widget state is stored in the notebook's metadata"
    faults = [f"cell {i}" for i, c in of_kind(notebook, "code") if "execution" in c.metadata]
    report(faults, "cells with the time of their last run in their metadata")
    faults = [
        f"cell {i}" for i, _, output in code_outputs(notebook) if VIEW in output.get("data", ())
    ]
    report(faults, "stored by hand, and not by `make notebooks`")


def test_each_stored_figure_has_its_picture(name, notebook):
    beside = (ROOT / name).with_suffix(".figures.json")
    figures = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else []
    told = [
        output.data.get("text/plain") for *_, output in code_outputs(notebook) if "data" in output
    ]
    faults = [each["state"]["name"] for each in figures if each["state"]["description"] not in told]
    report(faults, "without the picture that it was stored with")


def test_code_cells_are_short(notebook):
    faults = []
    for i, cell in of_kind(notebook, "code"):
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        limit = LONGEST_SOLUTION if "solution" in cell.metadata.get("tags", []) else LONGEST_CELL
        if lines > limit:
            faults.append(f"cell {i} has {lines} lines that are not blank; {limit} are allowed")
    report(faults, "long code cells")


def test_reads_well_without_myst(notebook):
    """Directives, roles and targets would stand in Jupyter and Colab as raw marks."""
    faults = [
        f"cell {i}: {match.group().strip()}"
        for i, cell in of_kind(notebook, "markdown")
        for match in DIRECTIVE_OR_ROLE.finditer(cell.source)
    ]
    report(faults, "MyST marks in Markdown cells")


def test_plain_nbconvert_leaves_no_marks(notebook):
    """GitHub's preview and Colab know Markdown and formulas, and nothing of MyST."""
    notebook.cells = [cell for _, cell in of_kind(notebook, "markdown")]  # the rest takes long
    html, _ = HTMLExporter(embed_images=False).from_notebook_node(notebook)
    page = BeautifulSoup(html, "html.parser")
    faults = []
    for cell in page.select(".jp-MarkdownCell .jp-RenderedMarkdown"):
        faults += [str(code) for code in cell.select('code[class*="{"]')]
        for code in cell.find_all(["pre", "code"]):
            code.replace_with("`code`")
        for paragraph in cell.find_all("p"):
            paragraph.insert_before("\n")
        text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", "formula", cell.get_text(), flags=re.DOTALL)
        faults += [excerpt(match) for match in LEFT_OVER.finditer(text)]
        faults += [str(a) for a in cell.find_all("a", href=True) if not a.get_text(strip=True)]
    assert page.select(".jp-MarkdownCell .jp-RenderedMarkdown")
    report(faults, "marks that only MyST understands")


@pytest.mark.parametrize(
    ("pattern", "what"),
    [(MACHINE_PATH, "paths of a machine"), (MEMORY_ADDRESS, "addresses")],
    ids=["paths", "addresses"],
)
def test_outputs_are_the_same_everywhere(notebook, pattern, what):
    faults = [
        f"cell {i}: {excerpt(match)}"
        for i, _, output in code_outputs(notebook)
        for text in texts(output)
        for match in pattern.finditer(re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    ]
    report(faults, f"{what} in outputs")


def test_timings_are_not_compared(notebook):
    faults = [
        f"cell {i}: {excerpt(match)}"
        for i, cell, output in code_outputs(notebook)
        if "nbval-ignore-output" not in cell.metadata.get("tags", [])
        for text in texts(output)
        for match in TIMING.finditer(TAG_OR_SCRIPT.sub(" ", text))
    ]
    report(faults, "these outputs show times, so tag their cells nbval-ignore-output")


def test_pictures_are_described(notebook):
    faults = []
    for i, _, output in code_outputs(notebook):
        data = output.get("data", {})
        words = data.get("text/plain", "")
        if any(mime.startswith("image/") for mime in data) and (
            len(words) < SHORTEST_DESCRIPTION or words.startswith("<")
        ):
            faults.append(f"cell {i}: {words!r}")
    report(faults, f"pictures without a description of {SHORTEST_DESCRIPTION} characters or more")


def test_links_lead_somewhere(name, notebook):
    faults = [
        f"cell {i}: [{label}]({target})"
        for i, _, label, target in links(notebook)
        if not re.match(r"[a-z]+:|#", target)
        and not ((ROOT / name).parent / target.split("#")[0]).exists()
    ]
    report(faults, "links to files that do not exist")


def test_images_have_alt_text(notebook):
    faults = [
        f"cell {i}: {target}"
        for i, is_image, label, target in links(notebook)
        if is_image and not label.strip()
    ]
    faults += [
        f"cell {i}: {tag}"
        for i, text in prose(notebook)
        for tag in re.findall(r"<img\b[^>]*>", text)
        if not re.search(r"\balt\s*=\s*[\"'][^\"']", tag)
    ]
    report(faults, "images without alt text")


def test_papers_are_in_the_bibliography(notebook):
    bibliography = (ROOT / "book/references.bib").read_text(encoding="utf-8").lower()
    faults = []
    for i, text in prose(notebook):
        for url in PAPER.findall(text):
            paper = re.sub(r"^https?://[^/]+/(?:(?:abs|pdf|html)/)?", "", url.rstrip(".,;"))
            paper = re.sub(r"(?:v\d+)?(?:\.pdf)?$", "", paper).lower()
            if not re.search(rf"(?<![\d.]){re.escape(paper)}(?!\w)", bibliography):
                faults.append(f"cell {i}: {url}")
    report(faults, "papers that are not in book/references.bib")


def test_headings_are_in_order(notebook):
    headings = [
        (i, len(marks), title)
        for i, text in prose(notebook)
        for marks, title in re.findall(r"^(#{1,6})\s+(.+)$", text, re.MULTILINE)
    ]
    titles = [title for _, level, title in headings if level == 1]
    assert len(titles) == 1 and headings[0][1] == 1, f"one title, at the top, not {titles}"
    faults = [
        f"cell {i}: level {level} after level {before}: {title}"
        for (_, before, _), (i, level, title) in zip(headings, headings[1:], strict=False)
        if level > before + 1
    ]
    report(faults, "skipped heading levels")


def test_code_asks_no_other_host(notebook):
    faults = [
        f"cell {i}: {excerpt(match)}"
        for i, cell in of_kind(notebook, "code")
        for match in NETWORK.finditer(cell.source)
    ]
    report(faults, "requests to other hosts; data comes through meta_lib")


EXERCISE = re.compile(
    r"### Exercise (\d) \((understanding|change of code|find the mistake|small project)\): \S"
)
FOLDED = {"source_hidden": True, "outputs_hidden": True}


def tags(cell):
    """Return a cell's tags."""
    return cell.metadata.get("tags", [])


def sections(notebook):
    """List (heading, the cells from there to the next heading of its level or a higher one)."""
    starts = [
        (i, len(found[1]), found[2])
        for i, text in prose(notebook)
        for found in re.finditer(r"^(#{1,6})\s+(.+)$", text, re.MULTILINE)
    ]
    return [
        (
            title,
            notebook.cells[
                i : next((k for k, deep, _ in starts[n + 1 :] if deep <= level), None)
                or len(notebook.cells)
            ],
        )
        for n, (i, level, title) in enumerate(starts)
    ]


def names_in(source, context):
    """Return the names that Python source binds (`ast.Store`) or uses (`ast.Load`)."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, context)}
    defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return names | defined


def test_folded_code_says_that_it_is_code(notebook):
    """Else it says what the configuration has for folded cells: "Show the solution"."""
    folded = [cell.metadata for cell in notebook.cells if "hide-input" in tags(cell)]
    assert all(each.get("mystnb", {}).get("code_prompt_show") == "Show the code" for each in folded)



@pytest.mark.parametrize("name", CHAPTERS)
def test_exercises_have_a_start_and_a_folded_solution(notebook):
    """Each exercise: its text, a cell to begin with, the solution, and what it shows, folded."""
    at = [i for i, cell in enumerate(notebook.cells) if cell.source.startswith("### Exercise")]
    found = [EXERCISE.match(notebook.cells[i].source) for i in at]
    assert all(found), [notebook.cells[i].source[:60] for i in at]
    assert [int(match[1]) for match in found] == list(range(1, len(at) + 1))
    assert len(at) >= FEWEST_EXERCISES
    for start, end in pairwise([*at, len(notebook.cells)]):
        begin, solution, explained = notebook.cells[start + 1], *split(notebook, start + 2, end)
        title = notebook.cells[start].source.splitlines()[0]
        assert tags(begin) == ["exercise"], f"{title}: the next cell is for the reader to begin"
        assert "check(" in begin.source or not asks(notebook), f"{title}: no check of the answer"
        assert solution, f"{title}: no solution"
        for cell in solution:
            assert cell.source.startswith("# @title Solution to exercise "), title
            assert tags(cell)[:2] == ["hide-cell", "solution"], title
            assert (cell.metadata.get("jupyter"), cell.metadata.get("cellView")) == (
                FOLDED,
                "form",
            ), f"{title}: the solution stands open in JupyterLab or in Colab"
        given = names_in(begin.source, ast.Store)
        used = set().union(*(names_in(cell.source, (ast.Load, ast.Store)) for cell in solution))
        assert given & used, f"{title}: the solution goes on from nothing that the cell begins"
        assert explained.source.startswith("<details><summary>Solution"), title
        assert explained.source.rstrip().endswith("</details>"), title


def asks(notebook):
    """Return whether a chapter has questions: those that have are also to check their exercises."""
    return any("question" in tags(cell) for cell in notebook.cells)


def split(notebook, start, end):
    """Return the code cells from `start` on, and the first cell after them."""
    after = next(i for i in range(start, end) if notebook.cells[i].cell_type != "code")
    return notebook.cells[start:after], notebook.cells[after]


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapters_are_built_alike(notebook):
    """Goals, time, a claim put to the test, what goes wrong, the answer in numbers, what next."""
    text = "\n".join(cell.source for _, cell in of_kind(notebook, "markdown"))
    opening = text.split("\n## ")[0]
    assert "Afterwards you " in opening and "Reading takes " in opening
    found = sections(notebook)
    titles = [title for title, _ in found]
    for wanted in ("A claim, tested", "What goes wrong", "Exercises", "The answer"):
        assert any(title.startswith(wanted) for title in titles), f"no heading {wanted!r}"
    answer = next(cells for title, cells in found if title.startswith("The answer"))
    assert any(cell.cell_type == "code" and cell.outputs for cell in answer), "numbers, by a cell"
    reading = next(cells for title, cells in found if title == "Further reading")[0].source
    assert reading.count("\n- ") >= 3 and "To go on with" in reading
