"""Run notebooks, one on each core, and store what they show.

The outputs are stored in the notebook, what moves in `NAME.figures.json` beside it (see
`meta_lib/moving/stored.py`), and the seconds that it took in `book/chapter-times.md`. The book is
built from these.
"""

import argparse
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from meta_lib.moving import stored

ROOT = Path(__file__).parents[2]
TIMES = ROOT / "book/chapter-times.md"
ROW = re.compile(r"^\| \[\]\(/(\S+)\.ipynb\) \| (\d+) \|\n", re.MULTILINE)
TOTAL = re.compile(r"^\| all, added up \| \d+ \|\n", re.MULTILINE)
VIEW = "application/vnd.jupyter.widget-view+json"


def run(path: Path) -> float:
    """Run a notebook, store its outputs and its figures, and return the seconds."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(stored.CELL))
    notebook.metadata.pop("widgets", None)
    before = time.perf_counter()
    NotebookClient(
        notebook,
        timeout=600,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    seconds = time.perf_counter() - before
    figures = notebook.cells.pop().outputs[0].data["application/json"]
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            # Without a kernel JupyterLab would show an error for it, and no picture.
            output.get("data", {}).pop(VIEW, None)
    nbformat.write(notebook, path)
    beside = path.with_name(path.stem + stored.ENDING)
    if figures:
        beside.write_text(lines(figures) + "\n", encoding="utf-8")
    else:
        beside.unlink(missing_ok=True)
    return seconds


def lines(value: dict | list, depth: int = 3) -> str:
    """Return JSON with a line for each trait, so that a difference shows which it is."""
    if not depth:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{','.join(lines(one, depth - 1) for one in value)}]"
    parts = (f"{json.dumps(name)}: {lines(one, depth - 1)}" for name, one in value.items())
    return "{\n" + ",\n".join(parts) + "\n}" if value else "{}"


def store_times(seconds: dict[str, float]) -> None:
    """Write the seconds into the table, whose rows are in the order of the contents."""
    text = TIMES.read_text(encoding="utf-8")
    rows = {page: int(known) for page, known in ROW.findall(text)}
    rows |= {page: round(took) for page, took in seconds.items()}
    pages = [page for page in contents() if page in rows]
    table = "".join(f"| [](/{page}.ipynb) | {rows[page]} |\n" for page in pages)
    table += f"| all, added up | {sum(rows[page] for page in pages)} |\n"
    TIMES.write_text(TOTAL.sub(table, ROW.sub("", text)), encoding="utf-8")


def contents() -> list[str]:
    """List the book's pages in order, without their endings."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(page["file"] for part in toc["parts"] for page in part["chapters"])]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", type=Path, nargs="+")
    paths = [path.resolve() for path in parser.parse_args().notebooks]
    seconds: dict[str, float] = {}
    failed = []
    print(f"Running {len(paths)} notebooks, {os.cpu_count()} at a time ...", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(run, path): path.relative_to(ROOT) for path in paths}
        for number, done in enumerate(as_completed(running), 1):
            path = running[done]
            try:
                seconds[path.with_suffix("").as_posix()] = took = done.result()
                said = f"{took:.0f} s"
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                failed.append(path)
                said = f"FAILED, and not stored\n{error}"
            print(f"{number} of {len(paths)}: {path}: {said}", flush=True)
    store_times(seconds)
    sys.exit(f"failed: {', '.join(map(str, failed))}" if failed else 0)
