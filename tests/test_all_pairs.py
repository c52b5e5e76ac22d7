"""The softmax over all pairs of a batch: against the formula, a library, and a training."""

import copy

import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import NTXentLoss
from torch import nn

from meta_lib import all_pairs, siamese
from meta_lib.machinery.runs import Run
from meta_lib.networks import pooled_network
from meta_lib.tasks.episodes import sample_episodes
from meta_lib.tasks.glyphs import glyphs

LABELS = torch.tensor([0, 2, 1, 0, 1, 0, 2])


def by_the_formula(features, labels, scale):
    """Pair after pair, as the module's docstring writes it."""

    def near(i, j):
        return torch.exp(-scale * (1 - F.cosine_similarity(features[i], features[j], dim=0)))

    places, terms = range(len(labels)), []
    for i in places:
        others = sum(near(i, n) for n in places if labels[n] != labels[i])
        terms += [
            -torch.log(near(i, p) / (near(i, p) + others))
            for p in places
            if p != i and labels[p] == labels[i]
        ]
    return torch.stack(terms).mean()


@pytest.mark.parametrize("scale", [1.0, 24.0])
def test_loss_and_gradient_are_those_of_the_formula_and_of_a_library(scale):
    features = torch.randn(7, 5, requires_grad=True)
    library = NTXentLoss(temperature=1 / scale)
    found = [
        all_pairs.softmax_loss(features, LABELS, scale),
        by_the_formula(features, LABELS, scale),
        library(features, LABELS),
    ]
    slopes = [torch.autograd.grad(value, features)[0] for value in found]
    for value, slope in zip(found[1:], slopes[1:], strict=True):
        torch.testing.assert_close(value, found[0])
        torch.testing.assert_close(slope, slopes[0])


def test_the_length_of_the_features_has_no_say():
    features = torch.randn(7, 5)
    longer = features * torch.rand(7, 1).add(0.1)
    torch.testing.assert_close(
        all_pairs.softmax_loss(longer, LABELS), all_pairs.softmax_loss(features, LABELS)
    )


@pytest.mark.parametrize(
    ("features", "labels", "scale", "message"),
    [
        (torch.ones(3, 2), [0, 1], 1.0, r"labels must have shape \(3,\)"),
        (torch.ones(3, 2), [0, 1, 2], 1.0, "labels must hold two of one class and two of"),
        (torch.ones(3, 2), [1, 1, 1], 1.0, "labels must hold two of one class and two of"),
        (torch.ones(3, 2), [0, 0, 1], 0.0, "scale must be"),
    ],
)
def test_a_batch_without_both_kinds_of_pairs_is_refused(features, labels, scale, message):
    with pytest.raises(ValueError, match=message):
        all_pairs.softmax_loss(features, torch.tensor(labels), scale)


def test_training_teaches_new_characters(generator):
    drawn = list(glyphs(60, 8, size=32).items())
    familiar, new = dict(drawn[:40]), dict(drawn[40:])
    network = pooled_network(4).eval()
    episodes = sample_episodes(new, 1, 20, 1, 6, torch.Generator().manual_seed(1))
    task = type(episodes)(*(tensor[0] for tensor in episodes))

    def right():
        answers = siamese.classify(network, task, siamese.cosine_distance)
        return (answers == task.query_y).double().mean().item()

    before = right()
    losses = all_pairs.train(
        network, lambda: sample_episodes(familiar, 2, 8, 1, 3, generator), 40, beta=0.01
    )
    assert losses[-1] < losses[0] / 2 and right() > before + 0.1
    assert not network.training


def test_the_losses_of_a_stack_are_averaged(generator):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    episodes = sample_episodes(glyphs(6, 4, size=8), 2, 3, 1, 2, generator)
    by_hand = []
    for task in range(2):
        x = torch.cat([episodes.support_x[task], episodes.query_x[task]])
        labels = torch.cat([episodes.support_y[task], episodes.query_y[task]])
        by_hand.append(all_pairs.softmax_loss(network(x), labels, 5.0).item())
    (loss,) = all_pairs.train(network, lambda: episodes, 1, scale=5.0)
    assert loss == pytest.approx(sum(by_hand) / 2)


def test_copies_are_averaged_as_directions(monkeypatch):
    images = torch.rand(5, 1, 8, 8)
    network = nn.Flatten()
    torch.testing.assert_close(
        all_pairs.embed_copies(network, images, 0), F.normalize(images.flatten(1), dim=1)
    )
    once = all_pairs.embed_copies(network, images, 3)
    assert torch.equal(once, all_pairs.embed_copies(network, images, 3)), "other copies each time"
    monkeypatch.setattr(all_pairs, "other_hand", lambda x, *_: torch.zeros_like(x) + 1)
    flat = torch.full((5, 64), 1 / 8)
    torch.testing.assert_close(
        all_pairs.embed_copies(network, images, 3),
        (F.normalize(images.flatten(1), dim=1) + 3 * flat) / 4,
    )
    with pytest.raises(ValueError, match="copies must be"):
        all_pairs.embed_copies(network, images, -1)


def test_what_training_does_by_itself(tmp_path, generator):
    episodes = sample_episodes(glyphs(6, 4, size=8), 2, 3, 1, 2, generator)
    one = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    other = copy.deepcopy(one)
    all_pairs.train(one, lambda: episodes, 2, run=Run(tmp_path, {}))
    all_pairs.train(other, lambda: episodes, 2, beta=1e-3, scale=24.0)
    assert torch.equal(one[1].weight, other[1].weight)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
    features = torch.randn(7, 5)
    by_default = all_pairs.softmax_loss(features, LABELS)
    assert by_default == all_pairs.softmax_loss(features, LABELS, 24.0)


def test_only_the_labels_need_a_value(monkeypatch):
    """The device "meta" has shapes and no values; what is made elsewhere does not fit there."""
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    features = torch.randn(7, 5, device="meta", requires_grad=True)
    all_pairs.softmax_loss(features, LABELS).backward()
    assert features.grad.is_meta
    images = torch.rand(5, 1, 8, 8, device="meta")
    assert all_pairs.embed_copies(nn.Flatten(), images, 2).is_meta
