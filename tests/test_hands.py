"""More characters and more hands: turned classes, redrawn images, groups of classes."""

import pytest
import torch

from meta_lib.tasks.episodes import groups, one_group, sample_episode
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.hands import other_hand, quarter_turns

ALPHABETS = {
    f"{alphabet}/{letter}": torch.rand(3, 1, 6, 6)
    for alphabet, letters in (("Latin", "abc"), ("Greek", "ab"), ("Runes", "abcd"))
    for letter in letters
}


def test_turned_classes_are_classes_of_turned_groups():
    turned = quarter_turns(ALPHABETS)
    assert len(turned) == 4 * len(ALPHABETS)
    images = ALPHABETS["Latin/a"]
    assert torch.equal(turned["Latin/a"], images)
    for quarters in (1, 2, 3):
        expected = torch.stack([torch.rot90(image, quarters, (1, 2)) for image in images])
        assert torch.equal(turned[f"Latin turned {quarters}/a"], expected)
    assert {name: len(group) for name, group in groups(turned).items()}["Runes turned 2"] == 4
    assert list(quarter_turns({"plain": images})) == [
        "plain", "plain turned 1", "plain turned 2", "plain turned 3"
    ]  # fmt: skip


def test_another_hand_draws_nearly_the_same():
    images = torch.cat(list(glyphs(3, 4, size=28).values()))

    def drawn(strength, **how):
        return other_hand(images, torch.Generator().manual_seed(1), strength, **how)

    assert torch.equal(drawn(1.0), drawn(1.0)), "a seed must give the same drawing"
    assert 0 <= drawn(3.0, bend=0.2).min() and drawn(3.0, bend=0.2).max() <= 1
    # At no strength at all only the ink differs, by one factor an image.
    still = drawn(1e-9)
    inked = images > 0
    factors = [(a[i] / b[i]) for a, b, i in zip(still, images, inked, strict=True)]
    for factor, image in zip(factors, still, strict=True):
        free = factor[image[image > 0] < 1] if len(factor) == (image > 0).sum() else factor
        assert 0.69 < factor.min() and free.max() < 1.61
    change = [(drawn(s) - still).abs().mean().item() for s in (0.2, 1.0, 3.0)]
    assert change[0] < change[1] < change[2]
    assert not torch.equal(drawn(1.0, bend=0.1), drawn(1.0))


def test_a_stack_of_images_keeps_its_shape():
    images = torch.rand(2, 5, 1, 8, 8)
    assert other_hand(images, torch.Generator().manual_seed(0)).shape == images.shape


def test_shifts_have_the_size_that_is_promised():
    """Of a single dot in the middle, the centre of mass tells the shift: 3 % of the side."""
    dot = torch.zeros(4000, 1, 33, 33)
    dot[:, :, 15:18, 15:18] = 1
    drawn = other_hand(dot, torch.Generator().manual_seed(0))[:, 0]
    where = torch.arange(33.0).double() - 16
    for axis in (1, 2):
        mass = drawn.sum(dim=3 - axis)
        centre = (mass * where).sum(dim=1) / mass.sum(dim=1)
        assert centre.mean().abs() < 0.05 and 0.9 < centre.std() / (0.03 * 33) < 1.1


@pytest.mark.parametrize(
    ("images", "strength", "message"),
    [
        (torch.rand(2, 8, 8), 1.0, "images must have shape"),
        (torch.rand(2, 1, 8, 8), 0.0, "strength must be"),
    ],
)
def test_what_cannot_be_redrawn_is_refused(images, strength, message):
    with pytest.raises(ValueError, match=message):
        other_hand(images, torch.Generator(), strength)


def test_a_task_within_a_group_has_one_alphabet(generator):
    seen = set()
    for _ in range(40):
        chosen = one_group(groups(ALPHABETS), 3, generator)
        (alphabet,) = groups(chosen)
        assert chosen.keys() == groups(ALPHABETS)[alphabet].keys()
        sample_episode(chosen, 3, 1, 1, generator)
        seen.add(alphabet)
    assert seen == {"Latin", "Runes"}, "every group that is large enough, and no other"
    with pytest.raises(ValueError, match="ways must be at most 4, the number of classes in the l"):
        one_group(groups(ALPHABETS), 5, generator)
