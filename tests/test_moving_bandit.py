"""The figure of the bandit plays as `recurrent_policy` and `tasks.bandits` do."""

import re

import pytest
import torch
from browser import call, put, show_figure

from meta_lib.evaluation import estimate
from meta_lib.moving.bandit import Bandit
from meta_lib.recurrent_policy import RecurrentPolicy, play
from meta_lib.tasks import bandits

GAMES = 2000
RULES = {
    "greedy": bandits.epsilon_greedy(0.2),
    "thompson": bandits.thompson(),
    "ucb1": bandits.ucb(2**0.5),
    "tuned": bandits.ucb(0.3),
}


@pytest.fixture
def policy():
    made = RecurrentPolicy(3, hidden=32)
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(2)  # so that the chances are far from alike
            weight.copy_(weight.float())
    return made


@pytest.fixture
def figure(tab, policy):
    return show_figure(tab, Bandit(policy, c=0.3))


def complete(tab):
    tab.wait_for_function(
        "document.querySelector('.moving-stage').textContent.includes('400 of 400 games')"
    )
    tab.wait_for_timeout(100)
    return tab.locator(".moving-readout").text_content()


def test_the_policy_is_that_of_the_library(figure, policy, generator):
    numbers = torch.cat([weight.flatten() for weight in policy.parameters()]).tolist()
    for case in range(100):
        arms = torch.randint(3, (case % 40,), generator=generator).tolist()
        pay = torch.randint(2, (case % 40,), generator=generator).tolist()
        shown = call(figure, "recall", numbers, 32, list(zip(arms, pay, strict=True)))
        memory, seen = torch.zeros(1, 32), torch.zeros(1, 4)
        for arm, reward in [*zip(arms, pay, strict=True), (None, None)]:
            log_chances, memory = policy(seen, memory)
            if arm is not None:
                seen = torch.tensor([[*(float(a == arm) for a in range(3)), float(reward)]])
        for ours, theirs in (("memory", memory), ("chances", log_chances.exp())):
            torch.testing.assert_close(
                torch.tensor(shown[ours])[None], theirs.detach(), rtol=1e-10, atol=1e-12
            )


def tallied(figure, agent, mu, rounds, hidden, numbers):
    """Let the page's functions play, and return the means and half intervals of its last round."""
    sums = figure.evaluate(
        """(at, [agent, mu, rounds, hidden, numbers, games]) => {
            const policy = at.module.policyOf(numbers, hidden);
            return at.module.tally(agent, { mu, rounds, epsilon: 0.2, c: 0.3, policy }, 0, games);
        }""",
        [agent, mu, rounds, hidden, numbers, GAMES],
    )
    assert sums["games"] == GAMES
    means = {of: sums[of][-1] / GAMES for of in ("regret", "reward")}
    return means, {of: (sums[f"{of}2"][-1] / GAMES - means[of] ** 2) for of in means}


@pytest.mark.parametrize("agent", ["learned", *RULES])
@pytest.mark.parametrize(("mu", "rounds"), [([0.7, 0.5, 0.3], 30), ([0.1, 0.85, 0.9], 50)])
def test_averages_are_those_of_the_library_within_their_errors(figure, policy, agent, mu, rounds):
    seeded = torch.Generator().manual_seed
    machines = torch.tensor(mu)[torch.rand(4000, 3, generator=seeded(1)).argsort(dim=1)]
    chances = machines.expand(rounds, -1, -1)
    with torch.no_grad():
        arms = (
            play(policy, bandits.Bandits(chances), rounds, seeded(2)).actions
            if agent == "learned"
            else bandits.play(RULES[agent], chances, seeded(2))[0]
        )
    numbers = torch.cat([weight.flatten() for weight in policy.parameters()]).tolist()
    means, spreads = tallied(figure, agent, mu, rounds, 32, numbers)
    regret = bandits.regret(chances, arms)[:, -1]
    error = (spreads["regret"] / GAMES + regret.var().item() / 4000) ** 0.5
    assert abs(means["regret"] - regret.mean().item()) < 3.5 * error
    # A win is worth its chance on average: so the two read-outs must fit each other.
    expected = max(mu) - means["regret"] / rounds
    assert abs(means["reward"] - expected) < 3.5 * (0.25 / rounds / GAMES) ** 0.5


def test_the_games_grow_until_they_are_complete(tab, figure):
    said = complete(tab)
    assert "After 30 rounds, 400 games: regret learned policy" in said
    put(figure, epsilon=0.9)
    wilder = complete(tab)
    regrets = [float(re.search(r"ε-greedy (\S+) ±", text)[1]) for text in (said, wilder)]
    assert regrets[1] > 1.4 * regrets[0]
    # What did not change is not played again.
    assert said.split("learned policy ")[1][:10] == wilder.split("learned policy ")[1][:10]


def test_each_choice_is_seen(tab, figure):
    complete(tab)
    said = {put(figure)}
    for name, value in (("measure", "reward"), ("rival", "ucb1"), ("game", 7), ("moment", 9)):
        changed = put(figure, **{name: value})
        assert changed not in said, name
        said.add(changed)
    put(figure, rounds=5, mu1=0.9)
    assert "After 5 rounds" in complete(tab) and "up to round 5" in complete(tab)
    shown = tab.locator("input[name=moment]")
    assert shown.get_attribute("aria-valuetext") == "up to round = 5"
    assert shown.get_attribute("max") == "5"


@pytest.mark.parametrize(
    "values",
    [
        {"mu1": 0, "mu2": 0, "mu3": 0, "epsilon": 0},
        {"mu1": 1, "mu2": 1, "mu3": 1, "epsilon": 1, "rounds": 100, "moment": 0},
        {"rounds": 5, "moment": 100, "game": 40, "measure": "reward"},
        {"rounds": 0, "moment": -1, "mu1": 7, "mu2": -7},
    ],
)
def test_the_ends_are_sound(tab, figure, values):
    put(figure, **values)
    assert "NaN" not in complete(tab) and "undefined" not in complete(tab)


@pytest.mark.parametrize(
    "wild", ["mu1=1e9", "rounds=1e9", "moment=2.5", "measure=%22x%22", "rival=0"]
)
def test_a_wild_address_starts_a_sound_figure(tab, policy, wild):
    show_figure(tab, Bandit(policy, c=0.3), f"?bandit.{wild}")
    assert re.search(r"400 games: regret learned policy \d", complete(tab))


def test_the_still_picture_says_nothing_of_one_training(policy):
    words = Bandit(policy, c=0.3).still().get_label()
    other = Bandit(RecurrentPolicy(3, hidden=8), c=0.3).still().get_label()
    assert words == other and "learned policy" in words


def test_intervals_are_those_of_the_library(tab, figure, policy):
    """A read-out's ± is `evaluation.estimate` of the same games."""
    said = complete(tab)
    numbers = torch.cat([weight.flatten() for weight in policy.parameters()]).tolist()
    ends = figure.evaluate(
        """(at, [mu, numbers]) => {
            const policy = at.module.policyOf(numbers, 32), setting = { mu, rounds: 30, policy };
            return Array.from({ length: 400 }, (_, game) => at.module.play("learned", setting, game)
                .reduce((sum, { arm }) => sum + 0.7 - mu[arm], 0));
        }""",
        [[0.7, 0.5, 0.3], numbers],
    )
    found = estimate(torch.tensor(ends))
    assert f"regret learned policy {found.mean:.2f} ± {found.interval:.2f}" in said
