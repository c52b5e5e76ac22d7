"""Turn the questions of a chapter into forms that answer in the page.

A question is one Markdown cell with the tag `question`. In Jupyter, in Colab and on GitHub it is
text with a folded answer. Its form is strict, so that a page can be made of it:

    **Question.** One paragraph.

    - two to four choices
    - each one line, all different

    <details><summary>Answer</summary>

    - **two to four choices: no.** The reason why not.
    - **each one line, all different: yes.** The reason why.

    </details>

In the book's other language (`WORDS`) the words are others, the form is the same. One choice is
right. Or the reader gives a number: in place of the choices stands a line that begins
with "A number", and the answers are `33 to 53: yes`, `less: no` and `more: no`.

Here the cell is put into a box; `question.js`, which stands in the page's head, makes the form as
soon as the browser has read the box, so that nothing jumps. Without scripts and on paper the text
stays as it is.
"""

import json
import re
from typing import NamedTuple

from sphinx.errors import ExtensionError

# The question, a number, the answer, yes, no, less, more.
WORDS = {
    "en": ("Question.", "A number", "Answer", ": yes.", ": no.", "less", "more"),
    "zh_CN": ("提问。", "一个数", "答案", "：对。", "：不对。", "更小", "更大"),
}
CELL = (
    r"\*\*{question}\*\* (?P<text>[^\n]+)\n\n"
    r"(?:(?P<choices>(?:- [^\n]+\n){{2,4}})|(?P<number>{number}[^\n]*)\n)\n"
    r"<details><summary>{answer}</summary>\n\n"
    r"(?P<reasons>(?:- \*\*[^\n]+(?:{yes}|{no})\*\* [^\n]+\n){{2,4}})\n"
    r"</details>\s*"
)
REASON = r"- \*\*(?P<choice>[^\n]+?)(?P<verdict>{yes}|{no})\*\* (?P<why>[^\n]+)"
RANGE = re.compile(r"(?P<low>[−-]?[\d.,]+) to (?P<high>[−-]?[\d.,]+)")
BOX = """<div class="question" data-right="{right}">

{source}

</div><script>askQuestion(document.currentScript.previousElementSibling)</script>"""


class Question(NamedTuple):
    """What is asked, the choices (none for a number), and for each its verdict and the reason."""

    text: str
    choices: list[str]
    reasons: dict[str, tuple[bool, str]]


def parse(source):
    """Read a cell. Raises ValueError where its form is another, saying what is wrong."""
    language = next((one for one in WORDS if source.startswith(f"**{WORDS[one][0]}")), "en")
    question, number, answer, yes, no, less, more = WORDS[language]
    words = {"question": question, "number": number, "answer": answer, "yes": yes, "no": no}
    escaped = {name: re.escape(word) for name, word in words.items()}
    cell = re.fullmatch(CELL.format(**escaped), source)
    if cell is None:
        raise ValueError("it has not the form that book/_extensions/questions.py describes")
    choices = re.findall(r"^- (.+)$", cell["choices"] or "", re.MULTILINE)
    found = re.findall(REASON.format(**escaped), cell["reasons"])
    reasons = {choice: (verdict == yes, why) for choice, verdict, why in found}
    right = [choice for choice, (verdict, _) in reasons.items() if verdict]
    if len(right) != 1:
        raise ValueError(f"one answer must be right, but these are: {right}")
    if choices and (list(reasons) != choices or len(found) != len(choices)):
        raise ValueError(
            f"the choices {choices} must be the answers, but these are {list(reasons)}"
        )
    if not choices:
        limits = RANGE.fullmatch(right[0])
        if limits is None or list(reasons) != [right[0], less, more]:
            raise ValueError(
                f"answers to a number: LOW to HIGH, {less}, {more}; not {list(reasons)}"
            )
        low, high = (float(each.replace("−", "-").replace(",", "")) for each in limits.groups())
        if low >= high:
            raise ValueError(f"a range goes from the smaller to the larger number, not {right[0]}")
    return Question(cell["text"], choices, reasons)


def box(app, docname, source):
    """Put the questions of a notebook into boxes, before it is read."""
    if not str(app.env.doc2path(docname)).endswith(".ipynb"):
        return
    notebook = json.loads(source[0])
    for number, cell in enumerate(notebook["cells"]):
        if "question" in cell["metadata"].get("tags", []):
            text = "".join(cell["source"])
            try:
                reasons = parse(text).reasons.values()
            except ValueError as error:
                raise ExtensionError(f"{docname}, cell {number}, a question: {error}") from error
            right = [verdict for verdict, _ in reasons].index(True)
            cell["source"] = BOX.format(source=text, right=right)
    source[0] = json.dumps(notebook)


def add_script(app, page, template, context, doctree):
    """Add script and style to the pages that have a question."""
    if '<div class="question"' in context.get("body", ""):
        app.add_js_file("question.js")
        app.add_css_file("question.css")


def setup(app):
    app.connect("source-read", box)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
