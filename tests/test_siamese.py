"""The Siamese network: the loss by region, the gradient by hand, and what training achieves."""

import math

import pytest
import torch
from torch import nn

from meta_lib import siamese
from meta_lib.evaluation import accuracies
from meta_lib.networks import conv_network
from meta_lib.tasks.episodes import Episode, sample_episode, split_classes
from meta_lib.tasks.glyphs import glyphs


@pytest.mark.parametrize(
    ("distance", "different", "margin", "loss", "slope"),
    [
        (0.6, 0, 1.0, 0.18, 0.6),  # similar: ½ D², slope D
        (3.0, 0, 1.0, 4.5, 3.0),  # similar beyond the margin: still pulled
        (0.6, 1, 1.0, 0.08, -0.4),  # different inside the margin: ½ (m - D)², slope -(m - D)
        (0.6, 1, 2.0, 0.98, -1.4),  # the margin counts
        (1.5, 1, 1.0, 0.0, 0.0),  # different beyond the margin: nothing
    ],
)
def test_contrastive_loss_by_region(distance, different, margin, loss, slope):
    D = torch.tensor([distance], requires_grad=True)
    value = siamese.contrastive_loss(D, torch.tensor([float(different)]), margin)
    value.sum().backward()
    assert value.item() == pytest.approx(loss)
    assert D.grad.item() == pytest.approx(slope)


def test_contrastive_loss_keeps_one_value_a_pair():
    D, Y = torch.tensor([0.5, 0.5, 2.0]), torch.tensor([0.0, 1.0, 1.0])
    assert siamese.contrastive_loss(D, Y).tolist() == pytest.approx([0.125, 0.125, 0.0])


def test_gradient_reaches_both_features():
    f1 = torch.tensor([[0.3, 0.4]], requires_grad=True)
    f2 = torch.zeros(1, 2, requires_grad=True)
    siamese.contrastive_loss(
        siamese.euclidean_distance(f1, f2), torch.ones(1), 2.0
    ).sum().backward()
    # -(m - D)/D · (f1 - f2) with D = 0.5
    assert f1.grad[0].tolist() == pytest.approx([-0.9, -1.2])
    assert f2.grad[0].tolist() == pytest.approx([0.9, 1.2])


def test_equal_features_give_a_finite_gradient():
    f1, f2 = torch.ones(1, 3, requires_grad=True), torch.ones(1, 3, requires_grad=True)
    loss = siamese.contrastive_loss(siamese.euclidean_distance(f1, f2), torch.ones(1))
    loss.sum().backward()
    assert torch.isfinite(f1.grad).all() and torch.isfinite(f2.grad).all()


def test_distance_and_similarity_are_their_formulas():
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([4.0, 3.0])
    assert siamese.euclidean_distance(a, b).item() == pytest.approx(math.sqrt(2))
    assert siamese.cosine_similarity(a, b).item() == pytest.approx(24 / 25)
    grid = siamese.euclidean_distance(torch.rand(5, 1, 7), torch.rand(1, 4, 7))
    assert grid.shape == (5, 4)


def test_pairs_are_half_similar_and_never_an_image_with_itself(generator):
    # Each image's one pixel says its class and sample: class·100 + sample.
    image_set = {str(c): (100.0 * c + torch.arange(6)).reshape(6, 1, 1, 1) for c in range(5)}
    x1, x2, different = siamese.sample_pairs(image_set, 400, generator)
    same_class = (x1 // 100 == x2 // 100).flatten()
    assert different.tolist() == [0.0] * 200 + [1.0] * 200
    assert torch.equal(same_class, different == 0)
    assert not (x1 == x2).any()
    assert len(set((x1 // 100).flatten().tolist())) == 5 and len(set(x1.flatten().tolist())) == 30


def test_both_twins_share_their_weights(generator):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    x1, x2 = (
        torch.rand(3, 1, 2, 2, generator=generator),
        torch.rand(3, 1, 2, 2, generator=generator),
    )
    Y = torch.tensor([0.0, 1.0, 1.0])
    distance = (network(x1) - network(x2)).square().sum(dim=1).sqrt()
    expected = torch.where(Y == 0, distance**2 / 2, (0.7 - distance).clamp(min=0) ** 2 / 2).mean()
    loss = siamese.pair_loss(network, siamese.Pairs(x1, x2, Y), margin=0.7)
    assert loss.item() == pytest.approx(expected.item())


def test_the_nearest_support_image_gives_the_label():
    episode = Episode(
        support_x=torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 3.0]]),
        support_y=torch.tensor([2, 0, 1]),
        query_x=torch.tensor([[0.9, 1.0], [4.0, 1.0], [1.0, 2.9], [2.4, 0.0]]),
        query_y=torch.tensor([2, 0, 1, 2]),
    )
    assert siamese.classify(nn.Identity(), episode).tolist() == [2, 0, 1, 2]


def test_training_helps_on_classes_that_it_never_saw(generator):
    seen, unseen = split_classes(glyphs(60, 8, size=14), 40, 20, generator=generator)
    episodes = [sample_episode(unseen, 5, 1, 3, generator) for _ in range(60)]
    network = conv_network(16, filters=12, blocks=2, running_statistics=True)

    def score():
        return sum(accuracies(lambda e: siamese.classify(network, e), episodes)) / len(episodes)

    network.eval()
    before = score()
    losses = siamese.train(network, seen, 120, generator, pairs=32, beta=5e-3)
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    assert score() > before + 0.05
    assert not network.training, "the network was left in training mode"


def test_a_query_is_classified_alike_alone_and_in_company(generator):
    network = conv_network(8, filters=4, blocks=2, running_statistics=True)
    siamese.train(network, glyphs(6, 6, size=12), 3, generator, pairs=16)
    episode = sample_episode(glyphs(6, 6, size=12, seed=1), 3, 1, 4, generator)
    together = siamese.classify(network, episode)
    alone = [
        siamese.classify(network, episode._replace(query_x=image[None])).item()
        for image in episode.query_x
    ]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, g: siamese.sample_pairs(s, 3, g), "pairs must be even.*but was 3"),
        (lambda s, g: siamese.sample_pairs(s, 0, g), "pairs must be at least 2, but was 0"),
        (lambda s, g: siamese.sample_pairs({"a": s["a"]}, 2, g), "ways must be at most 1"),
        (lambda s, g: siamese.train(nn.Flatten(), s, 1, g, margin=0), "margin must be a finite"),
        (
            lambda s, g: siamese.contrastive_loss(torch.ones(3), torch.ones(3, 1)),
            r"different must have shape \(3,\).*but had \(3, 1\)",
        ),
        (
            lambda s, g: siamese.contrastive_loss(torch.ones(1), torch.ones(1), margin=-1.0),
            "margin must be a finite number larger than 0, but was -1.0",
        ),
    ],
)
def test_nonsense_is_refused(call, message, generator):
    image_set = {"a": torch.rand(3, 1, 4, 4), "b": torch.rand(3, 1, 4, 4)}
    with pytest.raises(ValueError, match=message):
        call(image_set, generator)
