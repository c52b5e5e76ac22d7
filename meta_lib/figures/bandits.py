"""The pictures of part 2, "Meta-learning and reinforcement learning"."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from meta_lib.figures import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    describe,
    subplots,
)

ARM_COLOURS = (SKY, ORANGE, PURPLE)
LINES = {
    "learned policy": (BLUE, "-"),
    "policy, constant": (BLUE, "-"),
    "policy, changing": (SKY, "-"),
    "UCB, tuned c": (GREEN, "--"),
    "UCB, constant": (GREEN, "--"),
    "UCB, fading": (RED, "--"),
    "UCB1": (RED, "-"),
    "Thompson sampling": (ORANGE, "-"),
    "greedy": (PURPLE, "--"),
    "ε-greedy": (PURPLE, "-."),
    "best possible": (BLACK, ":"),
}


def two_clocks() -> Figure:
    """Draw the loop of acting and reward, and the two speeds at which memory and weights change."""
    figure, (loop, clocks) = subplots(
        1, 2, figsize=(7, 3.4), gridspec_kw={"width_ratios": [1, 2.1]}
    )
    loop.set(xlim=(0, 1), ylim=(0, 1))
    loop.axis("off")
    for height, colour, words in (
        (0.75, BLUE, "policy\nweights φ, memory h"),
        (0.2, ORANGE, "bandit\nhidden chances μ"),
    ):
        box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": colour, "lw": 2}
        loop.text(0.5, height, words, ha="center", va="center", bbox=box)
    arrow = {"arrowstyle": "-|>", "lw": 1.6, "color": BLACK}
    loop.annotate("", (0.25, 0.33), (0.25, 0.61), arrowprops=arrow)
    loop.annotate("", (0.75, 0.61), (0.75, 0.33), arrowprops=arrow)
    loop.text(0.21, 0.47, "arm", ha="right", va="center")
    loop.text(0.79, 0.47, "reward", ha="left", va="center")

    rounds, count = 30, 4
    weights = (0.05, 0.5, 0.78, 0.92)
    for number in range(count):
        x = number * rounds + np.arange(rounds + 1)
        grown = 1 - np.exp(-np.arange(rounds + 1) / 9)
        clocks.fill_between(x[[0, -1]], 0, 2.45, color=BLACK, alpha=0.04 * (1 + number % 2), lw=0)
        clocks.step(x, grown, where="post", color=GREEN, lw=1.8)
        clocks.plot(x[[0, -1]], [1.35 + 0.9 * weights[number]] * 2, color=BLUE, lw=2.5)
        clocks.text(x[15], 2.5, f"bandit {number + 1}", ha="center", va="bottom", fontsize=9)
        if number:
            low, high = (1.35 + 0.9 * w for w in weights[number - 1 : number + 1])
            clocks.plot([x[0]] * 2, [low, high], ":", color=BLUE, lw=1.5)
            clocks.plot([x[0]] * 2, [0, 1 - np.exp(-rounds / 9)], ":", color=GREEN, lw=1.2)
    clocks.set(
        xlabel="round, over four bandits of 30 rounds", xticks=range(0, 121, 30),
        yticks=[0.5, 1.8], ylim=(-0.05, 2.75), xlim=(0, 120),
    )  # fmt: skip
    clocks.set_yticklabels(["memory h", "weights φ"])
    clocks.get_yticklabels()[0].set_color(GREEN)
    clocks.get_yticklabels()[1].set_color(BLUE)
    clocks.grid(False)
    return describe(
        figure,
        "A sketch. Left: the policy, with weights φ and a memory h, sends an arm to the bandit, "
        "and the bandit, whose chances μ are hidden, sends back a reward. Right: four bandits of "
        "30 rounds in a row. The memory changes in every round and starts from nothing with each "
        "new bandit; the weights stay as they are within a bandit and change only between bandits.",
    )


def training(
    losses: Sequence[float], regrets: Sequence[float], best: float, random: float
) -> Figure:
    """Draw the loss, which says little, beside the mean regret of each batch."""
    figure, (left, right) = subplots(1, 2, figsize=(7, 3.2))
    for axes, curve, colour in ((left, losses, BLUE), (right, regrets, GREEN)):
        axes.plot(curve, color=colour, alpha=0.25, lw=0.8)
        mean = np.convolve(curve, np.ones(20) / 20, mode="valid")
        axes.plot(range(19, len(curve)), mean, color=colour)
    last = len(regrets)
    right.axhline(random, color=BLACK, ls=":")
    right.text(last, random, f"random arms, {random:.1f}", ha="right", va="bottom")
    right.axhline(best, color=BLACK, ls="--")
    right.text(last, best - 0.1, f"the best possible, {best:.2f}", ha="right", va="top")
    left.set(xlabel="iteration", ylabel="loss")
    right.set(xlabel="iteration", ylabel="regret after 30 rounds, in wins", ylim=(0, 1.15 * random))
    return describe(
        figure,
        f"Training over {len(losses)} iterations. Left: the loss stays within a narrow band, from "
        f"{losses[0]:.2f} to a mean of {np.mean(losses[-20:]):.2f} over the last 20. Right: the "
        f"regret of the batch falls from {regrets[0]:.1f} to {np.mean(regrets[-20:]):.1f}; random "
        f"arms would have {random:.1f}, and the best possible strategy {best:.2f}.",
    )


def race(regrets: dict[str, Tensor], title: str = "") -> Figure:
    """Draw the mean regret by round with its 95 % interval; each is (bandits, rounds)."""
    figure, axes = subplots(figsize=(7, 4))
    ends = {}
    for name, lost in regrets.items():
        lost = lost.cpu().numpy()
        mean = lost.mean(axis=0)
        half = 1.96 * lost.std(axis=0, ddof=1) / np.sqrt(len(lost))
        x = np.arange(1, len(mean) + 1)
        colour, style = LINES.get(name, (SKY, "-"))
        axes.plot(x, mean, style, color=colour, label=name)
        axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, lw=0)
        ends[name] = mean[-1]
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: -ends[labels[i]])
    named = [f"{labels[i]}  {ends[labels[i]]:.2f}" for i in order]
    axes.legend([handles[i] for i in order], named, frameon=False)
    axes.set(xlabel="round", ylabel="regret so far, in wins", ylim=(0, None), title=title)
    said = ", ".join(f"{labels[i]} {ends[labels[i]]:.2f}" for i in order)
    return describe(
        figure,
        f"Mean regret over {len(lost)} bandits, by round, with bands of 95 %. "
        f"After {len(mean)} rounds: {said}.",
    )


def one_bandit(regrets: dict[str, Tensor], mu: Sequence[float], epsilon: float) -> Figure:
    """Draw the mean regret by round on copies of one bandit; each is (copies, rounds).

    The words name nothing that hangs on one training of the policy.
    """
    chances = f"{', '.join(f'{m:.2f}' for m in mu[:-1])} and {mu[-1]:.2f}"
    figure = race(regrets, f"chances {chances}, ε = {epsilon:.2f}")
    count, rounds = next(iter(regrets.values())).shape
    return describe(
        figure,
        f"Mean regret by round, with bands of 95 %, over {count} games of {rounds} rounds on a "
        f"bandit with the chances {chances}: {', '.join(regrets)}. All curves rise steeply in the "
        "first rounds, in which the arms are tried, and more slowly afterwards.",
    )


def one_game(mu: Tensor, arms: Tensor, rewards: Tensor, log_chances: Tensor) -> Figure:
    """Draw one bandit: the policy's chances of each arm (rounds, arms), its pulls and their pay."""
    mu, arms, rewards = (np.asarray(each.cpu()) for each in (mu, arms, rewards))
    chances = np.exp(np.asarray(log_chances.cpu()))
    rounds = np.arange(1, len(arms) + 1)
    figure, (top, bottom) = subplots(
        2, 1, figsize=(7, 4), sharex=True, gridspec_kw={"height_ratios": [1, 1.8]}
    )
    for arm, colour in enumerate(ARM_COLOURS):
        mine = arms == arm
        won, lost = rounds[mine & (rewards > 0)], rounds[mine & (rewards == 0)]
        top.plot(won, np.full(len(won), arm), "o", color=colour, markersize=7)
        top.plot(
            lost, np.full(len(lost), arm), "o", color=colour, markersize=7,
            markerfacecolor="none", markeredgewidth=1.6,
        )  # fmt: skip
    names = [f"arm {arm + 1}, pays {mu[arm]:.2f}" for arm in range(len(mu))]
    top.set(yticks=range(len(mu)), yticklabels=names, ylim=(len(mu) - 0.5, -0.5))
    top.set_title("filled: it paid; hollow: it did not", fontsize=10)
    bottom.stackplot(rounds, chances.T, colors=ARM_COLOURS, alpha=0.8)
    bottom.set(
        xlabel="round", ylabel="policy's chance\nof each arm", ylim=(0, 1), xlim=(0, len(arms) + 1)
    )
    counts = ", ".join(f"arm {a + 1} {np.sum(arms == a)} times" for a in range(len(mu)))
    return describe(
        figure,
        f"One bandit with chances {', '.join(f'{m:.2f}' for m in mu)} over {len(arms)} rounds. The "
        f"policy pulls {counts} and wins {int(rewards.sum())} times. The shares beneath, the "
        f"policy's chance of each arm before each round, end at "
        f"{', '.join(f'{c:.2f}' for c in chances[-1])}.",
    )


def habits(played: dict[str, tuple[Tensor, Tensor]], best: Tensor) -> Figure:
    """Draw win-stay and lose-shift by round, and how often the best arm is pulled.

    `played` is name: (arms, rewards), each (bandits, rounds); `best` is the best arm, (bandits,).
    """
    figure, grid = subplots(1, 3, figsize=(7, 3.4), sharey=True)
    titles = ("stays after a win", "shifts after a loss", "pulls the best arm")
    ends = []
    for name, (arms, rewards) in played.items():
        arms, won = np.asarray(arms.cpu()), np.asarray(rewards.cpu()) > 0
        stays = arms[:, 1:] == arms[:, :-1]
        won = won[:, :-1]
        curves = (
            (stays & won).sum(0) / won.sum(0),
            (~stays & ~won).sum(0) / (~won).sum(0),
            (arms == np.asarray(best.cpu())[:, None]).mean(0),
        )
        for axes, curve in zip(grid, curves, strict=True):
            first = arms.shape[1] - len(curve) + 1
            colour, style = LINES.get(name, (SKY, "-"))
            x = range(first, arms.shape[1] + 1)
            axes.plot(x, 100 * curve, style, color=colour, label=name, lw=1.6)
        ends.append(
            f"{name} {100 * curves[0].mean():.0f}, {100 * curves[1][0]:.0f} then "
            f"{100 * curves[1][-1]:.0f}, {100 * curves[2][-1]:.0f}"
        )
    for axes, title in zip(grid, titles, strict=True):
        axes.set(xlabel="round", ylim=(0, 103))
        axes.set_title(title, fontsize=10)
    grid[0].set_ylabel("share of choices, %")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncol=len(labels), frameon=False)
    return describe(
        figure,
        "Three panels, by round, in per cent: how often a strategy stays after a win, how often "
        "it shifts after a loss, how often it pulls the best arm. For each: the mean of the first, "
        f"the second in round 2 and in the last round, the third in the last: {'; '.join(ends)}.",
    )


def change(arms: dict[str, Tensor], chances: Tensor, at: int) -> Figure:
    """Draw how often the best arm is pulled, by round, when the chances change after `at` rounds.

    `arms` is name: (bandits, rounds); `chances` is (rounds, bandits, arms).
    """
    best = np.asarray(chances.argmax(dim=2).T.cpu())
    figure, axes = subplots(figsize=(7, 3.8))
    x = np.arange(1, best.shape[1] + 1)
    said = []
    for name, chosen in arms.items():
        share = 100 * (np.asarray(chosen.cpu()) == best).mean(0)
        colour, style = LINES.get(name, (PURPLE, "-"))
        axes.plot(x, share, style, color=colour, label=name)
        said.append(f"{name} {share[at - 1]:.0f}, {share[at]:.0f}, {share[-1]:.0f}")
    axes.axvline(at + 0.5, color=BLACK, ls=":")
    axes.text(at + 0.3, 4, "the chances\nare drawn anew", ha="right", va="bottom", fontsize=9)
    axes.set(xlabel="round", ylabel="pulls of the best arm, %", ylim=(0, 100))
    axes.legend(loc="upper left", ncol=2, fontsize=9, frameon=False)
    return describe(
        figure,
        f"Share of pulls on the arm that is best at the time, by round; all chances are drawn anew "
        f"after round {at}. In per cent in round {at}, in round {at + 1} and in the last: "
        f"{'; '.join(said)}.",
    )
