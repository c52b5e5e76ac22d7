"""From each page to the same place in the other language, and no English on a Chinese page."""

import json
import re
from copy import copy
from posixpath import join, normpath

import pytest
from browser import complete, served
from bs4 import Comment
from test_built_book import ENGLISH, HTML, PAGES, anchors, missing, report, soup

pytestmark = pytest.mark.skipif(not (HTML / ".built").exists(), reason="`make book` first")
CHINESE = [page for page in PAGES if page.startswith("zh/book/")]
# What is English on purpose: code and what it prints, formulas, titles of works, names.
LEFT = (
    "script, style, pre, code, svg, .math, .cell_output, .cell_input, .citation-list, .kbd-shortcut"
)
SENTENCE = re.compile(r"(?:\b[a-z]+\b[ ,]+){4,}")


@pytest.mark.parametrize("page", [page for page in ENGLISH if page.startswith("book/")])
def test_each_page_leads_to_the_other_language_and_back(page):
    if page.startswith("book/library/"):
        assert not soup(page).select(".btn-to-language")
        return
    (link,) = soup(page).select(".btn-to-language")
    there = normpath(join(page, "..", link["href"]))
    assert there == f"zh/{page}" and missing(page, link["href"]) is None
    assert soup(page).html["lang"] == "en" and soup(there).html["lang"] == "zh-CN"
    (back,) = soup(there).select(".btn-to-language")
    assert normpath(join(there, "..", back["href"])) == page
    places = {tag["id"] for tag in soup(page).select("article section[id]")}
    report(sorted(places - anchors(there)), f"{there} has not the places")


def test_the_switch_keeps_the_place(tab):
    with served(HTML) as where:
        tab.goto(f"{where}/book/3-algorithms/maml.html#watch-it-learn")
        complete(tab)
        tab.locator(".btn-to-language:visible").first.click()
        tab.wait_for_url("**/zh/book/3-algorithms/maml.html#watch-it-learn")
        complete(tab)
        heading = tab.locator("#watch-it-learn h2")
        assert "看它学习" in heading.text_content()
        assert abs(heading.bounding_box()["y"]) < 200


# The list of the library's modules is made of their docstrings.
@pytest.mark.parametrize("page", [page for page in CHINESE if page != "zh/book/library.html"])
def test_no_english_is_left_on_a_chinese_page(page):
    body = copy(soup(page).body)
    for tag in body.select(LEFT):
        tag.decompose()
    texts = [text for text in body.find_all(string=True) if not isinstance(text, Comment)]
    faults = [" ".join(text.split())[:90] for text in texts if SENTENCE.search(text)]
    report(faults, f"{page} says in English")


@pytest.mark.parametrize("page", [page for page in CHINESE if re.search(r"/[0-9]-", page)])
def test_the_chinese_notebook_can_be_had_from_its_page(page):
    (link,) = [tag["href"] for tag in soup(page).select("a[href$='.ipynb']")][:1]
    notebook = json.loads((HTML / page).parent.joinpath(link).read_text(encoding="utf-8"))
    prose = "".join("".join(cell["source"]) for cell in notebook["cells"][1:3])
    assert re.search("[\u4e00-\u9fff]", prose)
