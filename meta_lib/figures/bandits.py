"""The pictures of part 2, "Meta-learning and reinforcement learning"."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
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
from meta_lib.tasks.grids import SIDE, START, Grids

ARM_COLOURS = (SKY, ORANGE, PURPLE)
LINES = {
    "learned policy": (BLUE, "-"),
    "UCB, tuned": (GREEN, "--"),
    "UCB, tuned c": (GREEN, "--"),
    "UCB1": (RED, "-"),
    "Thompson sampling": (ORANGE, "-"),
    "Thompson, tuned": (ORANGE, "--"),
    "greedy": (PURPLE, "-"),
    "optimistic, tuned": (PURPLE, "--"),
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


def race(regrets: dict[str, Tensor], policies: Sequence[Tensor] = (), title: str = "") -> Figure:
    """Draw the mean regret by round with its 95 % interval; each is (bandits, rounds).

    `policies` are those of several trainings, a thin line each.
    """
    figure, axes = subplots(figsize=(7, 4))
    ends = {}

    def line(name: str, lost: Tensor, **how: Any) -> np.ndarray:
        mean, (colour, style) = lost.cpu().numpy().mean(axis=0), LINES.get(name, (SKY, "-"))
        axes.plot(np.arange(1, len(mean) + 1), mean, style, color=colour, **how)
        return mean

    for i, lost in enumerate(policies):
        line("learned policy", lost, label="" if i else "learned policy", lw=1)
        ends["learned policy"] = np.mean([each[:, -1].mean().item() for each in policies])
    for name, lost in regrets.items():
        mean = line(name, lost, label=name)
        half = 1.96 * lost.cpu().numpy().std(axis=0, ddof=1) / np.sqrt(len(lost))
        colour, x = LINES.get(name, (SKY, "-"))[0], np.arange(1, len(mean) + 1)
        axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, lw=0)
        ends[name] = mean[-1]
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: -ends[labels[i]])
    named = [f"{labels[i]}  {ends[labels[i]]:.2f}" for i in order]
    axes.legend([handles[i] for i in order], named, frameon=False)
    axes.set(xlabel="round", ylabel="regret so far, in wins", ylim=(0, None), title=title)
    said = ", ".join(f"{labels[i]} {ends[labels[i]]:.2f}" for i in order)
    of = f"; the learned policy's is a line for each of {len(policies)} trainings" * bool(policies)
    return describe(
        figure,
        f"Mean regret over {len(lost)} bandits, by round, with bands of 95 %{of}. "
        f"After {lost.shape[1]} rounds: {said}.",
    )


def one_bandit(regrets: dict[str, Tensor], mu: Sequence[float], epsilon: float) -> Figure:
    """Draw the mean regret by round on copies of one bandit; each is (copies, rounds).

    The words name nothing that hangs on one training of the policy.
    """
    chances = f"{', '.join(f'{m:.2f}' for m in mu[:-1])} and {mu[-1]:.2f}"
    figure = race(regrets, title=f"chances {chances}, ε = {epsilon:.2f}")
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

    `played` is name: (arms, rewards), each (bandits, rounds), or several such games one after
    another; `best` is the best arm, (bandits,).
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
            (arms == np.tile(best.cpu(), len(arms) // len(best))[:, None]).mean(0),
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


def walks(goal: Tensor, actions: Tensor, rewards: Tensor, episodes: Sequence[int]) -> Figure:
    """Draw the ways to the goal in some `episodes`, counted from 1; all else is of one task.

    `goal` is its cell, (1,); `actions` and `rewards` are (rounds,).
    """
    world, ways = Grids(goal), [[START]]
    for action, reward in zip(actions, rewards, strict=True):
        world.act(action[None], torch.Generator())
        ways[-1].append(int(goal if reward else world.cell))
        if reward:
            ways.append([START])
    figure, grid = subplots(1, len(episodes), figsize=(7, 2.6))
    said = []
    for axes, number in zip(grid, episodes, strict=True):
        way = np.array(ways[number - 1])
        x, y = way % SIDE, way // SIDE
        steps = len(way) - 1
        # Each step a little beside the last, so that a cell crossed twice is seen twice.
        aside = np.linspace(-0.22, 0.22, len(way)) if steps > 8 else np.zeros(len(way))
        axes.plot(x + aside, y + aside, color=BLUE, lw=1.6)
        axes.plot(x[0] + aside[0], y[0] + aside[0], "o", color=BLUE, markersize=7)
        axes.plot(goal.item() % SIDE, goal.item() // SIDE, "*", color=ORANGE, markersize=15)
        axes.set(xticks=np.arange(SIDE + 1) - 0.5, yticks=np.arange(SIDE + 1) - 0.5, aspect="equal")
        axes.set(xlim=(-0.5, SIDE - 0.5), ylim=(SIDE - 0.5, -0.5), xticklabels=[], yticklabels=[])
        axes.tick_params(length=0)
        axes.set_title(f"episode {number}: {steps} steps", fontsize=10)
        said.append(f"in episode {number} it takes {steps} steps")
    return describe(
        figure,
        f"The way of a policy over {SIDE} × {SIDE} cells from the middle to a goal in row "
        f"{goal.item() // SIDE + 1}, column {goal.item() % SIDE + 1}: {', '.join(said)}.",
    )
