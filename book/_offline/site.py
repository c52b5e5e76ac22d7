"""Put together what is published: the built book, and beside it the zip and the PDF.

Only here does every page link the two, at its foot: in the book as it is built they do not exist,
and a zip does not hold itself.
"""

import argparse
import shutil
from pathlib import Path

FOOT = '<p class="licences">'  # in the footer of every page: `extra_footer` in _config.yml
LINKS = (
    '<p class="downloads">The whole book: <a href="{zip}">a zip</a>, which opens without a '
    'network, and <a href="{pdf}">a PDF</a>, for print.</p>\n'
)


def put_together(html: Path, files: dict[str, Path], target: Path) -> None:
    """Copy the book, put the files into its folder `downloads`, and link them on every page."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(html, target)
    (target / "downloads").mkdir()
    for file in files.values():
        shutil.copy(file, target / "downloads")
    for page in target.rglob("*.html"):
        up = "../" * len(page.relative_to(target).parent.parts)
        links = {kind: f"{up}downloads/{file.name}" for kind, file in files.items()}
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(FOOT, LINKS.format(**links) + FOOT), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("html", type=Path, help="the folder of the built book")
    parser.add_argument("zip", type=Path)
    parser.add_argument("pdf", type=Path)
    parser.add_argument("target", type=Path, help="the folder to write; what is there goes")
    given = parser.parse_args()
    put_together(given.html, {"zip": given.zip, "pdf": given.pdf}, given.target)
