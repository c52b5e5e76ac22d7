"""Episodes: exact counts, no shared image, the same from the same seed, and clear refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_lib.tasks.episodes import (
    Episode,
    sample_episode,
    sample_episodes,
    split_classes,
    unstack,
)


def numbered_images(*samples):
    """Make a set whose images say which they are: class·1000 + sample, in their one pixel."""
    return {
        f"class {c}": (1000 * c + torch.arange(n, dtype=torch.float64)).reshape(n, 1, 1, 1)
        for c, n in enumerate(samples)
    }


@settings(max_examples=60, deadline=None)
@given(
    samples=st.lists(st.integers(4, 9), min_size=3, max_size=8),
    ways=st.integers(1, 3),
    shots=st.integers(1, 2),
    queries=st.integers(0, 2),
    seed=st.integers(0, 2**31),
)
def test_an_episode_holds_what_was_asked_for(samples, ways, shots, queries, seed):
    image_set = numbered_images(*samples)
    episode = sample_episode(image_set, ways, shots, queries, torch.Generator().manual_seed(seed))
    again = sample_episode(image_set, ways, shots, queries, torch.Generator().manual_seed(seed))
    assert all(torch.equal(a, b) for a, b in zip(episode, again, strict=True))
    support, query = episode.support_x.flatten().tolist(), episode.query_x.flatten().tolist()

    assert len(support) == ways * shots and len(query) == ways * queries
    assert len(set(support + query)) == len(support) + len(query), "an image occurs twice"
    assert episode.support_y.tolist() == [way for way in range(ways) for _ in range(shots)]
    assert episode.query_y.tolist() == [way for way in range(ways) for _ in range(queries)]
    labels = episode.support_y.tolist() + episode.query_y.tolist()
    class_of = dict(zip(labels, [image // 1000 for image in support + query], strict=True))
    assert len(set(class_of.values())) == ways, "two labels share a class"
    for image, label in zip(support + query, labels, strict=True):
        assert image // 1000 == class_of[label], "a label has images of two classes"


def test_a_seed_gives_the_same_episode_for_ever():
    episode = sample_episode(numbered_images(*[6] * 7), 3, 1, 2, torch.Generator().manual_seed(20))
    assert episode.support_x.flatten().tolist() == [3001, 5002, 4002]
    assert episode.query_x.flatten().tolist() == [3002, 3005, 5001, 5004, 4003, 4005]


def test_every_class_and_image_gets_its_turn(generator):
    image_set = numbered_images(4, 4, 4)
    seen = {
        image
        for _ in range(100)
        for image in sample_episode(image_set, 2, 1, 1, generator).query_x.flatten().tolist()
    }
    assert len(seen) == 12


def test_a_stack_of_episodes_is_its_episodes(generator):
    image_set = numbered_images(*[5] * 6)
    stack = sample_episodes(image_set, 4, 3, 1, 2, torch.Generator().manual_seed(3))
    one_by_one = torch.Generator().manual_seed(3)
    assert stack.query_x.shape == (4, 6, 1, 1, 1)
    for episode in unstack(stack):
        expected = sample_episode(image_set, 3, 1, 2, one_by_one)
        assert isinstance(episode, Episode)
        assert all(torch.equal(a, b) for a, b in zip(episode, expected, strict=True))


def test_parts_of_a_split_share_no_class(generator):
    image_set = numbered_images(*[3] * 10)
    train, validation, test = split_classes(image_set, 5, 2, 3, generator=generator)
    assert [len(part) for part in (train, validation, test)] == [5, 2, 3]
    assert len({*train, *validation, *test}) == 10
    assert all(torch.equal(train[name], image_set[name]) for name in train)
    assert list(train) != list(image_set)[:5], "the classes were not shuffled"


@pytest.mark.parametrize(
    ("ways", "shots", "queries", "error", "message"),
    [
        (4, 1, 1, ValueError, "ways must be at most 3, the number of classes.*but was 4"),
        (2, 3, 3, ValueError, r"shots \+ queries must be at most 5.*'class 1'.*3 \+ 3 = 6"),
        (2, 0, 1, ValueError, "shots must be at least 1, but was 0"),
        (0, 1, 1, ValueError, "ways must be at least 1, but was 0"),
        (2, 1, -1, ValueError, "queries must be at least 0, but was -1"),
        (2, 1.5, 1, TypeError, "shots must be a whole number, but was 1.5"),
        (True, 1, 1, TypeError, "ways must be a whole number, but was True"),
        ("2", 1, 1, TypeError, "ways must be a whole number, but was '2'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(ways, shots, queries, error, message, generator):
    state = generator.get_state()
    with pytest.raises(error, match=message):
        sample_episode(numbered_images(6, 5, 6), ways, shots, queries, generator)
    assert torch.equal(generator.get_state(), state), "random numbers were drawn before the refusal"


def test_images_of_the_wrong_shape_are_refused(generator):
    with pytest.raises(
        ValueError, match=r"class 'a' must have shape \(samples, .*had \(5, 28, 28\)"
    ):
        sample_episode({"a": torch.zeros(5, 28, 28)}, 1, 1, 1, generator)


def test_a_split_into_more_classes_than_there_are_is_refused(generator):
    with pytest.raises(ValueError, match=r"sizes must add up to at most 3.*2 \+ 2 = 4"):
        split_classes(numbered_images(2, 2, 2), 2, 2, generator=generator)
