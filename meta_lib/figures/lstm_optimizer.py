"""Pictures of part 3, "The LSTM optimizer"."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.optim import Optimizer

from meta_lib.figures import BLACK, BLUE, ORANGE, describe, shades, subplots
from meta_lib.figures.methods import METHODS
from meta_lib.lstm_optimizer import LSTMOptimizer, Rule, TaskLosses
from meta_lib.rivals.baselines import BASELINES, descend
from meta_lib.torch_optimizer import Learned

DASHES = {"LSTM": "-", "SGD": "--", "momentum": "-.", "RMSprop": ":", "Adam": "-"}


def unrolled() -> Figure:
    """Draw two steps of an optimizee and its optimizer, and where gradients do not flow."""
    figure, axes = subplots(figsize=(7, 3.7))
    axes.set(xlim=(-0.7, 8.3), ylim=(-0.6, 3.5))
    axes.axis("off")
    box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "linewidth": 1.4}
    for step in range(3):
        x = 3.3 * step
        now = f"t+{step}" if step else "t"
        axes.text(
            x, 2.6, f"$L(\\theta_{{{now}}})$", ha="center", va="center",
            bbox={**box, "edgecolor": ORANGE},
        )  # fmt: skip
        axes.text(
            x, 1.3, f"$\\theta_{{{now}}}$", ha="center", va="center",
            bbox={**box, "edgecolor": BLACK},
        )  # fmt: skip
        arrow(axes, (x, 1.62), (x, 2.25), BLACK)
        if step == 2:
            break
        axes.text(x + 1.65, 0, "LSTM, φ", ha="center", va="center", bbox={**box, "edgecolor": BLUE})
        arrow(axes, (x + 0.45, 2.45), (x + 1.45, 0.33), ORANGE, dashed=True)
        axes.text(x + 0.83, 2.02, "gradient", color=ORANGE, ha="left", va="center")
        arrow(axes, (x + 1.8, 0.33), (x + 2.95, 1.2), BLUE)
        axes.text(x + 2.42, 0.5, "update", color=BLUE, ha="left", va="center")
        arrow(axes, (x + 0.3, 1.3), (x + 2.95, 1.3), BLACK)
        arrow(axes, (x - 0.5, 0) if not step else (x - 0.95, 0), (x + 0.92, 0), BLUE)
        axes.text(x + 0.15, -0.33, "hidden state", color=BLUE, ha="center", fontsize=9)
    arrow(axes, (5.65, 0), (7.4, 0), BLUE)
    axes.text(
        3.3, 3.3, "meta-loss: the mean of these losses", color=ORANGE, ha="center", va="center"
    )
    return describe(
        figure,
        "Two steps of a learned optimizer. Each θ has a loss. The loss's gradient goes by a dashed "
        "arrow into the LSTM with weights φ; the LSTM's update is added to θ and gives the next θ; "
        "its hidden state goes on to the next step. The meta-loss is the mean of the losses.",
    )


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    dashed: bool = False,
) -> None:
    """Draw an arrow from start to end."""
    style = {"arrowstyle": "->", "color": colour, "linewidth": 1.4}
    axes.annotate("", end, start, arrowprops={**style, "linestyle": "--" if dashed else "-"})


def paths(
    rule: Rule,
    loss: TaskLosses,
    name: str,
    theta: Tensor,
    rates: dict[str, float],
    steps: int,
) -> Figure:
    """Draw how the learned rule and its rivals go on a surface from θ (1, 2), and their losses."""
    figure, (plane, side) = subplots(1, 2, figsize=(7, 3.6))
    x, y = torch.meshgrid(torch.linspace(-3, 3, 121), torch.linspace(-2.5, 2.5, 101), indexing="xy")
    heights = loss(torch.stack([x, y], dim=-1).reshape(-1, 2)).reshape(x.shape)
    levels = [0.03, 0.1, 0.3, 1, 2, 3, 4, 6, 10, 20, 40, 80]
    plane.contour(x, y, heights, levels=levels, colors="0.75", linewidths=0.8)
    makers: dict[str, Callable[..., Optimizer]] = {"LSTM": partial(Learned, rule=rule)}
    makers |= {each: partial(BASELINES[each], lr=rate) for each, rate in rates.items()}
    for each, make in makers.items():
        path, losses = walk(make, loss, theta, steps)
        style = {"color": METHODS[each], "linestyle": DASHES[each], "linewidth": 1.6}
        plane.plot(*path.T, **style)
        side.plot(losses.clamp(min=1e-6), **style, label=each)
    plane.plot(*theta[0].cpu(), "o", color=BLACK, markersize=8)
    plane.set(xlim=(-3, 3), ylim=(-2.5, 2.5), xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
    side.set(xlabel="step", ylabel="loss", yscale="log", ylim=(1e-6, 1e3))
    side.legend()
    return describe(
        figure,
        f"A race on the {name}, {steps} steps from one start: {', '.join(makers)}. Left, their "
        "paths over lines of equal loss; right, their losses on a logarithmic axis.",
    )


def walk(
    make: Callable[[list[Tensor]], Optimizer], loss: TaskLosses, theta: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Return the places (steps + 1, coordinates) that an optimizer passes from θ, and the losses.

    `make`, `loss` and `theta` are as for `baselines.descend`, with one task.
    """
    path = []

    def noted(at: Tensor) -> Tensor:
        path.append(at[0].detach().clone())
        return loss(at)

    losses = descend(make, noted, theta, steps)
    return torch.stack(path).cpu(), losses[:, 0].cpu()


def step_sizes(
    optimizer: LSTMOptimizer, moments: Sequence[int] = (1, 5, 20, 100), rate: float = 0.01
) -> Figure:
    """Draw the learned update of one coordinate against the gradient, which is held constant."""
    figure, (axes, near) = subplots(1, 2, figsize=(7, 3.5), width_ratios=(3, 2))
    sizes = torch.logspace(-7, 2, 73)
    updates = constant_gradient(optimizer, sizes, max(moments))
    for moment, colour in zip(moments, shades(len(moments)), strict=True):
        axes.plot(sizes, updates[moment - 1], color=colour, label=f"step {moment}")
    axes.plot(sizes, rate * sizes, color=BLACK, linestyle="--", label=f"SGD, α = {rate}")
    axes.axvline(math.exp(-10), color=BLACK, linestyle=":", linewidth=1)
    axes.set(
        xscale="log", xlabel="gradient g", ylabel="step against the gradient", ylim=(-0.12, 0.62)
    )
    axes.legend(fontsize=8.5, loc="upper left")
    both = torch.linspace(-1, 1, 81)
    updates = constant_gradient(optimizer, both, max(moments))
    for moment, colour in zip(moments, shades(len(moments)), strict=True):
        near.plot(both, updates[moment - 1], color=colour)
    near.plot(both, rate * both, color=BLACK, linestyle="--")
    near.axhline(0, color=BLACK, linewidth=0.6)
    near.set(xlabel="gradient g, both signs")
    return describe(
        figure,
        "The learned step against a constant gradient. Left, gradients up to 100 on a "
        "logarithmic axis: the step grows slowly with the logarithm of the gradient, far from the "
        "line of SGD. Right, gradients from -1 to 1: nearly a step function that follows the sign.",
    )


def constant_gradient(optimizer: LSTMOptimizer, gradients: Tensor, steps: int) -> Tensor:
    """Return the steps -update, (steps, gradients), that each constant gradient brings about."""
    theta = torch.zeros_like(gradients)[:, None].to(next(optimizer.parameters()))
    gradients = gradients[:, None].to(theta)
    state, taken = optimizer.initial_state(theta), []
    with torch.no_grad():
        for _ in range(steps):
            after, state = optimizer(theta, gradients, gradients, state)
            taken.append((theta - after)[:, 0])
            theta = after
    return torch.stack(taken).cpu()
