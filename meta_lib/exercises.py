"""Tell readers how their answer compares: part 1, "The limits of machine learning", section
"Exercises", and the exercises of the other chapters.
"""

import torch
from torch import Tensor

from meta_lib.machinery import checks

Answer = bool | float | Tensor


def check(guess: Answer | None, answer: Answer, hint: str, within: float = 0.0) -> None:
    """Print whether a guess lies within `within` of the answer; if not, on which side, and a hint.

    The answer is measured, or found in another way than the one asked for, so that it may stand in
    the exercise's cell. A tensor is compared number by number, and its worst one is named. The
    guess is None until the reader has one.

    Raises ValueError unless the guess has the shape of the answer.
    """
    if guess is None:
        print("Not answered yet: put your answer in the place of None.")
        return
    yours, wanted = (torch.as_tensor(each, dtype=torch.float64) for each in (guess, answer))
    checks.shape("guess", yours, str(tuple(wanted.shape)), yours.shape == wanted.shape)
    off = (yours - wanted).flatten()
    worst = off.abs().argmax()
    if off[worst].abs() <= within:
        print("Correct.")
    elif isinstance(answer, bool):
        print(f"Not yet: {hint}")
    else:
        side = "large" if off[worst] > 0 else "small"
        print(f"Not yet, {yours.flatten()[worst]:g} is too {side}: {hint}")
