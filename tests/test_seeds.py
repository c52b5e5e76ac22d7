"""The runner that tries the chapters' verdicts with other seeds."""

import json
import runpy

from test_notebooks import ROOT

SEEDS = runpy.run_path(str(ROOT / "seeds/__main__.py"), run_name="seeds")


def cell(source, *tags, kind="code"):
    return {"cell_type": kind, "source": [source], "metadata": {"tags": list(tags)}}


def test_a_chapter_is_run_with_another_first_seed_and_without_its_exercises(tmp_path):
    path = tmp_path / "chapter.ipynb"
    cells = [
        cell("raise ValueError('installs')", "remove-cell"),
        cell("# A title", kind="markdown"),
        cell("from meta_lib.evaluation import verdict\nfirst_seed = 0"),
        cell("def seeds():\n    return [first_seed + 1 + i % 2 for i in range(5)]"),
        cell("print('said')\nprint(verdict('it is so', seeds()))"),
        cell("print(verdict('it is not so', [-1 - s for s in seeds()]))"),
        cell("raise ValueError('an exercise')", "exercise"),
        cell("raise ValueError('a solution')", "hide-cell", "solution"),
    ]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert SEEDS["verdicts"](SEEDS["sources"](path), 100) == [
        "Held over 5 trainings: it is so, by 101.40 ± 0.68",
        "NOT HELD over 5 trainings: it is not so, by -102.40 ± 0.68",
    ]


def test_the_chapters_that_have_verdicts_name_their_first_seed():
    for path in ROOT.glob("book/[0-9]*/*.ipynb"):
        code = SEEDS["sources"](path)
        if any("verdict(" in each for each in code):
            assert any(SEEDS["FIRST"] in each for each in code), path.name
