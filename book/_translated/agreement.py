"""Whether a translation holds what its English holds: formulas, numbers, code, links, emphasis.

python book/_translated/agreement.py [PO …]    say what is amiss in these catalogues, or in all
"""

import re
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

from babel.messages.pofile import read_po
from catalogues import LANGUAGE, LOCALE
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

MARKDOWN = MarkdownIt("commonmark", {"html": True}).use(dollarmath_plugin, allow_digits=True)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
HOLE = re.compile(r"\{\d+\}")  # for what varies in a text of a script
HAN = r"[\u3400-\u9fff]"
TERM = re.compile(r"glossary\.md#.+--(?P<term>[^)]+)$")
RULES = {
    f"{HAN}[,;:?!]|{HAN}[.](?!\\w)|{HAN}[(]|[)]{HAN}": "signs beside Chinese must be full-width",
    f"{HAN}[A-Za-z0-9]|[A-Za-z0-9%]{HAN}": "a space must stand between Chinese and Latin",
    r"(?:\b[a-z]+\b[ ,]+){4,}": "an English sentence is left",
}


def parts(markdown: str) -> dict[str, Counter]:
    """Return how often each formula, number, piece of code, address and kind of mark occurs."""
    found = {name: Counter() for name in ("formulas", "numbers", "code", "links", "marks")}
    for token in _inline(markdown):
        if token.type in ("math_inline", "math_inline_double", "math_block"):
            found["formulas"][token.content.strip()] += 1
        elif token.type == "code_inline":
            found["code"][token.content] += 1
        elif token.type in ("link_open", "image"):
            found["links"][token.attrGet("href") or token.attrGet("src")] += 1
        elif token.type in ("em_open", "strong_open", "html_inline"):
            found["marks"][token.content or token.tag] += 1
        elif token.type == "text":
            found["numbers"].update(NUMBER.findall(HOLE.sub(" ", token.content)))
    return found


def faults(english: str, chinese: str) -> list[str]:
    """Return what the translation lacks of its English, has besides, or writes in another way."""
    said = []
    for name, wanted in parts(english).items():
        there = parts(chinese)[name]
        said += [f"{name}: lacks {one}" for one in (wanted - there).elements()]
        said += [f"{name}: has besides {one}" for one in (there - wanted).elements()]
    # What a plural adds in English has no place in Chinese, nor a second word that it changes.
    wanted = {*HOLE.findall(re.sub(r"(?<=[a-z])\{\d+\}|(?<=\} )\{\d+\}", "", english))}
    there = {*HOLE.findall(chinese)}
    said += [f"has no place for {one}" for one in sorted(wanted - there)]
    said += [f"knows nothing of {one}" for one in sorted(there - {*HOLE.findall(english)})]
    plain = _plain(HOLE.sub("…", chinese))
    for pattern, rule in RULES.items():
        if match := re.search(pattern, plain):
            said.append(f"{rule}: …{plain[max(0, match.start() - 8) : match.end() + 8]}…")
    for text, address in _links(chinese):
        # A name in Latin letters, such as MAML, is a name in Chinese, too.
        match = TERM.search(unquote(address))
        if (
            match
            and match["term"].replace("-", " ") not in text.lower()
            and not re.search("[A-Z]", text)
        ):
            said.append(f"a term must have its Chinese name {match['term']}, but was {text}")
    return said


def _inline(markdown: str) -> list:
    return [part for block in MARKDOWN.parse(markdown) for part in block.children or [block]]


def _plain(markdown: str) -> str:
    """Return the words: a formula or a piece of code is an x, a work that is cited nothing."""
    words = ""
    for token in _inline(markdown):
        if token.type == "text":
            words += token.content
        elif token.type in ("math_inline", "math_inline_double", "code_inline"):
            words += "x"
        elif token.type in ("softbreak", "paragraph_close"):
            words += "\n"
    return words


def _links(markdown: str) -> list[tuple[str, str]]:
    """Return text and address of each link."""
    found, text, address = [], "", None
    for token in _inline(markdown):
        if token.type == "link_open":
            text, address = "", token.attrGet("href")
        elif token.type == "link_close":
            found.append((text, address))
        else:
            text += token.content
    return found


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted(LOCALE.rglob("*.po"))):
        with open(path, "rb") as file:
            catalogue = list(read_po(file, locale=LANGUAGE))
        for one in catalogue:
            if one.id and one.string:
                for fault in faults(one.id, one.string):
                    print(f"{path.name}: {one.string[:50]!r}: {fault}")
        missing = sum(1 for one in catalogue if one.id and (one.fuzzy or not one.string))
        print(f"{path.name}: {missing} of {len(catalogue) - 1} messages to translate")
