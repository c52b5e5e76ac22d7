"""Make the recorded runs of `recipes.toml`: train, evaluate, and write down how it was done.

    python results/make.py                 list the runs, and which of them are made
    python results/make.py siamese waves   make these, or go on with them
    python results/make.py --all           make all that are not there yet

Omniglot is read from the folder that META_LIB_DATA names, or downloaded once. Of a run's folder the
repository keeps config.json, model.safetensors, run.json (command, commit, environment, times and
figures) and log.csv.gz (loss and gradient norm of each iteration).
"""

import gzip
import io
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from meta_lib.machinery.runs import write_whole
from meta_lib.results import recipes

HERE = Path(__file__).parent
RECIPES = recipes()


def record_of(name: str) -> dict:
    """Return what is known of a run so far."""
    file = HERE / name / "run.json"
    return json.loads(file.read_text()) if file.exists() else {"sessions": [], "figures": {}}


def keep(name: str, record: dict) -> None:
    """Write what is known of a run."""
    (HERE / name).mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1)
    # What was right in each of hundreds of tasks stands in one line.
    text = re.sub(r"\[[\d,\s]+\]", lambda numbers: " ".join(numbers[0].split()), text)
    write_whole(HERE / name / "run.json", f"{text}\n".encode())


def environment() -> dict:
    """Return what the figures and times may depend on."""
    cpu = Path("/proc/cpuinfo")
    models = [line for line in cpu.read_text().splitlines() if "model name" in line] if (
        cpu.exists()) else []  # fmt: skip
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
    }


def commit() -> str:
    """Return the commit, with a + where the library or the recipes were changed after it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True).stdout

    changed = git("status", "--porcelain", "--", "../meta_lib", "recipes.toml")
    return git("rev-parse", "--short", "HEAD").strip() + ("+" if changed else "")


def meta_lib(*words: str) -> dict:
    """Run the command line and return its one JSON object."""
    command = [sys.executable, "-m", "meta_lib", *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise click.ClickException(f"{shlex.join(command)} ended with code {done.returncode}")
    return json.loads(done.stdout)


def train(name: str, words: str, record: dict) -> None:
    """Train, or go on; whether it ends or is stopped, the time that it took is added up."""
    record["command"] = f"python -m meta_lib train {words} --out results/{name}"
    start = time.perf_counter()
    session: dict[str, Any] = {"commit": commit(), "environment": environment()}
    try:
        meta_lib("train", *shlex.split(words), "--out", str(HERE / name))
        record["trained"] = True
    finally:
        session["seconds"] = round(time.perf_counter() - start, 1)
        record["sessions"].append(session)
        keep(name, record)
    log = [json.loads(line) for line in (HERE / name / "log.jsonl").read_text().splitlines()]
    table = np.array([[line["iteration"], line["loss"], line["gradient_norm"]] for line in log])
    text = io.StringIO()
    np.savetxt(text, table, ["%d", "%.4g", "%.3g"], ",", header="iteration,loss,gradient_norm")
    write_whole(HERE / name / "log.csv.gz", gzip.compress(text.getvalue().encode(), mtime=0))


def evaluate(name: str, what: str, words: str, record: dict) -> None:
    """Measure one of the run's figures."""
    data = os.environ.get("META_LIB_DATA", ".")
    asked = shlex.split(words.replace("{data}", data).replace("{here}", str(HERE)))
    command = asked if asked[0] == "compare" else ["evaluate", str(HERE / name), *asked]
    found = meta_lib(*command)
    if "runs" in found:
        found["runs"] = Path(found["runs"]).name
    record["figures"][what] = found
    keep(name, record)


def make(name: str) -> None:
    """Train a run and measure its figures, as far as that is not done."""
    recipe, record = RECIPES[name], record_of(name)
    if "train" in recipe and not record.get("trained"):
        train(name, recipe["train"], record)
    for what, words in recipe["evaluate"].items():
        if what not in record["figures"]:
            evaluate(name, what, words, record)


def state(name: str) -> str:
    """Say how far a run is."""
    record = record_of(name)
    missing = [what for what in RECIPES[name]["evaluate"] if what not in record["figures"]]
    if "train" in RECIPES[name] and not record.get("trained"):
        return "begun" if (HERE / name / "checkpoint.safetensors").exists() else "not begun"
    minutes = sum(session["seconds"] for session in record["sessions"]) / 60
    return f"made, {minutes:.0f} min" if not missing else f"lacks {', '.join(missing)}"


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(RECIPES)))
@click.option("--all", "everything", is_flag=True, help="Make all runs that are not there yet.")
def main(names: tuple[str, ...], everything: bool) -> None:
    """List or make the runs."""
    for name in RECIPES if everything else names:
        make(name)
    for name, recipe in RECIPES.items():
        click.echo(f"{name:28} {state(name):18} {recipe['shows']}")


if __name__ == "__main__":
    main()
