"""The prose of a document as messages, and the same document in another language.

A message is what a translator sees: a paragraph, a heading, an item of a list, a cell of a table,
with its formulas, code and links in it, as Markdown. What has no words (formulas by themselves,
code, numbers) is no message. The messages of a document stand in a catalogue of its own, in
gettext's format.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import nbformat
from markdown_it import MarkdownIt

MARKDOWN = MarkdownIt("commonmark").enable("table")
# What is not prose within a message.
NOT_WORDS = re.compile(r"\$\$.+?\$\$|\$[^$]+\$|`[^`]*`|<[^>]*>|\]\([^)]*\)|https?://\S+", re.DOTALL)
BETWEEN_TAGS = re.compile(r"(?<=>)[^<>]+(?=<)")

# None where there is no translation: then the English stands.
Translate = Callable[[str], str | None]


class Message(NamedTuple):
    """A piece of Markdown, and where in its text it stands."""

    text: str
    start: int
    end: int
    heading: bool = False


def messages(markdown: str) -> Iterator[Message]:
    """Yield the messages of a Markdown text, in its order."""
    starts = [0]
    for line in markdown.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    at, heading = 0, False
    for token in MARKDOWN.parse(markdown):
        heading = token.type == "heading_open" or (heading and token.type == "inline")
        if token.type not in ("inline", "html_block") or not token.map:
            continue
        at = max(at, starts[token.map[0]])
        if token.type == "inline":
            found = [
                _place(markdown, token.content, at, starts[token.map[1]])._replace(heading=heading)
            ]
        else:
            inside = BETWEEN_TAGS.finditer(markdown, at, starts[token.map[1]])
            found = [Message(match[0], match.start(), match.end()) for match in inside]
        for message in found:
            at = message.end
            if re.search(r"[^\W\d_]{2}", NOT_WORDS.sub(" ", message.text)):
                yield message


def translated(markdown: str, translate: Translate) -> str:
    """Return the Markdown text with each of its messages translated."""
    for message in reversed(list(messages(markdown))):
        text = translate(message.text) or message.text
        markdown = markdown[: message.start] + text + markdown[message.end :]
    return markdown


def prose(notebook: nbformat.NotebookNode) -> Iterator[Message]:
    """Yield the messages of a notebook: of its Markdown cells, and its pictures' descriptions."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from messages(cell.source)
        for data in _pictures(cell):
            yield Message(data["text/plain"], 0, len(data["text/plain"]))


def translate_notebook(notebook: nbformat.NotebookNode, translate: Translate) -> None:
    """Translate a notebook's Markdown cells and its pictures' descriptions, in place.

    The form of a question is strict: one that is not translated as a whole stays in English.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            question = "question" in cell.metadata.get("tags", ())
            if not question or all(translate(one.text) for one in messages(cell.source)):
                cell.source = translated(cell.source, translate)
        for data in _pictures(cell):
            data["text/plain"] = translate(data["text/plain"]) or data["text/plain"]


def _pictures(cell: nbformat.NotebookNode) -> list[dict]:
    """Return the outputs of a cell that are pictures, each with its description."""
    outputs = [output.get("data", {}) for output in cell.get("outputs", ())]
    return [data for data in outputs if "image/png" in data]


def _place(markdown: str, content: str, start: int, end: int) -> Message:
    """Find the content of a block in its lines, where an escaped bar or an indent may differ."""
    pattern = re.escape(content).replace(r"\|", r"\\?\|").replace("\\\n", r"\n[ >]*")
    match = re.compile(pattern).search(markdown, start, end)
    if match is None:
        raise ValueError(f"a block must stand as it is in its lines, but {content!r} does not")
    return Message(match[0], match.start(), match.end())
