"""The figure of shots and ways shows what its learners answered."""

import re

import pytest
import torch
from browser import put, show_figure

from meta_lib.moving.shots_ways import ShotsWays
from meta_lib.tasks.episodes import sample_episodes
from meta_lib.tasks.glyphs import glyphs


@pytest.fixture
def widget(generator):
    images, drawn = glyphs(12, 8, size=6), {}

    def sample(ways, shots):
        drawn[ways, shots] = sample_episodes(images, 9, ways, shots, 3, generator)
        return drawn[ways, shots]

    learners = {
        "first": lambda tasks: torch.zeros_like(tasks.query_y),
        "odd": lambda tasks: torch.where(tasks.query_x.mean((2, 3, 4)) > 0.2, tasks.query_y, 0),
        "three": lambda tasks: tasks.query_y,
    }
    figure = ShotsWays(learners, sample, [3, 10], [1, 4], {"three": 3}, ways=3)
    return figure, learners, drawn


@pytest.mark.parametrize("kind", [(3, 1), (3, 4), (10, 1)])
def test_the_read_out_is_what_was_answered(tab, widget, kind):
    figure, learners, drawn = widget
    shown, tasks = show_figure(tab, figure), drawn[kind]
    said = put(shown, ways=kind[0], shots=kind[1], learner="odd")
    read = learners["odd"](tasks)
    right = 100 * (read == tasks.query_y).double().mean(dim=1)
    mean, interval = re.search(r"([\d.]+) ± ([\d.]+) % over 9 episodes", said).groups()
    assert float(mean) == pytest.approx(right.mean().item(), abs=0.06)
    assert float(interval) == pytest.approx(1.96 * right.std().item() / 3, abs=0.06)
    wrong = (read[0] != tasks.query_y[0]).unflatten(0, (kind[0], 3))[:, :2].sum().item()
    assert f"it misreads {wrong}." in said
    assert shown.locator("text.wrong").count() == wrong
    assert shown.locator("image").count() == 3 * kind[0]


def test_a_learner_is_not_asked_what_it_was_not_trained_for(tab, widget):
    said = put(show_figure(tab, widget[0]), ways=10, learner="three")
    assert "has not been trained for 10 ways" in said


def test_a_cell_is_chosen_by_a_click(tab, widget):
    figure = show_figure(tab, widget[0])
    figure.locator(".cell").nth(3).click()
    assert figure.evaluate("(at) => [at.model.get('ways'), at.model.get('shots')]") == [10, 4]


def test_the_pictures_are_the_episodes(widget):
    figure, _, drawn = widget
    place = figure.pictures[1] * 36
    shown = torch.frombuffer(bytearray(figure.images[place : place + 36]), dtype=torch.uint8)
    wanted = drawn[3, 4].support_x[0, 0].flatten()
    torch.testing.assert_close(shown.double() / 255, wanted, atol=0.04, rtol=0)
