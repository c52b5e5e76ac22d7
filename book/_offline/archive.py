"""Pack the built book into one zip, which opens from the file system at its `index.html`.

The same pages give the same bytes: the files are in order, and without their dates.
"""

import argparse
import os
import zipfile
from pathlib import Path

# What no page asks for: the builders' notes, and maps for those who debug the theme.
LEFT_OUT = (".*", "*.map", "objects.inv")
LEFT_OUT_FOLDERS = ("reports/", "_static/locales/")
# MathJax comes with every variant that it has; this is the one that the pages load, with all that
# it may load in turn.
MATHJAX = "_static/mathjax/"
LOADED = ("tex-chtml.js", "input/tex/extensions/", "output/chtml/fonts/", "a11y/", "sre/")


def contents(html: Path) -> list[str]:
    """List the files that belong into the zip, as paths within the built book."""
    paths = sorted(path.relative_to(html) for path in html.rglob("*") if path.is_file())
    return [path.as_posix() for path in paths if belongs(path)]


def belongs(path: Path) -> bool:
    """Tell whether a file, by its path within the built book, belongs into the zip."""
    name = path.as_posix().removeprefix("zh/")
    if name.startswith(MATHJAX):
        return name.removeprefix(MATHJAX).startswith(LOADED)
    return not (name.startswith(LEFT_OUT_FOLDERS) or any(map(path.match, LEFT_OUT)))


def pack(html: Path, target: Path) -> None:
    """Write the zip whole, or not at all. All is in one folder, named like the zip."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w") as archive:
        for name in contents(html):
            entry = zipfile.ZipInfo(f"{target.stem}/{name}")  # dated 1980, as zips are by default
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (html / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)
    os.replace(unfinished, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("html", type=Path, help="the folder of the built book")
    parser.add_argument("target", type=Path, help="the zip to write")
    given = parser.parse_args()
    pack(given.html, given.target)
    print(f"{given.target}: {given.target.stat().st_size / 1e6:.1f} MB")
