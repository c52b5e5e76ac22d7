"""Try every verdict of the chapters again, with seeds that the text does not use: `make seeds`.

A chapter names its first seed once, `first_seed = 0`, and prints its verdicts by
`evaluation.verdict`. Here its cells are run from top to bottom with another first seed, exercises
and solutions left out, and the lines with verdicts are shown.
"""

import argparse
import contextlib
import io
import json
import re
import sys
from pathlib import Path

import matplotlib

BOOK = Path(__file__).parents[1] / "book"
FIRST = "first_seed = 0"
LEFT_OUT = {"remove-cell", "exercise", "solution"}  # the first installs what is lacking
VERDICT = re.compile(r"^(?:NOT HELD|Held) over .*$", re.MULTILINE)


def sources(path: Path) -> list[str]:
    """List the cells of a notebook that are code of its text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    return ["".join(c["source"]) for c in code if not LEFT_OUT & set(c["metadata"].get("tags", []))]


def verdicts(cells: list[str], first_seed: int) -> list[str]:
    """Run a chapter with another first seed and return the lines that are verdicts."""
    names: dict = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for cell in cells:
            exec(cell.replace(FIRST, f"first_seed = {first_seed}"), names)
    return VERDICT.findall(printed.getvalue())


def main() -> int:
    """Print the verdicts of the chapters; return how many do not hold."""
    parser = argparse.ArgumentParser(prog="python -m seeds", description=__doc__)
    parser.add_argument("chapters", nargs="*", help="parts of their names; all, if none is given")
    parser.add_argument("--first-seed", type=int, nargs="+", default=[100, 200])
    given = parser.parse_args()
    matplotlib.use("Agg")
    failed = 0
    for path in sorted(BOOK.glob("[0-9]*/*.ipynb")):
        cells = sources(path)
        named = not given.chapters or any(part in path.stem for part in given.chapters)
        if not named or not any(FIRST in cell for cell in cells):
            continue
        for first_seed in given.first_seed:
            print(f"\n{path.stem}, seeds from {first_seed} on")
            for line in verdicts(cells, first_seed):
                print(f"  {line}", flush=True)
                failed += line.startswith("NOT")
    return failed


if __name__ == "__main__":
    sys.exit(main() > 0)
