"""Put together what is published: the built book, beside it the zip, and a PDF in each language.

Only here does every page link zip and PDF, at its foot: in the book as it is built they do not
exist, and a zip does not hold itself.
"""

import argparse
import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]

FOOT = '<p class="licences">'  # in the footer of every page: `extra_footer` in _config.yml
EDITIONS = {"": ROOT, "zh": ROOT / "_build/zh"}  # folder in the book, and where its _config.yml is


def put_together(html: Path, archive: Path, pdfs: dict[str, Path], target: Path) -> None:
    """Copy the book, put zip and PDFs into its folder `downloads`, and link them on every page."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(html, target)
    (target / "downloads").mkdir()
    for file in (archive, *pdfs.values()):
        shutil.copy(file, target / "downloads")
    words = {edition: _words(sources) for edition, sources in EDITIONS.items()}
    for page in target.rglob("*.html"):
        place = page.relative_to(target).parts
        edition = place[0] if place[0] in EDITIONS else ""
        downloads = "../" * (len(place) - 1) + "downloads"
        links = {"zip": f"{downloads}/{archive.name}", "pdf": f"{downloads}/{pdfs[edition].name}"}
        said = f'<p class="downloads">{words[edition].format(**links)}</p>\n'
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(FOOT, said + FOOT), encoding="utf-8")


def _words(sources: Path) -> str:
    """Return what is said of the downloads in a language."""
    settings = yaml.safe_load((sources / "_config.yml").read_text(encoding="utf-8"))
    return settings["sphinx"]["config"]["words"]["downloads"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("html", type=Path, help="the folder of the built book")
    parser.add_argument("zip", type=Path)
    parser.add_argument("pdf", type=Path)
    parser.add_argument("chinese_pdf", type=Path)
    parser.add_argument("target", type=Path, help="the folder to write; what is there goes")
    given = parser.parse_args()
    pdfs = {"": given.pdf, "zh": given.chinese_pdf}
    put_together(given.html, given.zip, pdfs, given.target)
