"""The pages: what each asks for, how heavy that is, and how long until it is complete.

Each page of the built book is opened in headless Chromium with an empty cache, from a server on
this machine. It is complete when it has loaded, its formulas are set, its fonts are there and its
figures stand. Weights are compressed, as a server would send them.
"""

import argparse
import statistics
import sys
from pathlib import Path

from timing import head, row

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from browser import SHARPEST, chromium, complete, served, watched, weight  # noqa: E402

HTML = ROOT / "_build" / "html"
HEAVIEST, SLOWEST = 1_200_000, 1.0


def main() -> None:
    """Print one row for each page, and fail if one is too heavy or too slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="openings of each page (default 3)")
    times = parser.parse_args().times
    pages = [
        path.relative_to(HTML).as_posix()
        for path in sorted(HTML.rglob("*.html"))
        if not path.relative_to(HTML).as_posix().startswith(("_static/", "index."))
    ]
    if not pages:
        sys.exit("The book has not been built: run `make book` first.")
    head("page", "requests", "KB", "picture / shown", "complete after, s")
    faults = []
    with chromium() as browser, served(HTML) as address:
        for page in pages:
            seconds = []
            for _ in range(times):
                tab = watched(browser, 1200)
                tab.goto(f"{address}/{page}")
                seconds.append(complete(tab))
                asked, heavy, sharp = len(set(tab.asked)), weight(tab, HTML), tab.evaluate(SHARPEST)
                tab.context.close()
            middle = statistics.median(seconds)
            row(page, asked, f"{heavy / 1e3:.0f}", f"{sharp:.1f}", f"{middle:.2f}")
            if heavy > HEAVIEST or middle > SLOWEST:
                faults.append(page)
    if faults:
        sys.exit(f"Heavier than {HEAVIEST / 1e6} MB, or slower than {SLOWEST} s: {faults}")


if __name__ == "__main__":
    main()
