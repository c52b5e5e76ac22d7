"""A page about one's own images: one HTML file that holds its pictures, to be opened anywhere.

Part 5, "Your own images".
"""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from torch import Tensor

SIDE = 96
MOST = 1000
"""How many answers a page shows at most: more would be too long to look at, and to open."""
STYLE = """
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .3rem .6rem; text-align: start; }
tr + tr { border-top: 1px solid #8884; } th { font-weight: 600; }
.counts td, .counts th { text-align: center; border: 1px solid #8884; }
.counts th[scope=row] { text-align: start; } .right { background: #1f77b433; }
.wrong { background: #d6272833; } img { vertical-align: middle; image-rendering: pixelated; }
.wide { overflow-x: auto; }
"""


def page(
    title: str,
    facts: Sequence[str],
    lines: Sequence[dict[str, Any]],
    files: Sequence[Path],
    read: Sequence[str],
    nearest: dict[str, Tensor],
    classes: Sequence[str],
) -> str:
    """Return the page: what was asked, the mistakes, who was taken for whom, and every answer.

    Of more than a thousand answers, or mistakes, that many are shown. A line is as `answers.lines`
    gives it, with the key "truth" where the class is known; `files` are the query files, `read`
    each as it is read, by `picture`, and `nearest` the labelled images by name.
    """
    order = {line["file"]: number for number, line in enumerate(lines)}

    def rows(shown: Sequence[dict[str, Any]]) -> list[str]:
        return [
            _row(line, _thumbnail(files[i]), read[i], nearest.get(line["nearest"]))
            for line in shown[:MOST]
            for i in [order[line["file"]]]
        ]

    known = any("truth" in line for line in lines)
    wrong = [line for line in lines if known and line["class"] != line["truth"]]
    surest = sorted(wrong, key=lambda line: -(line["probability"] or 0))
    parts = [f"<h1>{_safe(title)}</h1>", *(f"<p>{_safe(fact)}</p>" for fact in facts)]
    if known:
        parts += [f"<h2>Mistakes and refusals: {len(wrong)} of {len(lines)}</h2>"]
        parts += [_table(rows(surest), known)] if wrong else []
        parts += ["<h2>Who was taken for whom</h2>", _counts(lines, classes)]
    unsure = sorted(lines, key=lambda line: line["probability"] or 0)
    some = "All answers" if len(lines) <= MOST else f"{MOST} of {len(lines)} answers"
    parts += [f"<h2>{some}, the least sure first</h2>", _table(rows(unsure), known)]
    head = f'<meta charset="utf-8"><title>{_safe(title)}</title><style>{STYLE}</style>'
    view = '<meta name="viewport" content="width=device-width">'
    return f'<!doctype html><html lang="en"><head>{head}{view}</head><body>{"".join(parts)}</body>'


def _row(line: dict[str, Any], file: str, read: str, nearest: Tensor | None) -> str:
    truth = f"<td>{_name(line['truth'])}</td>" if "truth" in line else ""
    sure = "" if line["probability"] is None else f"{line['probability']:.2f}"
    distance = "" if line["distance"] is None else f"{line['distance']:.3g}"
    like = "" if nearest is None else f"{picture(nearest)} {_name(line['nearest'])}"
    wrong = "wrong" if line.get("truth", line["class"]) != line["class"] else ""
    return (
        f'<tr class="{wrong}"><td>{file} {read}</td><td>{_name(line["file"])}</td>{truth}'
        f"<td>{_name(line['class'])}</td><td>{sure}</td><td>{distance}</td><td>{like}</td></tr>"
    )


def _table(rows: Sequence[str], known: bool) -> str:
    names = ["the picture, and as it is read", "file", *(["is"] if known else []), "named"]
    names += ["p", "distance", "the nearest labelled image of that class"]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _counts(lines: Sequence[dict[str, Any]], classes: Sequence[str]) -> str:
    """Return the confusion table: a row for each true class, a column for each answer."""
    answers = [*classes, *sorted({line["class"] for line in lines} - set(classes))]
    head = "".join(f'<th scope="col">{_name(name)}</th>' for name in answers)
    body = ""
    for truth in classes:
        given = [line["class"] for line in lines if line["truth"] == truth]
        cells = [(name, given.count(name)) for name in answers]
        body += f'<tr><th scope="row">{_name(truth)}</th>'
        for name, count in cells:
            kind = "right" if name == truth else "wrong"
            body += f'<td class="{kind if count else ""}">{count or ""}</td>'
        body += "</tr>"
    return (
        '<p>A row for each true class, a column for each answer.</p><div class="wide">'
        f'<table class="counts"><tr><th></th>{head}</tr>{body}</table></div>'
    )


def _thumbnail(file: Path) -> str:
    """Return the picture file, small; nothing where it is gone."""
    try:
        with Image.open(file) as image:
            small = ImageOps.exif_transpose(image)
            if small.mode.startswith(("I", "F")):
                return ""  # of deep pixels the picture as it is read says more
            small = small.convert("RGB")
            small.thumbnail((SIDE, SIDE))
            return _shown(small, "JPEG", small.width)
    except Exception:  # what was read before is not worth an error now
        return ""


def picture(image: Tensor) -> str:
    """Return an image (channels, size, size) as it is read: ink dark, colours as they are."""
    pixels = (255 * image.cpu().clamp(0, 1)).byte().numpy()
    shown = Image.fromarray(255 - pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    shown.thumbnail((SIDE // 2, SIDE // 2))
    return _shown(shown, "PNG", SIDE // 2)


def _shown(image: Image.Image, kind: str, width: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="" width="{width}" src="data:image/{kind.lower()};base64,{content}">'


def _name(name: str) -> str:
    """Return a name of any script and direction, that does not disturb what stands beside it."""
    return f"<bdi>{_safe(name)}</bdi>"


def _safe(text: str) -> str:
    # A file's name may hold bytes that are no letters in any encoding.
    return html.escape(text.encode("utf-8", "backslashreplace").decode())
