"""The moving figures: how long from a moved slider to the drawn frame.

Each slider of each page of the built book is moved 200 times at random, in headless Chromium. A
frame that shows the move has been drawn when a message posted in the next animation frame comes
back. Browsers draw 60 times a second, so that alone takes about 8 ms on average. A figure that
learns is set to learn before each move.
"""

import argparse
import statistics
import sys
from pathlib import Path

from timing import head, row

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from browser import chromium, served, watched  # noqa: E402

HTML = ROOT / "_build" / "html"
MEDIAN, SLOWEST = 16, 50

MOVES = """async (slider, moves) => {
    const pause = (time) => new Promise((done) => setTimeout(done, time));
    const drawn = () => new Promise((done) => requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = done;
        channel.port2.postMessage(0);
    }));
    const times = [], last = Number(slider.max), waits = ["Learn", "Go on"];
    const buttons = [...slider.closest(".moving-figure").querySelectorAll("button")];
    for (let move = 0; move < moves; move += 1) {
        buttons.find(({ textContent }) => waits.includes(textContent))?.click();
        await pause(20 * Math.random());
        const from = performance.now();
        slider.value = Math.floor((last + 1) * Math.random());
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        await drawn();
        times.push(performance.now() - from);
    }
    return times;
}"""


def main() -> None:
    """Print one row for each slider, and fail if one is too slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=200, help="moves of each slider (default 200)")
    moves = parser.parse_args().moves
    pages = [
        page
        for page in sorted(HTML.rglob("book/**/*.html"))
        if 'class="moving-output' in page.read_text(encoding="utf-8")
    ]
    if not pages:
        sys.exit("The book has not been built: run `make book` first.")
    head("page", "figure", "slider", "median, ms", "95 %, ms")
    slow = []
    with chromium() as browser, served(HTML) as address:
        for path in pages:
            page = watched(browser)
            page.goto(f"{address}/{path.relative_to(HTML).as_posix()}")
            page.wait_for_selector("html[data-moving=ready]")
            for figure in page.locator(".moving-figure").all():
                name = figure.evaluate("(at) => at.model.get('name')")
                for slider in figure.locator("input[type=range]:visible").all():
                    times = slider.evaluate(MOVES, moves)
                    middle, late = statistics.median(times), statistics.quantiles(times, n=20)[-1]
                    of = path.stem, name, slider.get_attribute("name")
                    row(*of, f"{middle:.1f}", f"{late:.1f}")
                    if middle > MEDIAN or late > SLOWEST:
                        slow.append(of)
            page.context.close()
    if slow:
        sys.exit(f"Slower than {MEDIAN} and {SLOWEST} ms: {slow}")


if __name__ == "__main__":
    main()
