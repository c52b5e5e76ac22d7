"""Give every picture that a cell has drawn its description as alt text.

A figure's output holds the picture (`image/png`) and its description in words (`text/plain`).
MyST-NB keeps both side by side until it picks one for the page; by then the words must be on
the picture.
"""

from docutils import nodes


def describe_pictures(app, doctree):
    for bundle in doctree.findall(nodes.container):
        if bundle.get("nb_element") != "mime_bundle":
            continue
        outputs = {output["mime_type"]: output for output in bundle.children}
        if "text/plain" in outputs:
            description = " ".join(outputs["text/plain"].astext().split())
            for picture in bundle.findall(nodes.image):
                picture.setdefault("alt", description)


def setup(app):
    app.connect("doctree-read", describe_pictures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
