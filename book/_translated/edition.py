"""Write the book's sources in Chinese: the same outputs, figures and code, and translated prose.

    python book/_translated/edition.py FOLDER

From there the book is built as the English one is. Nothing is run.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import scripts
import yaml
from catalogues import (
    BOOK,
    CONFIG,
    LANGUAGE,
    SCRIPTS,
    TOC,
    documents,
    said,
    translations,
    translator,
)
from messages import Translate, translate_notebook, translated

from meta_lib.moving.stored import ENDING

ROOT = BOOK.parent
NOT_COPIED = ("_offline", "_stored", "_translated", "locale", "library", "__pycache__")
TERMS = "terms.txt"

# What the theme and Sphinx write, where they have no Chinese of their own.
THEME = {
    "Search": "搜索",
    "Search this book...": "搜索",
    "Link to this heading": "本节的链接",
    "Link to this definition": "本条的链接",
    "Toggle hidden content": "展开或收起",
    "Show the code": "显示代码",
    "Hide the code": "收起代码",
    "Repository": "代码仓库",
    "Source repositories": "代码仓库",
    "Open issue": "提出问题",
    "Color mode": "配色",
    "System Settings": "跟随系统",
    "Light": "浅色",
    "Dark": "深色",
    "Toggle primary sidebar": "展开或收起侧栏",
    "Toggle secondary sidebar": "展开或收起本页目录",
    "Main": "全书目录",
    "Page": "本页目录",
}


def write(folder: Path) -> None:
    """Write all that the build of the Chinese book needs into a folder, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(BOOK, folder / "book", ignore=shutil.ignore_patterns(*NOT_COPIED))
    for document in documents():
        path, translate = folder / document.relative_to(ROOT), translator(document)
        if document.suffix == ".ipynb":
            notebook = nbformat.read(document, as_version=4)
            translate_notebook(notebook, translate)
            nbformat.write(notebook, path)
            _describe_figures(path.with_suffix(ENDING), translate)
        else:
            text = translated(document.read_text(encoding="utf-8"), translate)
            if path.stem == "glossary":
                text = _by_pinyin(text)
                (folder / TERMS).write_text(_terms(text), encoding="utf-8")
            path.write_text(text, encoding="utf-8")
    _write_settings(folder)
    _write_words(folder / scripts.ASSETS.relative_to(ROOT) / scripts.WORDS.name)


def _terms(glossary: str) -> str:
    """Return the glossary's terms for the search, which may not cut them: one a line."""
    return "\n".join(re.findall(r"^### (.+?) · ", glossary, flags=re.MULTILINE))


def _by_pinyin(glossary: str) -> str:
    """Put the terms of each section in order, by pinyin, as GB 2312 sorts what is often written."""
    sections = []
    for section in re.split(r"^(?=## )", glossary, flags=re.MULTILINE):
        head, *terms = re.split(r"^(?=### )", section.rstrip("\n"), flags=re.MULTILINE)
        terms = sorted(
            (term.rstrip("\n") for term in terms), key=lambda term: term.encode("gb18030")
        )
        sections.append("\n\n".join([head.rstrip("\n"), *terms]))
    return "\n\n".join(sections) + "\n"


def _describe_figures(path: Path, translate: Translate) -> None:
    """Describe the moving figures as their pictures in the notebook are described."""
    if path.exists():
        figures = json.loads(path.read_text(encoding="utf-8"))
        for figure in figures:
            english = figure["state"]["description"]
            figure["state"]["description"] = translate(english) or english
        path.write_text(json.dumps(figures, ensure_ascii=False), encoding="utf-8")


def _write_words(path: Path) -> None:
    """Write the script that has the words of all scripts; the pages have it where it is there."""
    path.write_text(scripts.script(translations(SCRIPTS)), encoding="utf-8")


def _write_settings(folder: Path) -> None:
    """Write the settings in Chinese, and the contents; what is said there stands in `settings`."""
    for document in (CONFIG, TOC):
        settings, translate = (
            yaml.safe_load(document.read_text(encoding="utf-8")),
            translator(document),
        )
        for holder, key in said(settings):
            holder[key] = translated(holder[key], translate)
        if document is CONFIG:
            settings["sphinx"]["local_extensions"]["headings"] = str(BOOK / "_translated")
            config = settings["sphinx"]["config"]
            config["language"] = LANGUAGE
            config["theme_words"] = THEME
            config["html_theme_options"]["search_bar_text"] = THEME["Search"]
            config["html_search_options"] = {"dict": str(folder.resolve() / TERMS)}
            config["extensions"] += ["headings"]
            config["myst_heading_slug_func"] = "headings.slug"
            # Colab and Binder open what lies in the repository, and that is English.
            settings["launch_buttons"] = {}
        text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False)
        (folder / document.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
