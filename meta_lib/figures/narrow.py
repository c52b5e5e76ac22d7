"""A picture for a phone: panels beneath each other, letters as large as they are."""

import warnings
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Text

WIDTH, PANEL = 3.6, 2.5
"""In inches: 360 pixels, and the height of a panel."""


def fold(figure: Figure) -> bool:
    """Make the figure as wide as a phone's screen, and return whether its words fit.

    Up to three panels in a row come beneath each other. Grids of images stay as they are.
    """
    panels = [axes for axes in figure.axes if axes.get_subplotspec()]
    grids = {axes.get_gridspec() for axes in panels}
    width, height = figure.get_size_inches()
    if len(grids) != 1 or figure.subfigs or any(axes.images for axes in panels):
        return False
    grid = grids.pop()
    assert grid is not None  # panels are axes that have a place in a grid
    if grid.ncols > 1 and (grid.nrows > 1 or grid.ncols > 3 or len(panels) != grid.ncols):
        return False
    if grid.ncols > 1:
        column = GridSpec(grid.ncols, 1, figure=figure)
        first = panels[0]
        for row, axes in enumerate(panels):
            axes.set_subplotspec(column[row])
            if axes.xaxis.get_visible() and len(axes.get_xticks()):
                axes.tick_params(labelleft=True, labelbottom=True)
            if first.get_shared_y_axes().joined(first, axes):
                axes.set_ylabel(first.get_ylabel())
        height = PANEL * len(panels)
    figure.set_size_inches(min(width, WIDTH), height)
    for legend in filter(None, [*figure.legends, *(axes.get_legend() for axes in panels)]):
        legend.set_ncols(1 if len(legend.get_texts()) < 4 else 2)
    with warnings.catch_warnings(category=UserWarning, action="error"):
        try:
            figure.canvas.draw()
        except UserWarning:  # matplotlib finds no room for the axes
            return False
    boxes = [text.get_window_extent() for text in _words(figure, panels)]
    inside = all(
        box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1
        for box in boxes
    )
    apart = not any(one.padded(-1).overlaps(two.padded(-1)) for one, two in combinations(boxes, 2))
    return inside and apart and all(_leaves_room(axes) and _boxes_hold(axes) for axes in panels)


def _words(figure: Figure, panels: list[Axes]) -> list[Text]:
    """Return the texts that are seen: of the ticks those within the axes."""
    hidden = set()
    for axes in panels:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not axes.axison or not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    return [
        text
        for text in figure.findobj(Text)
        if text not in hidden and text.get_visible() and text.get_text().strip()
    ]


def _boxes_hold(axes: Axes) -> bool:
    """Say whether the words of a sketch lie within their boxes."""
    frames = [patch.get_window_extent() for patch in axes.patches if hasattr(patch, "get_boxstyle")]
    return not any(
        frame.x0 < words.x0 + words.width / 2 < frame.x1
        and frame.y0 < words.y0 + words.height / 2 < frame.y1
        and words.width > frame.width
        for words in (text.get_window_extent() for text in axes.texts)
        for frame in frames
    )


def _leaves_room(axes: Axes) -> bool:
    """Say whether the legend leaves the curves most of the axes."""
    legend, whole = axes.get_legend(), axes.get_window_extent()
    if legend is None:
        return True
    box = legend.get_window_extent()
    return box.width * box.height < 0.4 * whole.width * whole.height
