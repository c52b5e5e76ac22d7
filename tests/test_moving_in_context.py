"""The figure's attention is gradient descent, and both are numpy's."""

import numpy as np
import pytest
from browser import call, put, show_figure

from meta_lib.moving.in_context import InContext


@pytest.fixture
def figure(tab):
    return show_figure(tab, InContext())


def cases(count=100):
    dice = np.random.default_rng(0)
    for _ in range(count):
        points = int(dice.integers(2, 8))
        yield (
            dice.uniform(-2, 2, points).tolist(),
            dice.uniform(-3, 3, points).tolist(),
            float(dice.uniform(0.05, 0.5)),
            int(dice.integers(1, 21)),
            float(dice.uniform(-2, 2)),
        )


def test_layers_are_steps(figure):
    for xs, ys, alpha, layers, x in cases():
        widget = InContext(xs=xs, ys=ys, alpha=alpha, layers=layers)
        expected = widget.theta() @ [1, x]
        assert call(figure, "attend", xs, ys, alpha, layers, x) == pytest.approx(expected, rel=1e-9)
        theta = call(figure, "descend", xs, ys, alpha, layers)
        assert theta == pytest.approx(widget.theta().tolist(), rel=1e-9)


def test_the_answer_is_a_weighted_sum(figure):
    for xs, ys, alpha, layers, x in cases(20):
        weights = call(figure, "weightsOf", xs, alpha, layers, x)
        answer = call(figure, "attend", xs, ys, alpha, layers, x)
        assert np.dot(weights, ys) == pytest.approx(answer, rel=1e-9)


def test_least_squares_is_numpys(figure):
    for xs, ys, *_ in cases(20):
        height, slope = call(figure, "leastSquares", xs, ys)
        assert [slope, height] == pytest.approx(np.polyfit(xs, ys, 1).tolist(), rel=1e-6)
    assert call(figure, "leastSquares", [1.0, 1.0], [0.0, 2.0]) is None


def test_the_readout_reacts(figure):
    one, many = (put(figure, layers=layers, alpha=0.4) for layers in (1, 20))
    assert one != many and "1 layer of attention" in one and "20 layers" in many
    assert "diverged" in put(figure, layers=20, alpha=1.5, xs=[-2, 2, 2], ys=[1, 2, 3])
    assert "not determined" in put(figure, xs=[1, 1], ys=[1, 2], layers=2, alpha=0.1)


@pytest.mark.parametrize(
    "address", [f"in_context.{wild}" for wild in ("alpha=99", "layers=x", "xs=1", "query=9")]
)  # fmt: skip
def test_a_wild_address_starts_a_sound_figure(tab, address):
    said = show_figure(tab, InContext(), f"?{address}").locator(".moving-readout").text_content()
    assert "of attention:" in said and "NaN" not in said


def test_the_still_picture_is_of_the_start():
    assert "4 points and the line of 1 layer, α = 0.4" in InContext().still().get_label()
