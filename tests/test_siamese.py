"""The Siamese network: the loss by region, the gradient by hand, and what training achieves."""

import copy
import json
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import ContrastiveLoss
from pytorch_metric_learning.reducers import DoNothingReducer
from torch import nn

from meta_lib import siamese
from meta_lib.evaluation import accuracies
from meta_lib.machinery.runs import Run, read_model
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


@pytest.mark.parametrize("loss", [siamese.contrastive_loss, siamese.cross_entropy_loss])
def test_y_may_be_of_any_kind_but_is_0_or_1(loss, generator):
    D, numbers = torch.rand(6, generator=generator), [0, 1, 1, 0, 1, 0]
    expected = loss(D, torch.tensor(numbers, dtype=D.dtype))
    for dtype in (torch.bool, torch.int32, torch.int64, torch.uint8, torch.float16, torch.float32):
        found = loss(D, torch.tensor(numbers, dtype=dtype))
        assert torch.equal(found, expected) and found.dtype == D.dtype
    for other in (torch.tensor([0, 1, -1, 1, 0, 2]), torch.tensor([0.0, 0.5, 1, 1, 0, math.nan])):
        with pytest.raises(ValueError, match="different must hold nothing but 0 and 1, but held"):
            loss(D, other)
    # Where there is no looking at values, another Y is no number.
    one_by_one = torch.func.vmap(loss)(D, torch.tensor([0, 1, 1, 0, 2, -1]))
    torch.testing.assert_close(one_by_one[:4], expected[:4])
    assert one_by_one[4:].isnan().all()
    on_meta = loss(D.to("meta"), torch.tensor(numbers, device="meta"))
    assert on_meta.is_meta and on_meta.shape == D.shape
    for kind in (torch.zeros(6, dtype=torch.complex64), numbers):
        with pytest.raises(TypeError, match="different must be a tensor of booleans, 0 and 1, but"):
            loss(D, kind)


def theirs(library, features_1, features_2, different):
    """Return pytorch-metric-learning's loss of each pair, in our order and on our scale.

    It takes no Y but says which pairs are positive, that is similar: the opposite way round. Its
    hinges are not squared and have no ½, its own distance first scales features to length 1, and
    its own reducer leaves out pairs without loss. So: `normalize_embeddings=False`, power 1, a
    reducer that leaves the pairs alone, and ½ l² of what it gives.
    """
    similar, dissimilar = (different == 0).nonzero()[:, 0], (different == 1).nonzero()[:, 0]
    parts = library(
        features_1,
        indices_tuple=(similar, similar, dissimilar, dissimilar),
        ref_emb=features_2,
        ref_labels=torch.zeros(len(features_2)),
    )
    losses = torch.zeros(len(different))
    losses[similar] = 0.5 * parts["pos_loss"]["losses"].square()
    losses[dissimilar] = 0.5 * parts["neg_loss"]["losses"].square()
    return losses


def features_of_pairs(generator):
    features_1, features_2 = torch.randn(2, 60, 5, generator=generator)
    different = (torch.rand(60, generator=generator) < 0.5).double()
    return features_1.requires_grad_(), features_2.requires_grad_(), different


@pytest.mark.parametrize(
    ("measure", "margin", "library"),
    [
        (
            siamese.euclidean_distance,
            margin,
            ContrastiveLoss(
                pos_margin=0,
                neg_margin=margin,
                distance=LpDistance(normalize_embeddings=False, p=2, power=1),
                reducer=DoNothingReducer(),
            ),
        )
        for margin in (2.0, 4.0)
    ]
    + [
        (
            siamese.cosine_distance,
            margin,
            # A similarity, whose margins are where 1 - cos is 0 and where it is the margin.
            ContrastiveLoss(
                pos_margin=1,
                neg_margin=1 - margin,
                distance=CosineSimilarity(),
                reducer=DoNothingReducer(),
            ),
        )
        for margin in (0.5, 1.0)
    ],
)
def test_value_and_gradient_are_those_of_another_library(measure, margin, library, generator):
    f1, f2, Y = features_of_pairs(generator)
    ours = siamese.contrastive_loss(measure(f1, f2), Y, margin)
    other = theirs(library, f1, f2, Y)
    assert (ours[Y == 1] > 0).any() and (ours[Y == 1] == 0).any(), "no pair on each side of m"
    torch.testing.assert_close(ours, other, rtol=1e-10, atol=1e-12)
    gradients = torch.autograd.grad(ours.mean(), (f1, f2))
    for ours, theirs_ in zip(gradients, torch.autograd.grad(other.mean(), (f1, f2)), strict=True):
        torch.testing.assert_close(ours, theirs_, rtol=1e-10, atol=1e-12)


def test_torchs_own_losses_flip_the_labels(generator):
    f1, f2, Y = features_of_pairs(generator)
    target = 1 - 2 * Y  # 1 for similar, -1 for dissimilar
    D = siamese.cosine_distance(f1, f2)
    hinges = F.cosine_embedding_loss(f1, f2, target, margin=0.4, reduction="none")
    torch.testing.assert_close(siamese.contrastive_loss(D, Y, 0.6), 0.5 * hinges.square())
    D = siamese.euclidean_distance(f1, f2)
    hinges = F.hinge_embedding_loss(D, target, margin=3.0, reduction="none")
    torch.testing.assert_close(siamese.contrastive_loss(D, Y, 3.0), 0.5 * hinges.square())


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


def test_the_cosine_distance_knows_directions_only():
    east, north, west = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 3.0]), torch.tensor([-1.0, 0])
    others = torch.stack([east, 5 * east, north, west])
    assert siamese.cosine_distance(east, others).tolist() == pytest.approx([0.0, 0.0, 1.0, 2.0])


def test_weighted_l1_is_its_formula(generator):
    measure = siamese.WeightedL1(3)
    f1, f2 = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0, 0.0, 3.5]])
    assert measure(f1, f2).tolist() == pytest.approx([3.5]), "it does not start as L1 distance"
    with torch.no_grad():
        measure.a.copy_(torch.tensor([-1.0, 0.5, 2.0]))
        measure.b.fill_(0.25)
    assert measure(f1, f2).tolist() == pytest.approx([-(-1.0 + 0.5 * 2 + 2 * 0.5 + 0.25)])
    assert torch.equal(measure(f1, f2), measure(f2, f1))
    assert measure(torch.rand(5, 1, 3), torch.rand(1, 4, 3)).shape == (5, 4)
    assert {name for name, _ in measure.named_parameters()} == {"a", "b"}


@pytest.mark.parametrize(
    ("distance", "different", "p"),
    [(0.0, 0, 0.5), (0.0, 1, 0.5), (-math.log(3), 0, 0.75), (-math.log(3), 1, 0.75)],
)
def test_cross_entropy_loss_is_its_formula(distance, different, p):
    D = torch.tensor([distance], requires_grad=True)
    loss = siamese.cross_entropy_loss(D, torch.tensor([float(different)]))
    assert loss.shape == (1,)
    assert loss.item() == pytest.approx(-math.log(1 - p if different else p))
    loss.backward()
    # The slope in the logit is p - y, with y = 1 - Y, and D is minus the logit.
    assert D.grad.item() == pytest.approx((1 - different) - p)


def test_cross_entropy_survives_certainty():
    loss = siamese.cross_entropy_loss(torch.tensor([1000.0, -1000.0]), torch.tensor([0.0, 1.0]))
    assert loss.tolist() == [1000.0, 1000.0]


def test_kochs_loss_is_that_of_a_linear_layer_on_the_difference(generator):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    measure = siamese.WeightedL1(3)
    layer = nn.Linear(3, 1)
    with torch.no_grad():
        measure.a.copy_(layer.weight[0])
        measure.b.copy_(layer.bias[0])
    x1, x2 = torch.rand(2, 6, 1, 2, 2, generator=generator)
    Y = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    p = torch.sigmoid(layer((network(x1) - network(x2)).abs())).squeeze(1)
    expected = nn.BCELoss()(p, 1 - Y)
    expected.backward()
    by_hand = [weight.grad.clone() for weight in network.parameters()]
    network.zero_grad()
    loss = siamese.pair_loss(network, siamese.Pairs(x1, x2, Y), measure=measure)
    loss.backward()
    assert loss.item() == pytest.approx(expected.item())
    for weight, gradient in zip(network.parameters(), by_hand, strict=True):
        torch.testing.assert_close(weight.grad, gradient)
    torch.testing.assert_close(measure.a.grad, layer.weight.grad[0])
    torch.testing.assert_close(measure.b.grad, layer.bias.grad[0])


def numbered_images(*sizes):
    """Make a set whose images say which they are: class·100 + sample, in their one pixel."""
    return {str(c): (100.0 * c + torch.arange(n)).reshape(n, 1, 1, 1) for c, n in enumerate(sizes)}


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 9), min_size=2, max_size=7),
    half=st.integers(1, 20),
    seed=st.integers(0, 2**31),
)
def test_pairs_are_what_was_asked_for(sizes, half, seed):
    image_set = numbered_images(*sizes)
    pairs = siamese.sample_pairs(image_set, 2 * half, torch.Generator().manual_seed(seed))
    again = siamese.sample_pairs(image_set, 2 * half, torch.Generator().manual_seed(seed))
    assert all(torch.equal(a, b) for a, b in zip(pairs, again, strict=True))

    assert pairs.x1.shape == pairs.x2.shape == (2 * half, 1, 1, 1)
    assert pairs.different.tolist() == [0.0] * half + [1.0] * half
    x1, x2 = pairs.x1.flatten(), pairs.x2.flatten()
    assert torch.equal((x1 // 100 != x2 // 100).double(), pairs.different)
    assert not (x1 == x2).any(), "an image is paired with itself"


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_as_many_pairs_are_similar_as_were_asked_for(share, generator):
    pairs = siamese.sample_pairs(numbered_images(3, 4, 5), 16, generator, share)
    assert pairs.different.tolist() == [float(k >= 16 * share) for k in range(16)]


def test_a_share_lies_between_0_and_1(generator):
    with pytest.raises(ValueError, match="similar must be from 0 to 1, but was 1.5"):
        siamese.sample_pairs(numbered_images(3, 4), 2, generator, similar=1.5)


def test_a_seed_gives_the_same_pairs_for_ever():
    for dtype in (torch.float64, torch.float32):
        torch.set_default_dtype(dtype)
        pairs = siamese.sample_pairs(numbered_images(2, 5, 3), 6, torch.Generator().manual_seed(20))
        assert pairs.x1.flatten().tolist() == [102, 102, 202, 200, 104, 201]
        assert pairs.x2.flatten().tolist() == [101, 101, 200, 0, 0, 100]


def test_every_pair_gets_its_turn_and_every_class_as_often(generator):
    x1, x2, different = siamese.sample_pairs(numbered_images(2, 3, 9), 30_000, generator)
    x1, x2 = x1.flatten(), x2.flatten()
    same = list(zip(x1[:15_000].tolist(), x2[:15_000].tolist(), strict=True))
    assert len(set(same)) == 2 * 1 + 3 * 2 + 9 * 8
    assert len(set(zip(x1[15_000:].tolist(), x2[15_000:].tolist(), strict=True))) == 2 * (
        6 + 18 + 27
    )
    for side in (x1[:15_000], x1[15_000:], x2[15_000:]):
        shares = (side // 100).long().bincount() / 15_000
        assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    # Within a class each of its images is as likely as any other.
    shares = x2[x2 >= 200].long().sub(200).bincount() / (x2 >= 200).sum()
    assert shares.tolist() == pytest.approx([1 / 9] * 9, abs=0.02)


def test_both_twins_share_their_weights(generator):
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    x1, x2 = (
        torch.rand(3, 1, 2, 2, generator=generator),
        torch.rand(3, 1, 2, 2, generator=generator),
    )
    Y = torch.tensor([0.0, 1.0, 1.0])
    distance = (network(x1) - network(x2)).square().sum(dim=1).sqrt()
    expected = torch.where(Y == 0, distance**2 / 2, (0.7 - distance).clamp(min=0) ** 2 / 2).mean()
    loss = siamese.pair_loss(network, siamese.Pairs(x1, x2, Y), siamese.Contrastive(margin=0.7))
    assert loss.item() == pytest.approx(expected.item())
    cosines = F.cosine_similarity(network(x1), network(x2))
    expected = torch.where(Y == 0, (1 - cosines) ** 2 / 2, (cosines - 0.3).clamp(min=0) ** 2 / 2)
    pairs = siamese.Pairs(x1, x2, Y)
    loss = siamese.pair_loss(network, pairs, siamese.Contrastive(siamese.cosine_distance, 0.7))
    assert loss.item() == pytest.approx(expected.mean().item())


def test_the_nearest_support_image_gives_the_label():
    episode = Episode(
        support_x=torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 3.0]]),
        support_y=torch.tensor([2, 0, 1]),
        query_x=torch.tensor([[0.9, 1.0], [4.0, 1.0], [1.0, 2.9], [2.4, 0.0]]),
        query_y=torch.tensor([2, 0, 1, 2]),
    )
    assert siamese.classify(nn.Identity(), episode).tolist() == [2, 0, 1, 2]


def test_the_nearest_by_angle_and_the_most_probable_give_the_label():
    episode = Episode(
        support_x=torch.tensor([[10.0, 0.0], [0.0, 1.0]]),
        support_y=torch.tensor([1, 0]),
        query_x=torch.tensor([[1.0, 0.1], [0.5, 8.0], [9.0, 2.0]]),
        query_y=torch.tensor([1, 0, 1]),
    )
    network = nn.Identity()
    assert siamese.classify(network, episode).tolist() == [0, 0, 1]
    assert siamese.classify(network, episode, siamese.cosine_distance).tolist() == [1, 0, 1]
    measure = siamese.WeightedL1(2)
    with torch.no_grad():
        measure.a.copy_(torch.tensor([0.0, -2.0]))  # it has learned that only the height counts
    p = torch.sigmoid(-measure(episode.query_x[:, None], episode.support_x))
    expected = episode.support_y[p.argmax(dim=1)]
    assert siamese.classify(network, episode, measure).tolist() == expected.tolist() == [1, 0, 0]


class Half(siamese.Measure):
    """A measure of one's own: half the L1 distance, and a loss that any pair of distance 1 has."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, features_1, features_2):
        return self.scale * (features_1 - features_2).abs().sum(dim=-1)

    def loss(self, distance, different):
        return (distance - 1).square() + 0 * different


def test_a_measure_brings_its_own_loss(generator):
    measure, network = Half(), nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    image_set = glyphs(5, 4, size=8)
    x1, x2, Y = pairs = siamese.sample_pairs(image_set, 8, generator)
    expected = (0.5 * (network(x1) - network(x2)).abs().sum(dim=1) - 1).square().mean()
    torch.testing.assert_close(siamese.pair_loss(network, pairs, measure), expected)
    siamese.train(network, image_set, 2, generator, 8, measure=measure)
    assert measure.scale != 0.5, "its weight was not trained"
    learned = siamese.Contrastive(Half())
    siamese.train(network, image_set, 2, generator, 8, measure=learned)
    assert learned.distance.scale != 0.5, "a distance's weight was not trained"
    with pytest.raises(NotImplementedError, match="Measure must say what a pair costs"):
        siamese.Measure().loss(Y, Y)


def test_a_distance_without_a_loss_is_refused(generator):
    pairs = siamese.Pairs(*torch.rand(2, 3, 4, generator=generator), torch.zeros(3))
    message = r"measure must bring its loss, as Contrastive\(cosine_distance\) does, but was "
    with pytest.raises(TypeError, match=message + "euclidean_distance"):
        siamese.pair_loss(nn.Identity(), pairs, siamese.euclidean_distance)
    with pytest.raises(TypeError, match=message + "1.0"):
        siamese.train(nn.Identity(), {}, 1, generator, measure=1.0)


def test_classification_never_holds_queries_times_support_times_features():
    most = 0

    def measure(features_1, features_2):
        nonlocal most
        difference = features_1 - features_2
        most = max(most, difference.numel())
        return difference.norm(dim=-1)

    episode = Episode(torch.rand(30, 8), torch.arange(30), torch.rand(50, 8), torch.zeros(50))
    siamese.classify(nn.Identity(), episode, measure)
    assert most <= 50 * 8


@pytest.mark.parametrize("learned_measure", [False, True])
def test_training_lowers_the_loss_with_other_measures(learned_measure, generator):
    cosine = siamese.Contrastive(siamese.cosine_distance)
    measure = siamese.WeightedL1(8) if learned_measure else cosine
    image_set = glyphs(20, 8, size=12)
    network = conv_network(8, filters=8, blocks=2, running_statistics=True)
    learned = [*network.parameters()]
    if learned_measure:
        learned += measure.parameters()
    before = [weight.detach().clone() for weight in learned]
    losses = siamese.train(network, image_set, 60, generator, 32, beta=5e-3, measure=measure)
    assert sum(losses[-15:]) < 0.95 * sum(losses[:15])
    # Adam moves every weight that has a gradient; a convolution's bias has none before a norm.
    assert not torch.equal(before[0], learned[0])
    assert not torch.equal(before[-1], learned[-1]), "the measure was not trained"


def test_a_run_keeps_the_weights_of_network_and_measure(tmp_path, generator):
    image_set = glyphs(4, 4, size=8)

    def trained(iterations):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        measure = siamese.WeightedL1(3)
        draws = torch.Generator().manual_seed(1)
        run = Run(tmp_path, {}, every=2, generators={"pairs": draws})
        losses = siamese.train(network, image_set, iterations, draws, 8, measure=measure, run=run)
        return losses, network, measure

    losses, network, measure = trained(4)
    kept = read_model(tmp_path).tensors
    assert set(kept) == {"1.weight", "1.bias", "measure.a", "measure.b"}
    assert torch.equal(kept["measure.a"], measure.a) and torch.equal(
        kept["1.bias"], network[1].bias
    )
    again, *_, measure_again = trained(4)
    assert again == losses and torch.equal(measure.a, measure_again.a)


def test_what_training_does_by_itself(tmp_path, generator):
    image_set = glyphs(5, 4, size=8)
    one = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    other = copy.deepcopy(one)
    siamese.train(one, image_set, 4, torch.Generator().manual_seed(1), run=Run(tmp_path, {}))
    measure = siamese.Contrastive(siamese.euclidean_distance, margin=1.0)
    explicit = dict(pairs=128, beta=1e-3, measure=measure)
    siamese.train(other, image_set, 4, torch.Generator().manual_seed(1), **explicit)
    assert torch.equal(one[1].weight, other[1].weight)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["beta"] for line in log] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
    pairs = siamese.sample_pairs(image_set, 64, generator)
    assert siamese.pair_loss(one, pairs) == siamese.pair_loss(one, pairs, measure)
    nn.init.constant_(one[1].weight, math.nan)
    with pytest.raises(FloatingPointError, match="Siamese: the loss became nan"):
        siamese.train(one, image_set, 1, generator)


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


def test_a_measure_is_made_on_the_device_that_was_asked_for(monkeypatch):
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    assert all(weight.is_meta for weight in siamese.WeightedL1(2).parameters())


def test_another_device_needs_no_value(monkeypatch, generator):
    """The device "meta" has shapes and no values; what is made elsewhere does not fit there."""
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    image_set = {name: torch.rand(4, 1, 8, 8, device="meta") for name in "abcd"}
    network = conv_network(3, filters=4, blocks=2, running_statistics=True)
    pairs = siamese.sample_pairs(image_set, 6, generator)
    cosine = siamese.Contrastive(siamese.cosine_distance)
    for measure in (siamese.EUCLIDEAN, cosine, siamese.WeightedL1(3)):
        siamese.pair_loss(network, pairs, measure).backward()
        assert all(weight.grad.is_meta for weight in network.parameters())
        answers = siamese.classify(network, sample_episode(image_set, 3, 1, 2, generator), measure)
        assert answers.is_meta and answers.shape == (6,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, g: siamese.sample_pairs(s, 3, g), "pairs must be even.*but was 3"),
        (lambda s, g: siamese.sample_pairs(s, 0, g), "pairs must be at least 2, but was 0"),
        (lambda s, g: siamese.sample_pairs({"a": s["a"]}, 2, g), "ways must be at most 1"),
        (lambda s, g: siamese.Contrastive(margin=0), "margin must be a finite"),
        (
            lambda s, g: siamese.contrastive_loss(torch.ones(3), torch.ones(3, 1)),
            r"different must have shape \(3,\), that of distance, but had \(3, 1\)",
        ),
        (
            lambda s, g: siamese.cross_entropy_loss(torch.ones(3), torch.ones(2)),
            r"different must have shape \(3,\), that of distance, but had \(2,\)",
        ),
        (
            lambda s, g: siamese.pair_loss(
                nn.Identity(), siamese.Pairs(torch.ones(3, 2), torch.ones(5, 2), torch.ones(4))
            ),
            r"x2 must have shape \(3, 2\), that of x1, but had \(5, 2\)",
        ),
        (
            lambda s, g: siamese.classify(
                nn.Flatten(),
                Episode(torch.ones(2, 3, 4), torch.zeros(2, 3), torch.ones(2, 3), None),
            ),
            r"support_y must have shape \(2,\), one label for each image, but had \(2, 3\)",
        ),
        (lambda s, g: siamese.WeightedL1(0), "features must be at least 1, but was 0"),
        (lambda s, g: siamese.sample_pairs(s | {"c": s["a"][:1]}, 2, g), "images of class 'c'"),
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


def test_redrawing_reaches_both_sides_of_a_pair(generator):
    """The loss of a step is that of the redrawn pairs, each side redrawn from itself."""
    image_set = glyphs(6, 6, size=8)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    pairs = siamese.sample_pairs(image_set, 8, torch.Generator().manual_seed(3))
    redrawn = pairs._replace(x1=1 - pairs.x1, x2=1 - pairs.x2)
    expected = siamese.pair_loss(network, redrawn).item()
    own = torch.Generator().manual_seed(3)
    (loss,) = siamese.train(network, image_set, 1, own, 8, redraw=lambda images: 1 - images)
    assert loss == pytest.approx(expected)
