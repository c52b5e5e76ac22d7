"""The Chinese edition: nothing is missing, and nothing says other than the English."""

from collections import defaultdict
from pathlib import Path

import agreement
import catalogues
import edition
import headings
import messages
import nbformat
import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[1]

SOURCES = [*catalogues.documents(), catalogues.CONFIG, catalogues.TOC, catalogues.SCRIPTS]
NAMES = [path.stem for path in SOURCES]
CELL = """**Question.** How many *labels* at $N = 5$? See [MAML](maml.ipynb#two-steps), `alpha`.

- two
- ten

| way | shots |
| --- | --- |
| a \\| b | 7 |

$$x = 1$$

<details><summary>Answer</summary>

- **two: yes.** So it is.

</details>"""


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_each_message_is_translated_and_none_is_left_over(source):
    """What fails here is said by `make messages`, which also brings the catalogue in step."""
    there = {message.text for message in catalogues.messages_of(source)}
    wanting = [text for text in catalogues.wanting(source)]
    assert not wanting, f"{len(wanting)} to translate: {wanting[:5]}"
    with open(catalogues.path_of(source), "rb") as file:
        catalogue = read_po(file, locale=catalogues.LANGUAGE)
    assert {one.id for one in catalogue if one.id} == there and not catalogue.obsolete


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_each_translation_holds_what_its_english_holds(source):
    faults = [
        f"{chinese[:40]}: {fault}"
        for english, chinese in catalogues.translations(source).items()
        for fault in agreement.faults(english, chinese)
    ]
    assert not faults, "\n".join(faults)


def test_no_catalogue_is_without_its_document():
    assert set(catalogues.LOCALE.rglob("*.po")) == set(map(catalogues.path_of, SOURCES))


def test_headings_of_the_same_name_have_the_same_english():
    """Their address is made of the English."""
    found = defaultdict(set)
    for source in catalogues.documents():
        translate = catalogues.translator(source)
        for message in catalogues.messages_of(source):
            if message.heading and translate(message.text):
                found[translate(message.text)].add(message.text)
    assert not {heading: english for heading, english in found.items() if len(english) > 1}
    assert headings.slug("词汇表") == "glossary"


@pytest.mark.parametrize(
    ("english", "chinese", "fault"),
    [
        ("it falls to 0.31", "降到 0.13", "lacks 0.31"),
        ("the step $\\alpha g$", "这一步", "lacks \\alpha g"),
        ("the step", "这一步 $\\alpha$", "has besides \\alpha"),
        ("call `adapt`", "调用 `adopt`", "lacks adapt"),
        ("see [here](a.md#b)", "见[这里](a.md#c)", "lacks a.md#b"),
        ("a *good* start", "好的起点", "marks: lacks em"),
        ("two steps, then three", "两步,然后三步", "full-width"),
        ("MAML learns", "MAML学习", "space"),
        ("it is so", "其实 it is what it is 这样", "English"),
        ("[a task](glossary.md#task--任务)", "[作业](glossary.md#task--任务)", "任务"),
    ],
)
def test_what_a_translation_lacks_is_seen(english, chinese, fault):
    assert any(fault in one for one in agreement.faults(english, chinese))


def test_a_good_translation_has_no_fault():
    english = "At $N = 5$ **it** falls by 3.5 % ([MAML](maml.ipynb), `adapt`)."
    chinese = "在 $N = 5$ 时，**它**下降 3.5 %（[MAML](maml.ipynb)，`adapt`）。"
    assert agreement.faults(english, chinese) == []


def test_messages_are_what_has_words_and_a_text_without_translations_stays():
    texts = [message.text for message in messages.messages(CELL)]
    assert "two" in texts and "way" in texts and "a \\| b" not in texts and "Answer" in texts
    assert not any("x = 1" in text for text in texts)
    assert messages.translated(CELL, {}.get) == CELL
    assert messages.translated(CELL, {"two": "二", "Answer": "答案"}.get) == CELL.replace(
        "- two", "- 二"
    ).replace("Answer", "答案")


def test_a_question_stays_in_english_until_all_of_it_is_translated():
    cells = [
        nbformat.v4.new_markdown_cell(CELL, metadata={"tags": tags}) for tags in (["question"], [])
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    messages.translate_notebook(notebook, {"two": "二"}.get)
    assert cells[0].source == CELL and "- 二" in cells[1].source


def test_a_changed_sentence_is_english_until_it_is_renewed(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setattr(catalogues, "BOOK", tmp_path)
    monkeypatch.setattr(catalogues, "LOCALE", tmp_path / "locale")
    page.write_text("# A heading of it\n\nThe loss falls to half of it.\n")
    catalogues.update(page)
    path = catalogues.path_of(page)
    text = path.read_text().replace(
        'msgid "The loss falls to half of it."\nmsgstr ""',
        'msgid "The loss falls to half of it."\nmsgstr "损失减半。"',
    )
    path.write_text(text)
    assert catalogues.wanting(page) == ["A heading of it"]
    page.write_text("# A heading of it\n\nThe loss falls to a third of it.\n")
    catalogues.update(page)
    assert "fuzzy" in path.read_text() and "损失减半。" in path.read_text()
    assert catalogues.wanting(page) == ["A heading of it", "The loss falls to a third of it."]
    assert "third" in messages.translated(page.read_text(), catalogues.translator(page))


def test_the_edition_has_the_same_code_outputs_and_figures(tmp_path):
    edition.write(tmp_path)
    for source in catalogues.documents():
        made = tmp_path / source.relative_to(ROOT)
        if source.suffix != ".ipynb":
            continue
        english, chinese = (nbformat.read(path, as_version=4) for path in (source, made))
        assert len(english.cells) == len(chinese.cells)
        for one, other in zip(english.cells, chinese.cells, strict=True):
            assert one.id == other.id and one.cell_type == other.cell_type
            if one.cell_type == "code":
                assert one.source == other.source
                assert _without_words(one.outputs) == _without_words(other.outputs)
    glossary = (tmp_path / "book/glossary.md").read_text(encoding="utf-8")
    section = glossary.split("\n## ")[1]
    assert section.index("### 基学习器") < section.index("### 任务") < section.index("### 元学习")


def _without_words(outputs):
    """Return outputs without the descriptions of pictures."""
    return [
        {
            **output,
            "data": {key: value for key, value in output["data"].items() if key != "text/plain"},
        }
        if "image/png" in output.get("data", {})
        else output
        for output in outputs
    ]
