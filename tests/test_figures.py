"""Pictures carry their words."""

import pytest
from IPython.display import Markdown

from meta_lib import figures, maml


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
    assert options["metadata"]["image/png"] == {"width": 400, "height": 200}


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


def test_training_curves_and_image_rows_describe_themselves():
    import torch

    curve = figures.losses([2.0 - 0.01 * k for k in range(100)])
    assert curve.get_label().startswith("Training curve over 100 iterations: the loss goes from 2 ")
    rows = figures.images([torch.rand(3, 1, 8, 8), torch.rand(2, 1, 8, 8)], ["a", "b"], "Glyphs")
    assert rows.get_label().startswith("2 rows of images")
