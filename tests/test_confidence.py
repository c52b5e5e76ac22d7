"""Confidence: distances to classes, leaving one out, and the one fitted number."""

import pytest
import torch

from meta_lib.confidence import class_distances, fit_scale, leave_one_out, probabilities
from meta_lib.siamese import cosine_distance, euclidean_distance


def flat(images):
    return images.flatten(1)


@pytest.fixture
def support(generator):
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    return torch.rand(7, 1, 3, 3, generator=generator), labels


@pytest.mark.parametrize("measure", [cosine_distance, euclidean_distance])
def test_a_class_is_as_far_as_its_nearest_image(support, generator, measure):
    support_x, support_y = support
    query = torch.rand(5, 1, 3, 3, generator=generator)
    found = class_distances(flat, support_x, support_y, query, measure)
    assert found.shape == (5, 3)
    for i in range(5):
        for k in range(3):
            apart = [measure(flat(query[i : i + 1]), flat(x[None])).item()
                     for x, y in zip(support_x, support_y, strict=True) if y == k]  # fmt: skip
            assert found[i, k].item() == pytest.approx(min(apart))


@pytest.mark.parametrize("measure", [cosine_distance, euclidean_distance])
def test_leaving_one_out_is_asking_with_the_others(support, measure):
    support_x, support_y = support
    found = leave_one_out(flat, support_x, support_y, measure)
    for i in range(len(support_x)):
        others = torch.arange(len(support_x)) != i
        alone = class_distances(flat, support_x[others], support_y[others], support_x[[i]], measure)
        assert torch.allclose(found[i], alone[0])


def test_one_image_of_a_class_cannot_be_left_out(support):
    support_x, _ = support
    with pytest.raises(ValueError, match=r"2 support images or more, but \[1\] have one"):
        leave_one_out(flat, support_x[:3], torch.tensor([0, 0, 1]))


def test_probabilities_are_a_softmax_of_nearness():
    D = torch.tensor([[0.1, 0.3], [0.2, 0.2]])
    p = probabilities(D, 5.0)
    assert p[0, 0].item() == pytest.approx(1 / (1 + 2.718281828459045**-1.0))
    assert torch.equal(p[1], torch.full((2,), 0.5))
    assert torch.equal(probabilities(D, 0.0), torch.full((2, 2), 0.5))


def smoothed_loss(distances, labels, scale):
    n, ways = distances.shape
    targets = torch.full_like(distances, 1 / (n + 2) / (ways - 1))
    targets[torch.arange(n), labels] = 1 - 1 / (n + 2)
    return -(targets * (-scale * distances).log_softmax(dim=1)).sum(dim=1).mean().item()


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_the_scale_is_where_the_loss_is_least(generator, noise):
    labels = torch.arange(40) % 4
    distances = noise * torch.rand(40, 4, generator=generator)
    distances[torch.arange(40), labels] -= 0.3
    scale = fit_scale(distances, labels)
    least = smoothed_loss(distances, labels, scale)
    for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0):
        assert smoothed_loss(distances, labels, factor * scale) > least


def test_no_mistake_does_not_ask_for_certainty():
    distances = 0.3 * (1 - torch.eye(3))
    sure = probabilities(distances, fit_scale(distances, torch.arange(3)))
    assert sure.diagonal().tolist() == pytest.approx([1 - 1 / 5] * 3)


def test_answers_that_are_no_better_than_guesses_get_no_confidence():
    assert fit_scale(torch.tensor([[0.1, 0.9], [0.9, 0.1]]), torch.tensor([1, 0])) < 1e-9


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 0, 2, 2], ValueError, r"support_y must hold each of 0 to 2, but were \[0, 0, 2, 2\]"),
        ([0, 0, 1], ValueError, r"support_y must have shape \(4,\), one label for each image"),
        ([0.0, 0.0, 1.0, 1.0], TypeError, "support_y must be whole numbers, but were of"),
    ],
)
def test_labels_that_name_no_classes_are_refused(labels, error, message):
    x = torch.rand(4, 1, 2, 2)
    with pytest.raises(error, match=message):
        class_distances(flat, x, torch.tensor(labels), x)


def test_a_scale_is_fitted_to_labels_of_the_classes_only():
    for labels, message in (
        ([0, -1], r"labels must be 0 to 2, but held \[-1\]"),
        ([0, 3], r"labels must be 0 to 2, but held \[3\]"),
        ([0], r"labels must have shape \(2,\), one for each query, but had \(1,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_scale(torch.rand(2, 3), torch.tensor(labels))


def test_only_the_labels_need_a_value(support):
    """The device "meta" has shapes and no values; what is made elsewhere does not fit there."""
    support_x, support_y = support[0].to("meta"), support[1]
    assert class_distances(flat, support_x, support_y, support_x).is_meta
    assert leave_one_out(flat, support_x, support_y).is_meta
