"""Write the book's sources in Chinese: the same outputs, figures and code, and translated prose.

    python book/_translated/edition.py FOLDER

From there the book is built as the English one is. Nothing is run.
"""

import json
import shutil
import sys
from pathlib import Path

import nbformat
import yaml
from catalogues import BOOK, LANGUAGE, documents, translator
from messages import Translate, translate_notebook, translated

from meta_lib.moving.stored import ENDING

ROOT = BOOK.parent
SITE = BOOK / "site.md"  # words that stand in no document: titles of parts, the footer


def write(folder: Path) -> None:
    """Write all that the build of the Chinese book needs into a folder, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(BOOK, folder / "book", ignore=shutil.ignore_patterns("_stored", "__pycache__"))
    for document in documents():
        path, translate = folder / document.relative_to(ROOT), translator(document)
        if document.suffix == ".ipynb":
            notebook = nbformat.read(document, as_version=4)
            translate_notebook(notebook, translate)
            nbformat.write(notebook, path)
            _describe_figures(path.with_suffix(ENDING), translate)
        else:
            text = document.read_text(encoding="utf-8")
            path.write_text(translated(text, translate), encoding="utf-8")
    _write_settings(folder)


def _describe_figures(path: Path, translate: Translate) -> None:
    """Describe the moving figures as their pictures in the notebook are described."""
    if path.exists():
        figures = json.loads(path.read_text(encoding="utf-8"))
        for figure in figures:
            english = figure["state"]["description"]
            figure["state"]["description"] = translate(english) or english
        path.write_text(json.dumps(figures, ensure_ascii=False), encoding="utf-8")


def _write_settings(folder: Path) -> None:
    translate = translator(SITE)
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["title"] = translate(config["title"])
    config["html"]["extra_footer"] = translated(config["html"]["extra_footer"], translate)
    config["sphinx"]["local_extensions"]["headings"] = "book/_translated"
    settings = config["sphinx"]["config"]
    settings["language"] = LANGUAGE
    settings["project"] = translate(settings["project"])
    settings["extensions"] += ["headings"]
    settings["myst_heading_slug_func"] = "headings.slug"
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        part["caption"] = translate(part["caption"])
    for name, content in (("_config.yml", config), ("_toc.yml", toc)):
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
