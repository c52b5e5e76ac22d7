"""The picture of all trainings of a page: part 5, "Watch them learn"."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from meta_lib.figures import BLUE, describe, subplots


def together(curves: dict[str, Sequence[float]]) -> Figure:
    """Draw the losses of several trainings beside each other, each on an axis of its own."""
    figure, grid = subplots(1, len(curves), figsize=(7, 2.2))
    for axes, (name, losses) in zip(grid, curves.items(), strict=True):
        axes.plot(range(1, len(losses) + 1), losses, color=BLUE)
        axes.set(title=name, xlabel="iteration", yscale="log")
    grid[0].set_ylabel("loss in practice")
    ends = ", ".join(f"{name} from {c[0]:.2g} to {c[-1]:.2g}" for name, c in curves.items())
    count = len(next(iter(curves.values())))
    return describe(figure, f"The first {count} iterations of each training: the loss goes {ends}.")
