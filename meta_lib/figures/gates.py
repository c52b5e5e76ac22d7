"""Pictures of part 4, "The LSTM's update rule"."""

import math

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from meta_lib.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, describe, shades, subplots
from meta_lib.gated_optimizer import gated_update
from meta_lib.lstm_optimizer import preprocess


def cell() -> Figure:
    """Draw the line of the cell state, once with the LSTM's names and once with the optimizer's."""
    figure, axes = subplots(figsize=(7, 2.9))
    axes.set(xlim=(-0.4, 8.4), ylim=(-1.75, 1.75), aspect="equal")
    axes.axis("off")
    for x, sign in ((2.5, "×"), (5.5, "+")):
        axes.add_patch(Circle((x, 0.6), 0.3, fill=False, edgecolor=BLACK, linewidth=1.4))
        axes.text(x, 0.58, sign, ha="center", va="center", fontsize=14)
    axes.add_patch(Circle((5.5, -0.6), 0.3, fill=False, edgecolor=BLACK, linewidth=1.4))
    axes.text(5.5, -0.62, "×", ha="center", va="center", fontsize=14)
    arrows = (
        ((0.7, 0.6), (2.2, 0.6)), ((2.8, 0.6), (5.2, 0.6)), ((5.8, 0.6), (7.2, 0.6)),
        ((2.5, -0.35), (2.5, 0.3)), ((5.5, -0.3), (5.5, 0.3)), ((4.65, -0.6), (5.2, -0.6)),
        ((7.0, -0.6), (5.8, -0.6)),
    )  # fmt: skip
    for start, end in arrows:
        style = {"arrowstyle": "->", "color": BLACK, "linewidth": 1.4}
        axes.annotate("", end, start, arrowprops=style)
    names = (
        (0.2, 0.6, "$c_{t-1}$", r"$\theta_{t-1}$"), (7.7, 0.6, "$c_t$", r"$\theta_t$"),
        (2.5, -0.75, "forget gate $f_t$", "1 (or: decay)"),
        (3.95, -0.62, "input gate $i_t$", r"rate $\alpha$"),
        (7.65, -0.62, r"candidate $\tilde c_t$", r"$-\nabla L(\theta_{t-1})$"),
    )  # fmt: skip
    for x, y, lstm, optimizer in names:
        axes.text(x, y + 0.2, lstm, ha="center", va="center", color=BLUE)
        axes.text(x, y - 0.2, optimizer, ha="center", va="center", color=RED)
    axes.text(0, 1.5, "blue: in an LSTM", color=BLUE, va="center")
    axes.text(4, 1.5, "red: in gradient descent", color=RED, va="center")
    return describe(
        figure,
        "The line of an LSTM's cell state: the old state is multiplied by the forget gate, then "
        "input gate times candidate is added. In red the same wires read as gradient descent: "
        "old θ times 1, plus the rate α times minus the gradient.",
    )


CURVATURES, MINIMUM, START = (1.0, 8.0), (3.0, 2.0), (-1.5, 3.2)


def walk(forget: float, rate: float, steps: int) -> Tensor:
    """Return the path (steps + 1, 2) of gated updates on ½ Σ a (θ - b)² with constant gates."""
    a, b = torch.tensor(CURVATURES), torch.tensor(MINIMUM)
    path = [torch.tensor(START)]
    i, f = torch.tensor(rate), torch.tensor(forget)
    for _ in range(steps):
        path.append(gated_update(path[-1], a * (path[-1] - b), i, f))
    return torch.stack(path)


def path(f: float, i: float, steps: int = 40) -> Figure:
    """Draw the path of constant gates on a quadratic in two dimensions, and its loss."""
    figure, (axes, side) = subplots(1, 2, figsize=(7, 3.6), width_ratios=(3, 2))
    a, b = torch.tensor(CURVATURES), torch.tensor(MINIMUM)
    steps_taken = walk(f, i, steps)
    x, y = torch.meshgrid(torch.linspace(-2, 5, 141), torch.linspace(-1, 5, 121), indexing="xy")
    surface = (a * (torch.stack([x, y], dim=-1) - b).square()).sum(dim=-1) / 2
    axes.contour(x, y, surface, levels=[0.1, 0.5, 2, 5, 10, 20, 35], colors="0.75", linewidths=0.8)
    shown = steps_taken.clamp(-50, 50)
    axes.plot(*shown.T, "o-", color=BLUE, markersize=3, linewidth=1)
    axes.plot(*b, "*", color=GREEN, markersize=12, label="minimum of L")
    rest = i * a * b / (1 - f + i * a)
    axes.plot(*rest, "s", color=RED, markersize=7, label="fixed point")
    axes.plot(0, 0, "+", color=BLACK, markersize=9, label="θ = 0")
    axes.set(xlim=(-2, 5), ylim=(-1, 5), xlabel="first weight", ylabel="second weight")
    axes.legend(fontsize=8.5, loc="lower right")
    losses = (a * (steps_taken - b).square()).sum(dim=-1) / 2
    side.plot(losses.clamp(1e-8, 1e6), color=BLUE)
    side.set(xlabel="step", ylabel="loss", yscale="log", ylim=(1e-5, 1e3))
    slowest = max(abs(f - i * curvature) for curvature in CURVATURES)
    fate = "it settles" if slowest < 1 else "it does not settle"
    side.set_title(f"largest |f - i a| = {slowest:.2f}: {fate}", fontsize=9)
    return describe(
        figure,
        f"Path with forget gate {f:.3g} and input gate {i:.3g} on a quadratic with its minimum at "
        f"(3, 2). Largest |f - i a| is {slowest:.2f}: {fate}. The fixed point lies at "
        f"({rest[0]:.2f}, {rest[1]:.2f}).",
    )


def seen(p: float = 10.0) -> Figure:
    """Draw the two numbers that the optimizer is given, against the gradient."""
    figure, (left, right) = subplots(1, 2, figsize=(7, 3.2))
    sizes = torch.logspace(-7, 2, 400)
    pair = preprocess(sizes, p)
    left.plot(sizes, pair[:, 0], color=BLUE, label="first: size")
    left.plot(sizes, pair[:, 1], color=RED, label="second: sign")
    left.axvline(math.exp(-p), color=BLACK, linestyle=":", linewidth=1)
    left.set(xscale="log", xlabel="gradient g > 0", ylabel="what the LSTM is given")
    left.legend()
    near = torch.linspace(-3, 3, 601) * math.exp(-p)
    pair = preprocess(near, p)
    right.plot(near * 1e5, pair[:, 0], color=BLUE)
    right.plot(near * 1e5, pair[:, 1], color=RED)
    for edge in (-math.exp(-p), math.exp(-p)):
        right.axvline(edge * 1e5, color=BLACK, linestyle=":", linewidth=1)
    right.set(xlabel="gradient g, in units of 10⁻⁵")
    return describe(
        figure,
        "The preprocessed gradient. Left, on a logarithmic axis: above e⁻¹⁰ the first number is a "
        "straight line and the second is 1; below, the first stays at -1 and the second falls to "
        "0. Right, around zero: both are continuous, with kinks at ± 4.5 · 10⁻⁵.",
    )


def horizons(rates: Tensor, ends: dict[int, Tensor], best: dict[int, float]) -> Figure:
    """Draw the loss after each of three horizons T, a share of the first, against a fixed rate."""
    figure, axes = subplots()
    for colour, (horizon, values) in zip(shades(len(ends)), ends.items(), strict=True):
        label = "1 step" if horizon == 1 else f"{horizon} steps"
        axes.plot(rates, values.clamp(max=1e3), color=colour, label=label)
        lowest = values[(rates - best[horizon]).abs().argmin()]
        axes.plot(best[horizon], lowest, "o", color=colour)
    axes.set(
        xlabel="rate α", ylabel="loss after T steps / first loss", yscale="log", ylim=(1e-4, 3)
    )
    axes.legend(title="horizon T")
    told = ", ".join(f"{rate:.4f} for {horizon}" for horizon, rate in best.items())
    return describe(
        figure, f"Loss after T steps against the rate; the best rate moves right with T: {told}."
    )


def learned_rates(runs: dict[str, list[float]], best: float) -> Figure:
    """Draw a rate over the iterations of its meta-trainings."""
    figure, axes = subplots(figsize=(7, 3.2))
    colours = (BLUE, PURPLE, ORANGE, GREEN)  # the first with second derivatives, then without
    for colour, (label, rates) in zip(colours, runs.items(), strict=False):
        axes.plot(rates, color=colour, label=label)
    axes.axhline(best, color=BLACK, linestyle=":", label="best rate")
    axes.set(xlabel="meta-iteration", ylabel="rate α")
    axes.legend()
    ends = ", ".join(f"{label}: {rates[-1]:.3f}" for label, rates in runs.items())
    start = next(iter(runs.values()))[0]
    return describe(figure, f"A rate that is learned from the start {start:g}. At the end: {ends}.")


def learned_gates(before: dict[str, Tensor], after: dict[str, Tensor]) -> Figure:
    """Draw the gates by step; each entry "input" or "forget" is (steps, coordinates)."""
    figure, panels = subplots(1, 2, figsize=(7, 3.2))
    told = []
    for axes, name, title in zip(
        panels, ("input", "forget"), ("input gate i: the rate", "1 - forget gate: the decay"),
        strict=True,
    ):  # fmt: skip
        for values, colour, label in (
            (before[name], BLACK, "before"),
            (after[name], BLUE, "after"),
        ):
            values = values if name == "input" else 1 - values
            low, middle, high = values.quantile(torch.tensor([0.05, 0.5, 0.95]).to(values), dim=1)
            steps = range(1, len(middle) + 1)
            axes.plot(steps, middle.cpu(), "o-", color=colour, label=f"{label} meta-training")
            axes.fill_between(steps, low.cpu(), high.cpu(), color=colour, alpha=0.2, linewidth=0)
            told.append(f"{title} {label} {middle[0]:.2g} to {middle[-1]:.2g}")
        axes.set(xlabel="step", title=title, xticks=list(steps))
    panels[0].set_ylim(-0.03, 1.03)
    panels[1].set_yscale("log")
    panels[0].legend(loc="center right")
    return describe(figure, "Gates by step, median of all weights: " + "; ".join(told) + ".")
