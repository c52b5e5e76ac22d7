"""Pictures carry their words, and a method its colour."""

import re
from pathlib import Path

import pytest
from IPython.display import Markdown
from matplotlib.colors import rgb_to_hsv, to_rgb
from matplotlib.patches import FancyBboxPatch

from meta_lib import figures, maml, moving
from meta_lib.figures import methods
from meta_lib.figures.narrow import fold


class Screen:
    """Stands in for the notebook: keeps what was displayed."""

    def __init__(self):
        self.shown = []

    def display(self, data, **options):
        self.shown.append((data, options))
        return self


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(figures, "display", screen.display)
    return screen


def a_line(slope=1.0):
    figure, axes = figures.subplots(figsize=(4, 2))
    axes.plot([0, 1], [0, slope])
    return figures.describe(figure, f"A line that climbs by {slope:g} from left to right.")


def test_a_shown_figure_has_a_picture_and_its_words(screen):
    figures.show(a_line())
    data, options = screen.shown[0]
    assert data["text/plain"] == "A line that climbs by 1 from left to right."
    assert data["image/png"].startswith("iVBOR")
    size = options["metadata"]["image/png"]
    assert (size["width"], size["height"]) == (400, 200) and size["narrow"] != data["image/png"]


def test_a_figure_without_words_is_not_shown(screen):
    figure, _ = figures.subplots()
    with pytest.raises(ValueError, match="no description"):
        figures.show(figure)


def test_figures_are_closed_when_shown(screen):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    figures.show(a_line())
    assert plt.get_fignums() == before


def test_the_source_is_as_in_the_library(screen):
    figures.show_source(maml.inner_step, maml.meta_update)
    markdown = screen.shown[0][0]
    assert isinstance(markdown, Markdown)
    assert markdown.data.startswith("```python\ndef inner_step(")
    assert "return rule_of(alpha)(" in markdown.data
    assert "def meta_update(" in markdown.data and markdown.data.endswith("```")


def test_on_a_phone_panels_come_beneath_each_other():
    figure, (left, right) = figures.subplots(1, 2, figsize=(7, 3), sharey=True)
    left.set(ylabel="loss", xlabel="step")
    assert fold(figure)
    assert figure.get_size_inches()[0] == 3.6
    boxes = [axes.get_window_extent() for axes in (left, right)]
    assert boxes[0].y0 > boxes[1].y1 and boxes[0].x0 == pytest.approx(boxes[1].x0)
    assert right.get_ylabel() == "loss"


def test_what_does_not_fit_a_phone_stays_wide():
    crowded, axes = figures.subplots(figsize=(7, 3))
    axes.set_title("a title as long as this one needs the whole width of a large screen")
    images, grid = figures.subplots(1, 3)
    grid[0].imshow([[0, 1]])
    sketch, axes = figures.subplots(figsize=(7, 3))
    axes.axis("off")
    axes.add_patch(FancyBboxPatch((0.4, 0.4), 0.2, 0.2, boxstyle="square,pad=0"))
    axes.text(0.5, 0.5, "wide as words", ha="center", va="center")
    low, axes = figures.subplots(figsize=(7, 1))
    axes.set_xlabel("one\nunder\nthe\nother\nleaves\nno\nroom")
    assert not any(fold(figure) for figure in (crowded, images, sketch, low))


def test_a_page_leads_to_the_narrow_version(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "book" / "_extensions")
    import narrow_pictures

    data, metadata = figures.bundle(a_line())
    [(name, drawn)] = narrow_pictures.narrow(
        {"cells": [{"outputs": [{"data": data, "metadata": metadata}]}, {"source": []}]}
    ).items()
    assert drawn.startswith(b"\x89PNG")
    other = '<img alt="b" src="x/other.png">'
    page = narrow_pictures.with_sources(f'<a><img alt="a" src="x/{name}"></a>{other}', {name})
    assert f'srcset="x/narrow-{name}"><img alt="a" src="x/{name}"></picture></a>{other}' in page


def test_a_method_has_one_colour_in_pictures_and_in_what_moves():
    kit = (moving.FOLDER / "kit.js").read_text(encoding="utf-8")
    kinds = re.findall(r'(?:"([^"]+)"|(\w+)): "(c\d|grey)', kit[kit.index("const METHODS") :])
    by_kind = {f"c{k}": colour for k, colour in enumerate(methods.CLASSES, 1)}
    by_kind["grey"] = figures.BLACK
    theirs = {quoted or plain: by_kind[kind] for quoted, plain, kind in kinds}
    both = theirs.keys() & methods.METHODS.keys()
    assert len(both) >= 12
    assert {name: methods.METHODS[name] for name in both} == {name: theirs[name] for name in both}
    style = (moving.FOLDER / "kit.css").read_text(encoding="utf-8")
    for kind, shade in re.findall(r"--(c\d): (#\w{6})", style):  # light pages, then dark ones
        hues = [rgb_to_hsv(to_rgb(each))[0] for each in (by_kind[kind], shade)]
        assert abs(hues[0] - hues[1]) < 0.05, (kind, shade)


def test_other_names_get_colours_that_are_left():
    found = methods.colours(["MAML", "somebody's", "pre-trained", "else"])
    assert found["MAML"] == figures.BLUE and len(set(found.values())) == 4


def test_no_picture_takes_a_default_colour():
    for path in Path(figures.__file__).parent.glob("*.py"):
        assert not re.search(r"""["']C(\d|\{)""", path.read_text(encoding="utf-8")), path.name
