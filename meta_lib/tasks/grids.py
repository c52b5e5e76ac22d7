"""Grids with a hidden goal: a small problem with a state, where what is done decides what is seen.

One stands in the middle of 5 × 5 cells and moves by one cell a step. Who comes upon the goal gets
a reward of 1 and stands in the middle again; the goal stays where it is. So finding it is
exploration, and going straight back is what was learned. Used in part 2, "Meta-learning and
reinforcement learning".
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import placed, uniform

SIDE = 5
START = SIDE * SIDE // 2
"""The cell in the middle; cells are counted row by row from the upper left."""
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Rows and columns that the actions up, right, down and left move by."""


def sample_goals(tasks: int, generator: Generator) -> Tensor:
    """Draw the goal of each task, any cell but the start, (tasks,).

    Raises TypeError or ValueError unless `tasks` is at least 1.
    """
    checks.whole_number("tasks", tasks)
    drawn = uniform(tasks, generator=generator, high=SIDE * SIDE - 1).long()
    return drawn + (drawn >= START)


def distance(goals: Tensor) -> Tensor:
    """Return the number of steps from the start straight to each goal."""
    middle = SIDE // 2
    return (goals // SIDE - middle).abs() + (goals % SIDE - middle).abs()


class Grids:
    """Many grids with one goal each, (tasks,), in the middle of being walked on.

    `cell` is where one stands in each, (tasks,).
    """

    def __init__(self, goals: Tensor):
        self.goals, self.cell = goals, torch.full_like(goals, START)

    @property
    def seen(self) -> Tensor:
        """Return where one stands, as one-hot vectors (tasks, 25)."""
        return placed(F.one_hot(self.cell, SIDE * SIDE))

    def act(self, action: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Move by one cell, or not where the border is; return the reward, twice."""
        move = torch.tensor(MOVES, device=action.device)[action]
        row = (self.cell // SIDE + move[:, 0]).clamp(0, SIDE - 1)
        column = (self.cell % SIDE + move[:, 1]).clamp(0, SIDE - 1)
        self.cell = row * SIDE + column
        found = self.cell == self.goals
        self.cell = torch.where(found, START, self.cell)
        reward = placed(found)
        return reward, reward
