"""The pictures of "The LSTM's update rule"."""

import torch
from matplotlib.figure import Figure

from meta_lib.figures import BLUE, GREEN, ORANGE, RED, describe, subplots
from meta_lib.lstm_optimizer import gated_update, preprocess


def gated_path(input_gate: float, forget_gate: float, steps: int = 25, curvature: float = 1.0):
    """Return θ after 0, 1, … `steps` gated updates on L(θ) = ½ a (θ - 1)², from θ = -2."""
    theta, path = torch.tensor(-2.0), []
    i, f = torch.tensor(input_gate), torch.tensor(forget_gate)
    for _ in range(steps + 1):
        path.append(theta.item())
        theta = gated_update(theta, curvature * (theta - 1), i, f)
    return path


def gates_on_a_parabola(input_gate: float, forget_gate: float, curvature: float = 1.0) -> Figure:
    """Draw the path of the gated update beside plain gradient descent, and where it ends."""
    path = gated_path(input_gate, forget_gate, curvature=curvature)
    plain = gated_path(input_gate, 1.0, curvature=curvature)
    rest = input_gate * curvature / (1 - forget_gate + input_gate * curvature)
    figure, axes = subplots(figsize=(7, 3.4))
    axes.axhline(1, color="grey", linewidth=0.8, linestyle=":")
    axes.text(25, 1, " lowest point", color="grey", va="bottom", ha="right")
    axes.plot(plain, "o-", color=BLUE, markersize=3, label="f = 1: gradient descent")
    axes.plot(path, "o-", color=RED, markersize=3, label=f"f = {forget_gate:.2f}")
    lowest, highest = -3.0, 3.0
    axes.set(xlabel="step t", ylabel="θ", ylim=(lowest, highest))
    axes.legend()
    factor = forget_gate - input_gate * curvature
    if abs(factor) < 1:
        axes.axhline(rest, color=RED, linewidth=0.8, linestyle="--")
        end = f"it comes to rest at {rest:.2f}, between 0 and the lowest point"
    else:
        end = f"it does not come to rest, since |f - i·a| = {abs(factor):.2f} is not below 1"
    axes.set_title(f"i = {input_gate:.2f}, f = {forget_gate:.2f}, curvature a = {curvature:g}")
    return describe(
        figure,
        f"Path of the gated update on a parabola with its lowest point at 1, from -2, with input "
        f"gate {input_gate:.2f} and forget gate {forget_gate:.2f}: {end}.",
    )


def cell() -> Figure:
    """Draw the idea: the LSTM's cell state is the parameter, its gates a rate and a decay."""
    figure, axes = subplots(figsize=(7, 2.7))
    axes.set(xlim=(0, 10), ylim=(0, 4), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    arrow = {"arrowstyle": "-|>", "lw": 2}
    axes.annotate("", (9.6, 2.8), (0.9, 2.8), arrowprops={**arrow, "color": "black"})
    axes.text(0.1, 2.8, "$c_{t-1}$\n= $θ_{t-1}$", va="center", fontsize=11)
    axes.text(9.65, 2.8, "$c_t$ = $θ_t$", va="center", fontsize=11)
    for x, sign, label, colour in (
        (3.4, "×", "forget gate $f_t$:\nhow much of θ stays", GREEN),
        (6.6, "+", "", BLUE),
    ):
        axes.plot(x, 2.8, "o", markersize=20, color="white", markeredgecolor="black")
        axes.text(x, 2.78, sign, ha="center", va="center", fontsize=15)
        axes.text(x, 3.5, label, ha="center", va="center", color=colour)
    axes.annotate("", (6.6, 2.45), (6.6, 1.2), arrowprops={**arrow, "color": BLUE})
    axes.text(
        6.6,
        0.75,
        "input gate $i_t$ × $(-∇L)$:\na step with rate $i_t$",
        ha="center",
        va="center",
        color=BLUE,
    )
    axes.annotate("", (3.4, 2.45), (3.4, 1.4), arrowprops={**arrow, "color": ORANGE})
    axes.text(
        3.4,
        0.85,
        "gates look at the gradient,\nthe loss, θ, and their last value",
        ha="center",
        va="center",
        color=ORANGE,
    )
    return describe(
        figure,
        "The cell of an LSTM read as an optimizer: the old parameter is multiplied by the forget "
        "gate, and a step against the gradient, multiplied by the input gate, is added to it.",
    )


def preprocessing() -> Figure:
    """Draw the two numbers that the optimizer sees, over gradients of all sizes."""
    gradient = torch.logspace(-8, 2, 400)
    seen = preprocess(gradient)
    figure, axes = subplots(figsize=(7, 3.2))
    x = gradient.cpu().numpy()
    axes.plot(x, seen[:, 0].cpu().numpy(), color=BLUE, label="first: size")
    axes.plot(x, seen[:, 1].cpu().numpy(), color=RED, label="second: sign")
    axes.axvline(torch.tensor(-10.0).exp().item(), color="grey", linestyle="--", linewidth=0.8)
    axes.text(torch.tensor(-10.0).exp().item(), -0.5, " |g| = e⁻¹⁰", color="grey")
    axes.set(xscale="log", xlabel="gradient g", ylabel="what the optimizer sees")
    axes.legend()
    return describe(
        figure,
        "What the optimizer sees of a positive gradient from 1e-8 to 100. The first number is -1 "
        "up to e to the -10 and climbs with the logarithm from there; the second climbs to 1 "
        "there and stays.",
    )


def best_rates(horizons: list[int], rates: list[float], limit: float) -> Figure:
    """Draw the learning rate that is best for each horizon."""
    figure, axes = subplots(figsize=(6, 3.2))
    axes.plot(horizons, rates, "o-", color=BLUE)
    axes.axhline(limit, color="grey", linestyle="--", linewidth=0.8)
    axes.text(horizons[0], limit, "limit of stability, 2 / a", color="grey", va="bottom")
    axes.set(xscale="log", xlabel="horizon T, steps", ylabel="best learning rate α", ylim=(0, 2.3))
    return describe(
        figure,
        f"The best learning rate by horizon: {rates[0]:.3f} for {horizons[0]} step, "
        f"{rates[-1]:.3f} for {horizons[-1]} steps. The limit of stability is {limit:.3f}.",
    )
