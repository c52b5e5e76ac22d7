"""Give a phone the narrow version of a picture, where the notebook has one.

`meta_lib.figures.bundle` stores it with the picture's size, in the output's metadata. MyST-NB names
a picture by its bytes, so that it is found again in the finished pages.
"""

import base64
import hashlib
import json
import re
from pathlib import Path

SCREEN = "screen and (max-width: 768px)"


def narrow(notebook):
    """Return the narrow versions in a notebook, by the name of the wide one's file."""
    outputs = [one for cell in notebook["cells"] for one in cell.get("outputs", ())]
    found = {}
    for output in outputs:
        small = output.get("metadata", {}).get("image/png", {}).get("narrow")
        if small:
            wide = base64.b64decode("".join(output["data"]["image/png"]))
            found[f"{hashlib.sha256(wide).hexdigest()}.png"] = base64.b64decode(small)
    return found


def with_sources(page, names):
    """Put the pictures of a page that have a narrow version beside it into one element."""

    def source(image):
        folder, name = re.search(r'src="([^"]*/)?([^"/]+)"', image[0]).groups(default="")
        if name not in names:
            return image[0]
        small = f'<source media="{SCREEN}" srcset="{folder}narrow-{name}">'
        return f"<picture>{small}{image[0]}</picture>"

    return re.sub(r"<img [^>]*>", source, page)


def add(app, exception):
    """Write the narrow versions, and lead to them from the finished pages."""
    if exception or app.builder.format != "html":
        return
    for name in app.env.found_docs:
        path = Path(app.env.doc2path(name))
        if path.suffix != ".ipynb":
            continue
        found = narrow(json.loads(path.read_text(encoding="utf-8")))
        for picture, drawn in found.items():
            Path(app.outdir, "_images", f"narrow-{picture}").write_bytes(drawn)
        if found:
            page = Path(app.outdir, f"{name}.html")
            page.write_text(with_sources(page.read_text(encoding="utf-8"), found), encoding="utf-8")


def setup(app):
    app.connect("build-finished", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
