"""Builds, recorded runs and notebooks that were stopped: nothing is lost, nothing half-made stays.

Trainings are in test_runs.py, downloads in test_omniglot.py.
"""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from test_notebooks import NOTEBOOKS, of_kind, report, texts

from meta_lib.machinery.runs import read_model

ROOT = Path(__file__).parents[1]

FAKE_BUILD = """#!/bin/sh
for folder; do :; done
mkdir -p "$folder/_build/html"
echo half > "$folder/_build/html/index.html"
echo >> builds
case "$(cat how 2>/dev/null)" in
  fails) exit 1 ;;
  killed) kill -KILL $$ ;;
  hangs) touch hanging; exec sleep 60 ;;
esac
echo whole > "$folder/_build/html/index.html"
"""
FAKE_PYTHON = """#!/bin/sh
case "$1" in *edition.py) exit ;; esac
echo >> installs
test "$(cat how 2>/dev/null)" != "no network"
"""


@pytest.fixture
def copy(tmp_path):
    """Copy what `make book` needs, with programs in place of Python and of Jupyter Book."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml", "_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("book/chapter.ipynb", "meta_lib/module.py", ".venv/bin/pip"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    for name, text in (("jupyter-book", FAKE_BUILD), ("python", FAKE_PYTHON), ("pip", "")):
        (tmp_path / ".venv/bin" / name).write_text(text)
        (tmp_path / ".venv/bin" / name).chmod(0o755)
    return tmp_path


def make_book(copy):
    return subprocess.Popen(
        ["make", "book", "PYTHON=true"], cwd=copy, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def lines(file):
    return len(file.read_text().splitlines()) if file.exists() else 0


def assert_is_built_once(copy):
    """The next `make book` builds both languages, and the one after that has nothing to do."""
    (copy / "how").unlink(missing_ok=True)
    before = lines(copy / "builds")
    for _ in range(2):
        process = make_book(copy)
        said, _ = process.communicate()
        assert process.returncode == 0, said.decode()
        for page in ("index.html", "zh/index.html"):
            assert (copy / "_build/html" / page).read_text() == "whole\n"
        assert lines(copy / "builds") == before + 2


@pytest.mark.parametrize("how", ["fails", "killed"])
def test_a_book_whose_build_failed_is_built_anew(how, copy):
    assert_is_built_once(copy)
    (copy / "book/chapter.ipynb").write_text("changed")
    (copy / "how").write_text(how)
    process = make_book(copy)
    process.communicate()
    assert process.returncode != 0
    assert not (copy / "_build/html/.built").exists()
    assert_is_built_once(copy)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_book_whose_build_was_stopped_is_built_anew(number, copy):
    assert_is_built_once(copy)
    (copy / "book/chapter.ipynb").write_text("changed")
    (copy / "how").write_text("hangs")
    process = make_book(copy)
    while process.poll() is None and not (copy / "hanging").exists():
        time.sleep(0.01)
    os.killpg(process.pid, number)
    process.communicate()
    assert process.returncode != 0
    assert not (copy / "_build/html/.built").exists()
    assert_is_built_once(copy)


def test_an_environment_that_was_not_installed_is_not_used(copy):
    (copy / "how").write_text("no network")
    process = make_book(copy)
    process.communicate()
    assert process.returncode != 0
    assert not (copy / ".venv/.installed").exists() and lines(copy / "builds") == 0
    before = lines(copy / "installs")
    assert_is_built_once(copy)
    assert lines(copy / "installs") == before + 3, "PyTorch, the other packages, the library"


TRIAL = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("make_results", sys.argv[1])
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)
make.HERE = Path(sys.argv[2])
words = "protonet --iterations 300 --every 5 --filters 2 --size 8 --episodes 2 --tasks 1"
make.RECIPES = {"trial": {"shows": "", "train": words, "evaluate": {}}}
make.make("trial")
"""


def test_a_recorded_run_that_was_killed_goes_on(tmp_path):
    environment = {**os.environ, "META_LIB_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}

    def start():
        return subprocess.Popen(
            [sys.executable, "-c", TRIAL, ROOT / "results/make.py", tmp_path],
            cwd=ROOT, env=environment, start_new_session=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    process, trial = start(), tmp_path / "trial"
    while process.poll() is None and lines(trial / "log.jsonl") < 50:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = read_model(trial / "checkpoint.safetensors").iteration
    assert 0 < done < 300 and not (trial / "run.json").exists()
    assert start().wait() == 0
    assert json.loads((trial / "run.json").read_text())["trained"]
    log = np.loadtxt(trial / "log.csv.gz", delimiter=",")
    assert log[:, 0].tolist() == list(range(1, 301))


QUICK = "book/6-outlook/where-these-ideas-stand.ipynb"
INTERRUPT = """
import sys
def _interrupt(frame, event, argument, calls=[]):
    if event == "call" and "/meta_lib/" in frame.f_code.co_filename:
        calls.append(frame)
        if len(calls) == {stop}:
            sys.setprofile(None)
            raise KeyboardInterrupt
sys.setprofile(_interrupt)
{source}
sys.setprofile(None)
"""


def shown(cell):
    """Return what a cell prints, and how it describes its pictures."""
    if "nbval-ignore-output" in cell.metadata.get("tags", []):
        return ""
    return "".join(text for o in cell.outputs for text in texts(o) if o.get("name") != "stderr")


def errors(cell):
    return [o.ename for o in cell.outputs if o.output_type == "error"]


def test_a_notebook_interrupted_in_each_cell_runs_again_as_from_new(monkeypatch):
    """Each cell is interrupted twice in the library, then run; at last all, in the same kernel."""
    monkeypatch.setenv("META_LIB_DEVICE", "cpu")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    notebook = nbformat.read(ROOT / QUICK, as_version=4)
    cells, interrupted = of_kind(notebook, "code"), []
    stored = [shown(cell) for _, cell in cells]
    client = NotebookClient(notebook, timeout=120, allow_errors=True)
    client.resources["metadata"] = {"path": str((ROOT / QUICK).parent)}
    with client.setup_kernel():
        for i, cell in cells:
            source = cell.source
            for stop in (1, 40):
                cell.source = INTERRUPT.format(stop=stop, source=source)
                client.execute_cell(cell, i)
                interrupted += [name for name in errors(cell) if name == "KeyboardInterrupt"]
            cell.source = source
            client.execute_cell(cell, i)
            assert not errors(cell), source
        for i, cell in cells:
            client.execute_cell(cell, i)
    assert len(interrupted) > 10
    assert [shown(cell) for _, cell in cells] == stored


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_cell_changes_a_module_that_the_next_run_would_find_changed(name):
    """Run again in the same kernel, a notebook binds its own names anew, and nothing else."""
    _, *cells = of_kind(nbformat.read(ROOT / name, as_version=4), "code")  # without the set-up
    nodes = [(i, node) for i, cell in cells for node in ast.walk(ast.parse(cell.source))]
    imports = [n for _, n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    imported = {alias.asname or alias.name.split(".")[0] for n in imports for alias in n.names}
    faults = [
        f"cell {i}: {ast.unparse(node)} is set"
        for i, node in nodes
        if isinstance(node, ast.Attribute | ast.Subscript)
        and isinstance(node.ctx, ast.Store | ast.Del)
        and ast.unparse(node).split(".")[0].split("[")[0] in imported
    ]
    report(faults, "changes that outlive the notebook's own names")
