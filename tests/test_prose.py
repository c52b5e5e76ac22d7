"""The prose: its spelling, its style, and how long its sentences are."""

import re
import subprocess
import sysconfig
from pathlib import Path

import nbformat
import pytest
from spellchecker import SpellChecker
from test_notebooks import FENCED_CODE, INLINE_CODE, LINK, NOTEBOOKS, ROOT, prose, report

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "book", "benchmarks", "results")
    for path in ROOT.glob(f"{folder}/*.md")
)
LONGEST_SENTENCE = 45
OWN_WORDS = Path(__file__).with_name("words.txt")
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]+?\$", re.DOTALL)
TAG_OR_ADDRESS = re.compile(r"<[^>]*>|https?://\S+")
HEADING = re.compile(r"^(#+ .*?)\W*$", re.MULTILINE)
WORD = re.compile(r"(?<![\w…/.-])[a-zà-ÿ]{3,}(?![\w…/]|\.\w)")
TWICE = re.compile(r"\b(\w+)\s+\1\b", re.IGNORECASE)
END = re.compile(r"(?<=[.?!])[\"”’)*]*\s+|\n\s*\n|\n\s*(?=[-*>#]|\d+\.)|\|")
"""Where a sentence ends: at its stop, a paragraph, an item of a list or a cell of a table."""


def plain(markdown):
    """Return the prose of Markdown, each line where it was; "…" is code, formula, tag, address."""
    text = markdown
    for pattern in (FENCED_CODE, INLINE_CODE, FORMULA):
        text = pattern.sub(left_out, text)
    text = TAG_OR_ADDRESS.sub(left_out, LINK.sub(lambda link: link[2], text))
    # With a stop, so that no tool takes a heading and what follows for one sentence.
    return HEADING.sub(r"\1.", text)


def left_out(match):
    """Stand for what was there, and keep the lines."""
    return "…" + "\n" * match[0].count("\n")


def american(word):
    """Spell a British word as the dictionary does; that it is British, typos sees to."""
    return re.sub(r"(?<=i)s(?=(?:e[drs]?|ing|ations?)$)", "z", word).replace("our", "or")


@pytest.fixture(scope="module")
def texts():
    """Read the prose of all chapters and pages, by path."""
    notebooks = {name: nbformat.read(ROOT / name, as_version=4) for name in NOTEBOOKS}
    sources = {name: "\n\n".join(text for _, text in prose(n)) for name, n in notebooks.items()}
    sources |= {name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
    return {name: plain(source) for name, source in sources.items()}


@pytest.fixture(scope="module")
def folder(texts, tmp_path_factory):
    """Write the prose into a folder, for tools that read files."""
    folder = tmp_path_factory.mktemp("prose")
    for name, text in texts.items():
        path = (folder / name).with_suffix(".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["typos", "--format", "brief", "--config", ROOT / "pyproject.toml"],
        ["proselint", "check", "--config", ROOT / "tests/proselint.json"],
    ],
    ids=["typos", "proselint"],
)
def test_a_tool_for_prose_finds_nothing(command, folder):
    tool = Path(sysconfig.get_path("scripts"), command[0])
    done = subprocess.run([tool, *command[1:], "."], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


def test_every_word_is_in_a_dictionary(texts):
    """A word with a capital letter may be a name, so it is not looked up."""
    own = OWN_WORDS.read_text(encoding="utf-8").split()
    found = {word: name for name, text in texts.items() for word in WORD.findall(text)}
    dictionary = SpellChecker(distance=1)
    unknown = sorted(dictionary.unknown(found.keys() - set(own)))
    faults = [f"{found[word]}: {word}" for word in unknown if american(word) not in dictionary]
    report(faults, f"neither in the dictionary nor in tests/{OWN_WORDS.name}")


def test_no_word_stands_twice(texts):
    faults = [f"{name}: {m[0]!r}" for name, text in texts.items() for m in TWICE.finditer(text)]
    report(faults, "words that stand twice")


def test_sentences_are_short(texts):
    faults = [
        f"{name}: {len(words)} words: {' '.join(words)}"
        for name in NOTEBOOKS
        for words in map(str.split, END.split(texts[name]))
        if len(words) > LONGEST_SENTENCE
    ]
    report(faults, f"sentences of more than {LONGEST_SENTENCE} words")
