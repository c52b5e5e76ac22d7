"""How good is a learner? Accuracies over many episodes, with an interval that says how sure.

Explained in part 1, "The limits of machine learning", section "The first limit: labels", and in
part 5, "Few-shot character recognition", section "What is measured, and how sure it is".
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
from scipy.special import betaincinv, stdtrit
from torch import Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.episodes import Episode

FEWEST_TRAININGS = 5
"""A verdict rests on so many trainings at least, each with a seed of its own."""


_Setting = TypeVar("_Setting", float, tuple[float, int])


class Estimate(NamedTuple):
    """A mean and the half-width of its 95 % confidence interval, in the measured unit."""

    mean: float
    interval: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.interval:.3f}"

    def percent(self) -> str:
        """Return the estimate of a share as text in per cent, "97.3 ± 0.4 %"."""
        return f"{100 * self.mean:.1f} ± {100 * self.interval:.1f} %"


def estimate(values: Sequence[float] | Tensor) -> Estimate:
    """Return the mean and 1.96 standard errors, the normal 95 % interval of the mean.

    Raises ValueError for fewer than 2 values: one value says nothing about its spread.
    """
    values = torch.as_tensor(values, dtype=torch.float64).reshape(-1)
    if len(values) < 2:
        raise ValueError(f"values must hold at least 2 numbers, but held {len(values)}")
    return Estimate(
        values.mean().item(), 1.96 * values.std(correction=1).item() / math.sqrt(len(values))
    )


def share(count: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, `count` of `trials`, as the numbers it reaches from and
    to.

    For the smallest share at least as many are as likely as 2.5 %, for the largest at most as many
    (Clopper & Pearson 1934, https://doi.org/10.1093/biomet/26.4.404). So it holds for few trials,
    too, and stays between 0 and 1; but the trials must be independent. Part 5, "How far from the
    papers", section "How sure is a share of few trials?".

    Raises TypeError or ValueError unless `trials` is at least 1, and `count` from 0 to `trials`.
    """
    checks.whole_number("trials", trials)
    checks.whole_number("count", count, at_least=0)
    checks.whole_number("trials less count", trials - count, at_least=0)
    low = betaincinv(count, trials - count + 1, 0.025) if count else 0.0
    high = betaincinv(count + 1, trials - count, 0.975) if count < trials else 1.0
    return float(low), float(high)


def over_trainings(values: Sequence[float] | Tensor) -> Estimate:
    """Return the mean over a few trainings (trainings,) and its 95 % interval by Student's t.

    With five values the spread itself is uncertain, and the interval 2.78 standard errors wide on
    either side, in the place of 1.96. Raises ValueError for fewer than 2 values, as `estimate`.
    """
    mean, normal = estimate(values)
    return Estimate(mean, normal / 1.96 * float(stdtrit(len(values) - 1, 0.975)))


def verdict(sentence: str, gains: Sequence[float] | Tensor, unit: str = "") -> str:
    """Return whether a sentence holds, as one line of text: `make seeds` looks for such lines.

    `gains` (trainings,) says for each training by how much the sentence is true: a difference
    between two things tried on the same task, larger than 0 where it holds. It is held if the 95 %
    interval of the mean gain lies above 0. Raises ValueError for fewer than 5 trainings.
    """
    checks.whole_number("the number of trainings", len(gains), at_least=FEWEST_TRAININGS)
    mean, interval = over_trainings(gains)
    held = "Held" if mean - interval > 0 else "NOT HELD"
    decimals = max(0, 1 - math.floor(math.log10(interval))) if interval else 1
    by = f"{mean:.{decimals}f} ± {interval:.{decimals}f} {unit}".strip()
    return f"{held} over {len(gains)} trainings: {sentence}, by {by}"


def choose(errors: Mapping[_Setting, float], slack: float = 0.0) -> _Setting:
    """Return the setting with the least error, unless it lies at the edge of what was tried.

    A setting is a rate, or a pair of a rate and a number of steps. Then the fewest steps that come
    within `slack` of the least error are taken, because after enough steps more change nothing. An
    error that is not a number counts as the largest.

    Raises ValueError if the rate is the smallest or the largest tried, or the steps are the most:
    beyond them a better setting may lie.
    """

    def parts(setting: _Setting) -> tuple[float, int]:
        return setting if isinstance(setting, tuple) else (setting, 0)

    known = {each: math.inf if math.isnan(error) else error for each, error in errors.items()}
    least = min(known.values())
    good = [each for each, error in known.items() if error <= least + slack]
    chosen = min(good, key=lambda each: (parts(each)[1], known[each]))
    rates, counts = (sorted({parts(each)[axis] for each in known}) for axis in (0, 1))
    rate, count = parts(chosen)
    if rate in (rates[0], rates[-1]) or (len(counts) > 1 and count == counts[-1]):
        raise ValueError(f"the best setting, {chosen}, lies at the edge of the grid: widen it")
    return chosen


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the share of labels (n,) that were predicted, as a number: a GPU is waited for.

    Raises ValueError if shapes differ.
    """
    if predicted.shape != labels.shape:
        raise ValueError(
            f"predicted must have the shape of labels, {tuple(labels.shape)}, "
            f"but had {tuple(predicted.shape)}"
        )
    return (predicted == labels).double().mean().item()


def accuracies(classify: Callable[[Episode], Tensor], episodes: Iterable[Episode]) -> list[float]:
    """Return the query accuracy of each episode; `classify` goes from an episode to labels."""
    return [accuracy(classify(episode), episode.query_y) for episode in episodes]
