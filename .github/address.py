"""Give the book another address: `make address URL=https://github.com/OWNER/NAME`.

The address stands in `_config.yml`. What must repeat it, because it is read by itself (the
notebooks' first cells, the README), is rewritten along with it.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "_config.yml"
FORM = re.compile(r"https://github\.com/([\w-]+)/([\w.-]+)")


def address() -> str:
    """Return the repository's address, as `_config.yml` has it."""
    return re.search(r"^  url: (\S+)$", CONFIG.read_text(encoding="utf-8"), re.M)[1]


def forms(url: str) -> tuple[str, str]:
    """Return where GitHub Pages shows the book, and OWNER/NAME."""
    if not (found := FORM.fullmatch(url)):
        raise SystemExit(f"URL must be like https://github.com/OWNER/NAME, but was {url!r}")
    owner, name = found.groups()
    return f"{owner.lower()}.github.io/{name}", f"{owner}/{name}"


def move(old: str, new: str) -> None:
    """Put the address `new` in the place of the address `old` in all files that git knows."""
    pairs = list(zip(forms(old), forms(new), strict=True))
    patterns = [word for before, _ in pairs for word in ("-e", before)]
    found = subprocess.run(
        ["git", "grep", "-lIF", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in found.stdout.splitlines():
        text = (ROOT / name).read_text(encoding="utf-8")
        for before, after in pairs:
            text = text.replace(before, after)
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    move(address(), sys.argv[1])
