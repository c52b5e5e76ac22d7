"""The plane of characters, and the pair of part 4, compute what `siamese` does."""

import pytest
import torch
from browser import call, put, show_figure
from torch import nn

from meta_lib import prototypes, siamese
from meta_lib.moving.pair import Pair
from meta_lib.moving.siamese_plane import MEASURES, SiamesePlane
from meta_lib.networks import conv_network
from meta_lib.tasks.episodes import Episode
from meta_lib.tasks.glyphs import glyphs


@pytest.fixture
def characters():
    return glyphs(6, drawers=10, size=12)


def network():
    return conv_network(2, filters=4, blocks=2, running_statistics=True).eval()


@pytest.fixture
def plane(characters):
    networks = {(name, m): network() for name in MEASURES for m in (0.25, 1.0)}
    return SiamesePlane(networks, characters, glyphs(6, drawers=4, size=12, seed=1), second=40)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_pairs_loss_and_gradients_are_those_of_the_library(tab, generator, measure):
    figure = show_figure(tab, Pair())
    seen = set()
    for case in range(100):
        f = 2 * torch.randn(2, 1 + case % 5, generator=generator)
        margin = 0.05 + 3 * torch.rand((), generator=generator).item()
        different = torch.tensor([float(case % 2)])
        f1, f2 = pair = [one[None].requires_grad_() for one in f]
        distance = MEASURES[measure](f1, f2)
        loss = siamese.contrastive_loss(distance, different, margin)
        batch = siamese.Pairs(f1, f2, different)
        assert loss.item() == siamese.pair_loss(
            nn.Identity(), batch, siamese.Contrastive(MEASURES[measure], margin)
        )
        shown = call(figure, "pairOf", *f.tolist(), bool(case % 2), margin, measure)
        slopes = torch.autograd.grad(loss.sum(), pair)
        for ours, theirs in (
            (distance, shown["distance"]),
            (loss, shown["loss"]),
            (torch.cat(slopes), shown["gradients"]),
        ):
            theirs = torch.tensor(theirs, dtype=ours.dtype).reshape(ours.shape)
            torch.testing.assert_close(theirs, ours.detach(), rtol=1e-9, atol=1e-9)
        similarity = call(figure, "cosineSimilarity", *f.tolist())
        assert similarity == pytest.approx(siamese.cosine_similarity(*f).item(), abs=1e-9)
        apart = call(figure, "euclideanDistance", *f.tolist())
        assert apart == pytest.approx(siamese.euclidean_distance(*f).item())
        seen.add(shown["region"])
        assert (shown["region"] == "beyond") == (case % 2 == 1 and distance.item() >= margin)
    assert seen == {"pull", "push", "beyond"}


def test_equal_vectors_and_no_vector_have_no_gradient(tab):
    figure = show_figure(tab, Pair())
    for measure, f1, f2 in (
        ("Euclidean", [1, 1], [1, 1]),
        ("cosine", [1, 1], [2, 2]),
        ("cosine", [0, 0], [1, 0]),
    ):
        shown = call(figure, "pairOf", f1, f2, True, 1.5, measure)
        assert shown["loss"] > 0
        torch.testing.assert_close(torch.tensor(shown["gradients"]) + 0.0, torch.zeros(2, 2))


@pytest.mark.parametrize("measure", MEASURES)
def test_the_answers_are_those_of_the_library(tab, plane, generator, measure):
    figure = show_figure(tab, plane)
    for case in range(100):
        each, ways, shots, support = 10, 2 + case % 5, 1 + case % 4, case % 10
        at = torch.randn(ways, each, 2, generator=generator).float().double()
        order = (torch.arange(each) - support) % each
        y = torch.arange(ways)[:, None].expand(ways, each)
        episode = Episode(
            at[:, order < shots].flatten(0, 1), y[:, order < shots].flatten(),
            at[:, order >= shots].flatten(0, 1), y[:, order >= shots].flatten(),
        )  # fmt: skip
        logits = {
            "Euclidean": prototypes.euclidean_logits,
            "cosine": prototypes.cosine_logits,
        }[measure]
        nearest = siamese.classify(nn.Identity(), episode, MEASURES[measure])
        mean = prototypes.classify(nn.Identity(), episode, logits)
        points = at.flatten(0, 1).tolist()
        for expected, by_mean in ((nearest, False), (mean, True)):
            answers = call(figure, "classify", points, each, ways, shots, support, measure, by_mean)
            asked = torch.tensor(answers).unflatten(0, (ways, each))
            assert (asked[:, order < shots] == -1).all()
            assert asked[:, order >= shots].flatten().tolist() == expected.tolist()
            right = (expected == episode.query_y).double().mean().item()
            assert call(figure, "accuracy", answers, each) == pytest.approx(right)


def test_the_plane_shows_the_networks_own_embedding(tab, plane):
    figure = show_figure(tab, plane)
    said = put(figure, margin=0.2, first=3, second=7)
    one = plane._embedded["Euclidean", 0.25][0]
    D = torch.tensor(one[3] - one[7]).norm().item()
    assert "The same character" in said and f"D = {D:.3g}" in said


def test_each_setting_changes_what_is_said(tab, plane):
    figure = show_figure(tab, plane)
    said = {put(figure)}
    for name, value in (
        ("margin", 3.2), ("measure", "cosine"), ("shots", 4), ("ways", 3),
        ("support", 5), ("first", 3), ("second", 29),
    ):  # fmt: skip
        said.add(put(figure, **{name: value}))
    assert len(said) == 8


def test_beyond_the_margin_nothing_pushes(tab):
    pair = show_figure(tab, Pair())
    assert "pushes them apart" in put(pair)
    assert "no gradient" in put(pair, f1=[-1.5, -1.5])
    assert "pulls them together" in put(pair, different=False)
    assert "turns them together" in put(pair, measure="cosine")
    assert "nowhere to pull" in put(pair, f1=[2.0, 1.0])
    assert "nowhere to push" in put(pair, f1=[1.0, 0.5], different=True, measure="Euclidean")


def test_the_arrow_keys_lead_from_drawing_to_drawing(tab, plane):
    figure = show_figure(tab, plane)
    handle = figure.locator(".handle").first
    places = set()
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown"):
        handle.press(key)
        places.add(figure.evaluate("(at) => at.model.get('first')"))
    assert len(places) > 1
    assert 40 not in places


def test_a_drag_leads_to_the_nearest_drawing(tab, plane):
    figure = show_figure(tab, plane)
    before = figure.evaluate("(at) => at.model.get('second')")
    box = figure.locator(".handle .dot").nth(1).bounding_box()
    tab.mouse.move(box["x"] + 5, box["y"] + 5)
    tab.mouse.down()
    tab.mouse.move(200, 250, steps=5)
    tab.mouse.up()
    assert figure.evaluate("(at) => at.model.get('second')") != before


@pytest.mark.parametrize(
    "address",
    [
        "first=1e300&siamese_plane.second=-7.5&siamese_plane.support=-1e9",
        "margin=1e300&siamese_plane.shots=1000&siamese_plane.ways=-3",
        'measure="nonsense"&siamese_plane.margin=-1',
    ],
)
def test_no_address_breaks_the_plane(tab, plane, address):
    figure = show_figure(tab, plane, f"?siamese_plane.{address}")
    assert "Accuracy" in figure.locator(".moving-readout").text_content()


@pytest.mark.parametrize("address", ['f1=["a"]', "f1=[1e300,0]", "f1=[]", "margin=1e-300"])
def test_no_address_breaks_the_pair(tab, address):
    figure = show_figure(tab, Pair(), f"?pair.{address}")
    assert "Different, Y = 1" in figure.locator(".moving-readout").text_content()


def test_training_anew_adds_a_network(plane, monkeypatch):
    monkeypatch.setattr("meta_lib.moving.siamese_plane.ITERATIONS", 3)
    before, steps = len(plane.features), []
    plane.observe(lambda change: steps.append(change.new), "progress")
    plane.margin, plane.measure = 0.5, "cosine"
    plane.train()
    assert plane.trained[-1] == ["cosine", 0.5]
    assert len(plane.features) == before * 5 // 4
    assert steps == sorted(steps) and steps[-1] == 1
    plane.train()
    assert len(plane.trained) == 5


def test_the_still_pictures_are_described(plane):
    for figure in (plane, Pair(), Pair(measure="cosine"), Pair(different=False)):
        assert "loss" in figure.still().get_label()
