"""What readers are told about their answers."""

import pytest
import torch

from meta_lib.exercises import check


@pytest.mark.parametrize(
    ("guess", "answer", "said"),
    [
        (None, 2.0, "Not answered yet: put your answer in the place of None."),
        (2.05, 2.0, "Correct."),
        (1.8, 2.0, "Not yet, 1.8 is too small: think."),
        (torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0]), "Not yet, 2.5 is too large: think."),
        (True, True, "Correct."),
        (False, True, "Not yet: think."),
    ],
)
def test_an_answer_is_compared(guess, answer, said, capsys):
    check(guess, answer, "think.", within=0.1)
    assert capsys.readouterr().out == f"{said}\n"


def test_an_answer_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"guess must have shape \(2,\), but had \(3,\)"):
        check(torch.zeros(3), torch.zeros(2), "think.")
