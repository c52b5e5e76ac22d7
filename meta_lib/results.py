"""The recorded runs of the folder `results/`: full-strength trainings, and what they measured.

Each run was made by one command, `python results/make.py NAME`, and can be made again. The chapters
read their tables from here, and nothing of our side was typed in. Part 5, "How far from the
papers".
"""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from meta_lib.evaluation import Estimate

RECIPES = "recipes.toml"


@cache
def folder() -> Path:
    """Return the folder of the runs: `results` in a clone, and with the library once installed.

    Raises FileNotFoundError if there is neither.
    """
    package = Path(__file__).parent
    for place in (package.parent / "results", package / "recorded"):
        if (place / RECIPES).exists():
            return place
    raise FileNotFoundError(
        f"the recorded runs are neither in {package.parent / 'results'} nor in "
        f"{package / 'recorded'}; `pip install` of the book's folder brings them"
    )


def recipes() -> dict[str, dict[str, Any]]:
    """Return of each run what it `shows`, the command to `train` it, and what to `evaluate`.

    A recipe with `seeds = 3` is one of three runs, NAME, NAME-seed-1 and NAME-seed-2, which differ
    in nothing but the seed: their first weights and their batches.
    """
    found = {}
    for name, recipe in tomllib.loads((folder() / RECIPES).read_text()).items():
        seeds = recipe.pop("seeds", 1)
        found[name] = recipe
        for seed in range(1, seeds):
            found[f"{name}-seed-{seed}"] = recipe | {"train": f"{recipe['train']} --seed {seed}"}
    return found


def trainings(name: str) -> list[str]:
    """Return the names of a run and of those that differ from it in nothing but the seed."""
    return [each for each in recipes() if each == name or each.startswith(f"{name}-seed-")]


def record(name: str) -> dict[str, Any]:
    """Return what a run wrote down: its command, sessions (commit, environment, time), figures.

    Raises FileNotFoundError if there is no such run.
    """
    file = folder() / name / "run.json"
    if not file.exists():
        made = (path.parent.relative_to(folder()) for path in folder().rglob("run.json"))
        names = ", ".join(sorted(each.as_posix() for each in made))
        raise FileNotFoundError(f"there is no run {name!r}; there are {names}")
    return json.loads(file.read_text())


def figure(name: str, what: str) -> dict[str, Any]:
    """Return one of a run's figures, as the command line gave it. Raises KeyError for another."""
    figures = record(name)["figures"]
    if what not in figures:
        raise KeyError(f"the run {name!r} has no figure {what!r}; it has {', '.join(figures)}")
    return figures[what]


def accuracy(name: str, what: str) -> Estimate:
    """Return an accuracy with its 95 % interval."""
    found = figure(name, what)
    return Estimate(found["accuracy"], found["ci95"])


def minutes(name: str) -> float:
    """Return how long the training took, in minutes, all its sessions together."""
    return sum(session["seconds"] for session in record(name)["sessions"]) / 60
