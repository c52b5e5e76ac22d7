"""Prototypical networks: means, logits and loss against plain loops, and what training achieves."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from meta_lib import prototypes, siamese
from meta_lib.evaluation import accuracies
from meta_lib.machinery.runs import Run, read_model
from meta_lib.networks import conv_network
from meta_lib.tasks.episodes import (
    Episode,
    sample_episode,
    sample_episodes,
    split_classes,
    unstack,
)
from meta_lib.tasks.glyphs import glyphs


def vectors(ways, shots, queries, generator, features=4):
    """Make an episode of plain vectors, whose labels come in a random order."""
    support_y = torch.arange(ways).repeat(shots)[torch.randperm(ways * shots, generator=generator)]
    query_y = torch.randint(ways, (queries,), generator=generator)
    support_x = torch.randn(ways * shots, features, generator=generator)
    query_x = torch.randn(queries, features, generator=generator)
    return Episode(support_x, support_y, query_x, query_y)


def of_vectors(support_y, query_y):
    return Episode(
        torch.ones(2, 3), torch.tensor(support_y), torch.ones(2, 3), torch.tensor(query_y)
    )


def loss_by_hand(embed, episode, score):
    """Return the loss as the paper's algorithm 1 has it: one class and one query at a time."""
    ways = sorted(set(episode.support_y.tolist()))
    total = 0.0
    for x, y in zip(episode.query_x, episode.query_y.tolist(), strict=True):
        scores = []
        for way in ways:
            shots = [embed(s) for s, label in zip(*episode[:2], strict=True) if label == way]
            scores.append(score(embed(x), sum(shots) / len(shots)))
        total += -scores[y] + math.log(sum(math.exp(s) for s in scores))
    return total / len(episode.query_y)


def minus_squared(f, c):
    return -sum((a - b) ** 2 for a, b in zip(f.tolist(), c.tolist(), strict=True))


def ten_cosines(f, c):
    dot = sum(a * b for a, b in zip(f.tolist(), c.tolist(), strict=True))
    return 10 * dot / (math.hypot(*f.tolist()) * math.hypot(*c.tolist()))


def test_a_prototype_is_the_mean_of_its_class():
    features = torch.tensor([[1.0, 0.0], [7.0, 7.0], [3.0, 4.0], [-1.0, 0.0], [2.0, 2.0]])
    labels = torch.tensor([1, 2, 1, 0, 1])
    expected = torch.tensor([[-1.0, 0.0], [2.0, 2.0], [7.0, 7.0]])
    torch.testing.assert_close(prototypes.prototypes(features, labels), expected)
    stack = torch.stack([features, features.flip(0)])
    both = prototypes.prototypes(stack, torch.stack([labels, labels.flip(0)]))
    torch.testing.assert_close(both, torch.stack([expected, expected]))


def test_one_shot_leaves_the_support_images_as_they_are(generator):
    features = torch.randn(5, 7, generator=generator)
    labels = torch.tensor([3, 0, 4, 1, 2])
    assert torch.equal(prototypes.prototypes(features, labels)[labels], features)
    assert prototypes.prototypes(features.float(), labels).dtype == torch.float32


def test_logits_are_their_formulas(generator):
    query = torch.randn(6, 4, generator=generator)
    means = torch.randn(3, 4, generator=generator)
    for logits, formula in (
        (prototypes.euclidean_logits, minus_squared),
        (prototypes.cosine_logits, ten_cosines),
    ):
        expected = [[formula(f, c) for c in means] for f in query]
        torch.testing.assert_close(logits(query, means), torch.tensor(expected))
        stacked = logits(torch.stack([query, -query]), torch.stack([means, means]))
        torch.testing.assert_close(stacked[1], logits(-query, means))
    halves = prototypes.cosine_logits(query, means, scale=5)
    torch.testing.assert_close(2 * halves, prototypes.cosine_logits(query, means))


def test_distances_stay_exact_far_from_the_origin():
    # More than 25 points, from where on torch.cdist's own choice is to expand the square.
    query = 1e8 + torch.arange(40.0)[:, None]
    logits = prototypes.euclidean_logits(query, query[:30])
    expected = -(torch.arange(40.0)[:, None] - torch.arange(30.0)).square()
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)


def test_the_classifier_is_linear_in_the_embedding(generator):
    # Section 2.4 of the paper: up to ‖f‖², which no class shares less of, the logit is 2c·f - ‖c‖².
    query, means = torch.randn(6, 4, generator=generator), torch.randn(3, 4, generator=generator)
    linear = 2 * query @ means.T - means.square().sum(dim=1)
    p = prototypes.euclidean_logits(query, means).softmax(dim=1)
    torch.testing.assert_close(p, linear.softmax(dim=1))


@settings(max_examples=25, deadline=None)
@given(
    ways=st.integers(1, 5),
    shots=st.integers(1, 4),
    queries=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_the_loss_is_that_of_a_plain_loop(ways, shots, queries, seed):
    generator = torch.Generator().manual_seed(seed)
    episode = vectors(ways, shots, queries, generator)
    network = nn.Linear(4, 3)
    for logits, score in (
        (prototypes.euclidean_logits, minus_squared),
        (prototypes.cosine_logits, ten_cosines),
    ):
        loss = prototypes.episode_loss(network, episode, logits)
        expected = loss_by_hand(network, episode, score)
        assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    default = prototypes.episode_loss(network, episode)
    assert default == prototypes.episode_loss(network, episode, prototypes.euclidean_logits)


@pytest.mark.parametrize("logits", [prototypes.euclidean_logits, prototypes.cosine_logits])
def test_the_gradient_is_that_of_finite_differences(logits, generator):
    episode = vectors(3, 2, 4, generator)

    def loss(support_x, query_x):
        moved = episode._replace(support_x=support_x, query_x=query_x)
        return prototypes.episode_loss(nn.Identity(), moved, logits)

    inputs = episode.support_x.requires_grad_(), episode.query_x.requires_grad_()
    assert torch.autograd.gradcheck(loss, inputs)


def test_a_query_on_its_prototype_has_a_finite_gradient():
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    episode = Episode(x, torch.tensor([0, 1]), x[:1], torch.tensor([0]))
    prototypes.episode_loss(nn.Identity(), episode).backward()
    assert torch.isfinite(x.grad).all()


def test_a_stack_is_the_mean_of_its_episodes(generator):
    stack = sample_episodes(glyphs(8, 6, size=10), 3, 4, 2, 2, generator)
    network = conv_network(5, filters=4, blocks=2, running_statistics=True).eval()
    losses = [prototypes.episode_loss(network, episode) for episode in unstack(stack)]
    torch.testing.assert_close(prototypes.episode_loss(network, stack), torch.stack(losses).mean())


def test_all_images_of_a_step_share_one_batch(generator):
    batches = []

    def network(x):
        batches.append(x.shape)
        return x.flatten(1)

    stack = sample_episodes(glyphs(8, 6, size=10), 3, 4, 1, 2, generator)
    prototypes.episode_loss(network, stack)
    assert batches == [(3 * (4 + 8), 1, 10, 10)]


@settings(max_examples=50, deadline=None)
@given(ways=st.integers(1, 8), queries=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_one_shot_answers_are_those_of_a_siamese_network(ways, queries, seed):
    episode = vectors(ways, 1, queries, torch.Generator().manual_seed(seed))
    network = nn.Linear(4, 6)
    ours = prototypes.classify(network, episode)
    assert torch.equal(ours, siamese.classify(network, episode))
    by_angle = prototypes.classify(network, episode, prototypes.cosine_logits)
    assert torch.equal(by_angle, siamese.classify(network, episode, siamese.cosine_distance))


def test_with_more_shots_the_mean_decides_and_not_the_nearest():
    episode = Episode(
        support_x=torch.tensor([[0.0], [2.0], [5.0], [1.2]]),
        support_y=torch.tensor([1, 1, 0, 0]),
        query_x=torch.tensor([[1.3], [4.0]]),
        query_y=torch.tensor([1, 0]),
    )
    assert prototypes.classify(nn.Identity(), episode).tolist() == [1, 0]
    assert siamese.classify(nn.Identity(), episode).tolist() == [0, 0]


def test_the_order_of_the_support_does_not_matter(generator):
    episode = vectors(4, 3, 30, generator)
    order = torch.randperm(12, generator=generator)
    shuffled = episode._replace(
        support_x=episode.support_x[order], support_y=episode.support_y[order]
    )
    answers = [prototypes.classify(nn.Identity(), e).tolist() for e in (episode, shuffled)]
    assert answers[0] == answers[1] and len(set(answers[0])) > 1


def test_training_helps_on_classes_that_it_never_saw(generator):
    seen, unseen = split_classes(glyphs(60, 8, size=14), 40, 20, generator=generator)
    episodes = [sample_episode(unseen, 5, 2, 3, generator) for _ in range(60)]
    network = conv_network(16, filters=12, blocks=2, running_statistics=True)

    def score():
        return sum(accuracies(lambda e: prototypes.classify(network, e), episodes)) / 60

    network.eval()
    before = score()
    losses = prototypes.train(
        network, lambda: sample_episodes(seen, 2, 8, 1, 2, generator), 80, beta=5e-3
    )
    assert len(losses) == 80 and sum(losses[-20:]) < 0.9 * sum(losses[:20])
    assert score() > before + 0.05
    assert not network.training, "the network was left in training mode"


def test_training_is_told_which_logits(generator):
    image_set = glyphs(6, 4, size=8)
    first = []
    for logits in (prototypes.euclidean_logits, prototypes.cosine_logits):
        stack = sample_episodes(image_set, 1, 3, 1, 2, torch.Generator().manual_seed(1))
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
        expected = prototypes.episode_loss(network, stack, logits).item()
        losses = prototypes.train(network, lambda stack=stack: stack, 2, logits=logits)
        assert losses[0] == expected
        first.append(expected)
    assert first[0] != first[1]


def test_what_training_does_by_itself(tmp_path):
    stack = sample_episodes(glyphs(6, 4, size=8), 1, 3, 1, 2, torch.Generator().manual_seed(1))
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    prototypes.train(network, lambda: stack, 4, run=Run(tmp_path, {}))
    kept = read_model(tmp_path).tensors
    assert set(kept) == {"1.weight", "1.bias"}
    assert torch.equal(kept["1.weight"], network[1].weight)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["beta"] for line in log] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
    nn.init.constant_(network[1].weight, math.nan)
    with pytest.raises(FloatingPointError, match="prototypes: the loss became nan"):
        prototypes.train(network, lambda: stack, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: prototypes.prototypes(torch.ones(4, 2), torch.tensor([0, 2, 2, 2])),
            r"labels must hold each of 0 to 2, but were \[0, 2, 2, 2\]",
        ),
        (
            lambda: prototypes.prototypes(torch.ones(1, 4, 2), torch.tensor([[0, 2, 2, 2]])),
            r"labels must hold each of 0 to 2, but were \[\[0, 2, 2, 2\]\]",
        ),
        (
            lambda: prototypes.prototypes(torch.ones(3, 2), torch.tensor([0, 1])),
            r"labels must have shape \(3,\), one label for each of the features, but had \(2,\)",
        ),
        (
            lambda: prototypes.prototypes(torch.ones(5, 3, 2), torch.zeros(5, dtype=torch.int64)),
            r"labels must have shape \(5, 3\), one label",
        ),
        (
            lambda: prototypes.prototypes(torch.ones(2, 2), torch.tensor([-1, 0])),
            r"labels must hold each of 0 to 0, but were \[-1, 0\]",
        ),
        (
            lambda: prototypes.prototypes(torch.ones(0, 2), torch.zeros(0, dtype=torch.int64)),
            r"labels must hold each of 0 to 0, but were \[\]",
        ),
        (
            lambda: prototypes.episode_loss(nn.Identity(), of_vectors([0, 1], [0, 2])),
            r"query_y must be 0 to 1, but held \[2\]",
        ),
        (
            lambda: prototypes.episode_loss(nn.Identity(), of_vectors([0, 1], [0])),
            r"query_y must have shape \(2,\), one label for each query, but had \(1,\)",
        ),
        (
            lambda: prototypes.cosine_logits(torch.ones(1, 2), torch.ones(1, 2), scale=0.0),
            "scale must be a finite number larger than 0, but was 0.0",
        ),
        (
            lambda: prototypes.train(nn.Identity(), None, 0),
            "iterations must be at least 1, but was 0",
        ),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_labels_are_whole_numbers_of_any_kind(generator):
    episode = vectors(3, 2, 4, generator)
    expected = prototypes.episode_loss(nn.Identity(), episode)
    for dtype in (torch.uint8, torch.int32):
        y = {name: getattr(episode, name).to(dtype) for name in ("support_y", "query_y")}
        assert torch.equal(prototypes.episode_loss(nn.Identity(), episode._replace(**y)), expected)
    for dtype in (torch.float64, torch.bool):
        with pytest.raises(TypeError, match=f"labels must be whole numbers, but were of {dtype}"):
            prototypes.prototypes(episode.support_x, episode.support_y.to(dtype))
        with pytest.raises(TypeError, match="query_y must be whole numbers"):
            moved = episode._replace(query_y=episode.query_y.to(dtype))
            prototypes.episode_loss(nn.Identity(), moved)


def test_only_the_labels_need_a_value(monkeypatch, generator):
    """The device "meta" has shapes and no values; what is made elsewhere does not fit there."""
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    network = conv_network(4, filters=4, blocks=2, running_statistics=True)
    x = torch.rand(6, 1, 8, 8, device="meta")
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    episode = Episode(x, labels, x, labels)
    for logits in (prototypes.euclidean_logits, prototypes.cosine_logits):
        prototypes.episode_loss(network, episode, logits).backward()
        assert all(weight.grad.is_meta for weight in network.parameters())
        answers = prototypes.classify(network, episode, logits)
        assert answers.is_meta and answers.shape == (6,)
