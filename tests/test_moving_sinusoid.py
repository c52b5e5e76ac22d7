"""The figure of MAML on waves adapts as `maml.adapt` does, and stays whole whatever is chosen."""

import pytest
import torch
import torch.nn.functional as F
from browser import call, put, show_figure

from meta_lib import maml
from meta_lib.moving import sinusoid
from meta_lib.networks import flatten, forward, loss_of, mlp, parameters_of
from meta_lib.tasks.sinusoids import sample_points, sample_waves

BETAS = (0.0003, 0.02, 0.2)


@pytest.fixture(scope="module")
def starts():
    """Start with random weights in place of trained ones: what is shown differs, the code not."""
    torch.manual_seed(0)
    return [parameters_of(mlp(1, 40, 40, 1).double()) for _ in range(8)]


@pytest.fixture
def controls():
    return "alpha", "steps", "shots"


@pytest.fixture
def widget(starts, generator, controls):
    wave = sample_waves(1, generator)
    points = sample_points(wave, 20, 1, generator)
    names = [(beta, order) for beta in BETAS for order in sinusoid.ORDERS]
    curves = [[float(beta + step % 7) for step in range(200)] for beta, _ in names]
    trained = dict(zip(names, zip(starts, curves, strict=False), strict=True))
    return sinusoid.Sinusoid(trained, starts[6], starts[7], wave, points, controls=controls)


@pytest.fixture
def figure(tab, widget):
    return show_figure(tab, widget)


def test_adaptation_is_that_of_the_library(figure, generator):
    network = mlp(1, 40, 40, 1)
    loss, x = loss_of(network, F.mse_loss), torch.linspace(-5, 5, 41)
    for case in range(100):
        torch.manual_seed(case)
        phi = parameters_of(mlp(1, 40, 40, 1))
        phi = {name: weight.float().double() for name, weight in phi.items()}
        alpha = 0.05 * torch.rand(1, generator=generator).item() + 1e-5
        steps, shots = case % 11, 1 + case % 20
        task = sample_points(sample_waves(1, generator), shots, 1, generator)
        support_x, support_y = task.support_x[0], task.support_y[0]
        theta = maml.adapt(loss, phi, support_x, support_y, alpha, steps)
        support = torch.cat([support_x, support_y], dim=1).tolist()
        shown = call(figure, "adapt", flatten(phi).tolist(), support, alpha, steps, x.tolist())
        last = loss(theta, support_x, support_y)
        for ours, theirs in (
            (flatten(theta), shown["theta"]),
            (flatten(theta) - flatten(phi), torch.tensor(shown["theta"]) - flatten(phi)),
            (forward(network, theta, x[:, None])[:, 0], shown["curve"]),
            (last, shown["losses"][-1]),
        ):
            theirs = torch.as_tensor(theirs, dtype=torch.float64)
            torch.testing.assert_close(theirs, ours.detach(), rtol=1e-7, atol=1e-9)


def test_the_read_out_is_that_of_the_library(figure, widget):
    x = torch.linspace(-5, 5, 101)[:, None]
    amplitude, phase = widget.wave
    support = torch.tensor(widget.support)
    theta = maml.adapt(sinusoid.LOSS, widget.phi, support[:, :1], support[:, 1:], 0.003, 7)
    error = F.mse_loss(forward(sinusoid.NETWORK, theta, x), amplitude * torch.sin(x - phase))
    shown = put(figure, alpha=0.003, steps=7).split("MAML ")[1].split(",")[0].split(" → ")[1]
    assert float(shown) == pytest.approx(error.item(), rel=1e-2)


def test_every_control_is_answered(figure, tab):
    seen = put(figure)
    for name, key in (("alpha", "Home"), ("steps", "End"), ("shots", "End")):
        tab.locator(f"input[name={name}]").press(key)
        assert seen != (seen := put(figure)), name
    assert figure.locator(".handle").count() == 20
    tab.locator("button", has_text="New task").click()
    assert seen != (seen := put(figure))
    tab.locator("button", has_text="Reset").click()
    assert put(figure, steps=3) != seen
    assert figure.locator(".handle").count() == 5


@pytest.mark.parametrize("controls", [("beta", "order")])
def test_beta_is_chosen_beside_its_meta_training(figure, tab):
    seen = put(figure)
    assert "pre-trained" not in seen
    tab.locator("input[name=beta]").press("Home")
    assert seen != (seen := put(figure))
    figure.locator("select").select_option(label="first order")
    assert seen != put(figure)
    assert "meta-training, first order" in figure.locator("svg").text_content()
    assert [one.get_attribute("name") for one in tab.locator("input, select").all()] == [
        "beta", "order",
    ]  # fmt: skip


def test_points_are_dragged_moved_and_added(figure, tab):
    seen = put(figure)
    point = figure.locator(".handle").first
    point.press("ArrowUp")
    assert seen != (seen := put(figure))
    box = point.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 40, box["y"] + 60)
    tab.mouse.up()
    assert seen != (seen := put(figure))
    assert figure.locator(".handle").count() == 5
    place = figure.locator(".clicks").bounding_box()
    tab.mouse.click(place["x"] + place["width"] * 0.1, place["y"] + place["height"] * 0.2)
    assert seen != put(figure)
    assert figure.locator(".handle").count() == 6


def test_too_large_a_rate_is_named(figure):
    assert "diverged" not in put(figure, alpha=0.002, steps=5)
    said = put(figure, alpha=20.0, steps=20)
    assert said.startswith("MAML, pre-trained, random start diverged: with α = 20")
    assert said.index("→") < said.index("Mean squared error")


@pytest.mark.parametrize(
    "values",
    [
        {"alpha": 1e300, "steps": 20},
        {"alpha": 0, "steps": -3},
        {"steps": 1e9, "beta": -1, "order": "third"},
        {"support": []},
        {"support": [[1e300, -1e300], ["a", 1], None, [0, 0]], "alpha": 0.1, "steps": 20},
        {"support": {}, "wave": ["x"]},
        {"wave": [1e200, 1e200]},
    ],
)
def test_extremes_do_no_harm(figure, values):
    assert "Mean squared error" in put(figure, **values)
    figure.locator("button", has_text="New task").click()
    assert "Mean squared error" in put(figure, steps=5)


def test_a_reader_may_bring_their_own_start(widget, starts):
    assert torch.allclose(flatten(widget.phi), flatten(starts[2]))
    widget.order = "first"
    assert torch.allclose(flatten(widget.phi), flatten(starts[3]))
    widget.phi = starts[7]
    assert torch.allclose(flatten(widget.phi), flatten(starts[7]))
    widget.beta = 0.2
    assert torch.allclose(flatten(widget.phi), flatten(starts[5]))
    widget.beta = 0.02
    assert torch.allclose(flatten(widget.phi), flatten(starts[7]))


def test_ones_own_start_takes_the_place_of_mamls(tab, widget, starts):
    widget.phi = starts[7]
    said = put(show_figure(tab, widget))
    assert said.split("MAML ")[1].split(",")[0] == said.split("random start ")[1].rstrip(".")
