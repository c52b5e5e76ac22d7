"""Take each chapter's first screen, wide and on a phone, light and dark: `make screenshots`.

The pictures lie in one folder, and its `index.html` shows them all, a row for each chapter.
"""

import sys
from pathlib import Path

from browser import chromium, complete, served

SCREENS = {"wide": (1300, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")


def main(built: Path, out: Path, only: list[str]) -> None:
    """Take the pages of the built book whose names hold one of `only`, or all of them."""
    chapters = sorted((built / "book").glob("[0-9]*/*.html"))
    pages = [built / "book/intro.html", *chapters]
    pages = [page for page in pages if not only or any(name in page.stem for name in only)]
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    with served(built) as where, chromium() as browser:
        for page in pages:
            names = []
            for screen, (width, height) in SCREENS.items():
                for scheme in SCHEMES:
                    size = {"width": width, "height": height}
                    context = browser.new_context(viewport=size, color_scheme=scheme)
                    tab = context.new_page()
                    tab.goto(f"{where}/{page.relative_to(built)}")
                    complete(tab)
                    names.append(f"{page.stem}-{screen}-{scheme}.png")
                    tab.screenshot(path=out / names[-1])
                    context.close()
            pictures = "".join(f'<img src="{name}" alt="{name}" height="450">' for name in names)
            rows.append(f"<h2>{page.stem}</h2>{pictures}")
    (out / "index.html").write_text(
        '<!doctype html><meta charset="utf-8"><title>First screens</title>' + "".join(rows)
    )
    print(f"{len(pages)} chapters, {len(rows) * 4} pictures: {out / 'index.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
