"""Catalogues of messages, one a document: `make messages` keeps them in step with the English.

A message whose English has changed keeps its old translation as a suggestion, marked fuzzy; until
somebody renews it, the page shows the English.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import scripts
import yaml
from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po
from messages import Message, Translate, messages, prose

BOOK = Path(__file__).parents[1]
LOCALE, LANGUAGE = BOOK / "locale", "zh_CN"
CONFIG, TOC = BOOK.parent / "_config.yml", BOOK.parent / "_toc.yml"
SCRIPTS = BOOK / "scripts"  # no document, but what the pages' scripts say has a catalogue as well
# The history knows better, and a date would change every file.
WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)


def documents() -> list[Path]:
    """Return the notebooks and the pages of the book, in no order that matters."""
    found = [*BOOK.glob("*.md"), *BOOK.glob("*.ipynb"), *BOOK.glob("[0-9]-*/*.ipynb")]
    return sorted(found)


def said(settings: dict) -> Iterator[tuple[dict, str]]:
    """Yield where in the settings or in the contents something stands that a reader sees."""
    for part in settings.get("parts", ()):
        yield part, "caption"
    if "sphinx" in settings:
        config = settings["sphinx"]["config"]
        yield from ((settings, "title"), (settings, "author"), (settings["html"], "extra_footer"))
        yield from (
            (config, key) for key in ("project", "nb_code_prompt_show", "nb_code_prompt_hide")
        )
        yield from ((config["words"], key) for key in config["words"])


def messages_of(document: Path) -> Iterator[Message]:
    """Yield the messages of a notebook, a page or the scripts."""
    if document == SCRIPTS:
        return (Message(text, 0, len(text)) for text in scripts.template(read(SCRIPTS)))
    if document.suffix == ".ipynb":
        return prose(nbformat.read(document, as_version=4))
    text = document.read_text(encoding="utf-8")
    if document.suffix == ".yml":
        texts = (holder[key] for holder, key in said(yaml.safe_load(text)))
        return (message for one in texts for message in messages(one))
    return messages(text)


def path_of(document: Path) -> Path:
    """Return where the catalogue of a document stands."""
    place = document.relative_to(BOOK if document.is_relative_to(BOOK) else BOOK.parent)
    return LOCALE / LANGUAGE / place.with_suffix(".po")


def read(document: Path) -> Catalog:
    """Return a document's catalogue, empty if there is none."""
    path = path_of(document)
    if not path.exists():
        return _empty()
    with open(path, "rb") as file:
        return read_po(file, locale=LANGUAGE)


def translations(document: Path) -> dict[str, str]:
    """Return a document's messages that are translated, and what they are in the other language."""
    return {one.id: one.string for one in read(document) if one.id and one.string and not one.fuzzy}


def translator(document: Path) -> Translate:
    """Return what translates a document's messages, as far as there are translations."""
    return translations(document).get


def wanting(document: Path) -> list[str]:
    """Return the messages of a document that have no translation."""
    translate, texts = translator(document), (message.text for message in messages_of(document))
    return [text for text in texts if not translate(text)]


def update(document: Path) -> None:
    """Bring a document's catalogue in step with it: the new messages in, the old ones out."""
    template = _empty()
    for message in messages_of(document):
        template.add(message.text)
    catalogue = read(document)
    catalogue.update(template, update_header_comment=False)
    catalogue.creation_date = catalogue.revision_date = WRITTEN
    path = path_of(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        write_po(file, catalogue, width=0, ignore_obsolete=True)


def _empty() -> Catalog:
    return Catalog(
        LANGUAGE, project="Learning to Learn", version="1", creation_date=WRITTEN,
        revision_date=WRITTEN, header_comment="# The book in Chinese.", fuzzy=False,
    )  # fmt: skip


if __name__ == "__main__":
    for document in (*documents(), CONFIG, TOC, SCRIPTS):
        update(document)
        for text in wanting(document):
            print(f"{path_of(document).relative_to(BOOK.parent)}: {text[:80]!r}")
