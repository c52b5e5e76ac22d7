"""The families of tasks: what is drawn lies where it should, and a seed fixes it."""

import math

import pytest
import torch
from scipy import ndimage, stats

from meta_lib.tasks import bandits, draws
from meta_lib.tasks.digits import add_noise, digits, labelled, rotate, split, thin
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.grids import START, Grids, distance, sample_goals
from meta_lib.tasks.quadratics import sample_quadratics
from meta_lib.tasks.sinusoids import Waves, sample_points, sample_waves


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_draws_do_not_depend_on_the_precision():
    double = draws.uniform(5, generator=seeded(), low=-1, high=3)
    torch.set_default_dtype(torch.float32)
    single = draws.uniform(5, generator=seeded(), low=-1, high=3)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, double.float())


def test_sinusoids_are_those_of_the_paper():
    waves = sample_waves(2000, seeded())
    points = sample_points(waves, 7, 3, seeded(1))
    assert points.support_x.shape == points.support_y.shape == (2000, 7, 1)
    assert points.query_x.shape == points.query_y.shape == (2000, 3, 1)
    for values, low, high in (
        (waves.amplitude, 0.1, 5),
        (waves.phase, 0, math.pi),
        (points.support_x, -5, 5),
        (points.query_x, -5, 5),
    ):
        test = stats.kstest(values.flatten().numpy(), "uniform", (low, high - low))
        assert test.pvalue > 1e-3 and low <= values.min() and values.max() <= high


def test_a_sinusoid_has_its_amplitude_and_phase():
    wave = Waves(torch.full((1, 1, 1), 2.0), torch.full((1, 1, 1), 0.5))
    x = torch.tensor([[0.5], [0.5 + math.pi / 2]])
    assert wave(x)[0, :, 0].tolist() == pytest.approx([0, 2])


def test_support_and_query_points_of_a_sinusoid_differ():
    points = sample_points(sample_waves(3, seeded()), 5, 5, seeded(1))
    assert not torch.isclose(points.support_x, points.query_x).any()


def test_quadratics_have_the_loss_that_they_say():
    tasks = sample_quadratics(3, 4, seeded())
    theta = torch.randn(3, 4, generator=seeded(1))
    expected = [((W @ t - y) ** 2).sum().item() for W, y, t in zip(*tasks, theta, strict=True)]
    assert tasks(theta).tolist() == pytest.approx(expected)
    W = sample_quadratics(500, 10, seeded(2)).W
    assert stats.kstest(W.flatten().numpy(), "norm").pvalue > 1e-3


def test_digits_are_the_1797_real_ones():
    image_set = digits()
    assert list(image_set) == [str(digit) for digit in range(10)]
    assert sum(len(images) for images in image_set.values()) == 1797
    assert all(images.shape[1:] == (1, 8, 8) for images in image_set.values())
    assert {images.max().item() for images in image_set.values()} == {1.0}
    assert min(images.min().item() for images in image_set.values()) == 0.0


def numbers_of(images, of):
    """Return at which place among the images `of` each of `images` lies."""
    return (images[:, None] == of[None]).flatten(2).all(2).double().argmax(1)


@pytest.mark.parametrize("seed", range(5))
def test_a_test_by_writer_is_one_run_of_images_and_the_pool_another(seed):
    pool, x, y = split(torch.Generator().manual_seed(seed), by_writer=True)
    for digit, images in digits().items():
        tested = numbers_of(x[y == int(digit)], images).sort().values
        assert len(tested) == 70 and len(pool[digit]) == len(images) - 70
        assert (tested.diff() != 1).sum() <= 1, "one run, perhaps round the end"
        assert not set(tested.tolist()) & set(numbers_of(pool[digit], images).tolist())


def test_a_shuffled_test_has_images_from_everywhere():
    pool, x, y = split(seeded(), by_writer=False, tested=20)
    places = numbers_of(x[y == 3], digits()["3"])
    assert len(x) == 200 and (places.sort().values.diff() != 1).sum() > 10
    assert len(torch.cat(list(pool.values()))) == 1597


def test_labelled_images_are_different_ones_of_their_digit():
    x, y = labelled(digits(), 5, seeded(), "73")
    assert y.tolist() == 5 * [7] + 5 * [3] and x.shape == (10, 1, 8, 8)
    places = numbers_of(x[:5], digits()["7"])
    assert len(set(places.tolist())) == 5
    assert torch.equal(x[:5], digits()["7"][places])


def test_rotation_by_quarter_turns_is_exact_and_anticlockwise():
    images = digits()["4"][:5]
    torch.testing.assert_close(rotate(images, 0), images)
    torch.testing.assert_close(rotate(images, 90), torch.rot90(images, 1, dims=(2, 3)))
    torch.testing.assert_close(rotate(images, -180), torch.rot90(images, 2, dims=(2, 3)))


def test_rotation_agrees_with_an_independent_one():
    image = digits()["7"][0]
    ours = rotate(image[None], 30)[0, 0].numpy()
    theirs = ndimage.rotate(image[0].numpy(), 30, reshape=False, order=1, mode="grid-constant")
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_thinning_goes_from_the_image_to_its_erosion():
    images = digits()["0"][:3]
    torch.testing.assert_close(thin(images, 0), images)
    eroded = ndimage.grey_erosion(images[0, 0].numpy(), size=(3, 3), mode="constant", cval=1.0)
    assert thin(images, 1)[0, 0].numpy() == pytest.approx(eroded)
    torch.testing.assert_close(thin(images, 0.5), (images + thin(images, 1)) / 2)


def test_noise_has_its_size_and_stays_in_range():
    grey = torch.full((50, 1, 20, 20), 0.5)
    assert add_noise(grey, 0.1, seeded()).std().item() == pytest.approx(0.1, rel=0.02)
    loud = add_noise(grey, 5.0, seeded())
    assert loud.min() == 0 and loud.max() == 1
    assert torch.equal(add_noise(grey, 0.0, seeded()), grey)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rotate(torch.zeros(8, 8), 10), r"images must have shape .*had \(8, 8\)"),
        (lambda: thin(digits()["0"], 1.5), "amount must lie between 0 and 1, but was 1.5"),
        (lambda: split(seeded(), True, 174), "tested must be less than 174, but was 174"),
        (
            lambda: labelled(digits(), 175, seeded()),
            "the images of 8 must be at least 175, but was",
        ),
        (lambda: add_noise(digits()["0"], -1, seeded()), "sigma must be at least 0, but was -1"),
        (lambda: sample_waves(0, seeded()), "tasks must be at least 1, but was 0"),
        (
            lambda: sample_points(sample_waves(1, seeded()), 0, 1, seeded()),
            "shots must be at least",
        ),
        (lambda: sample_quadratics(1, 0, seeded()), "size must be at least 1, but was 0"),
        (lambda: glyphs(0), "classes must be at least 1, but was 0"),
        (lambda: glyphs(1, drawers=0), "drawers must be at least 1, but was 0"),
        (lambda: glyphs(1, size=3), "size must be at least 4, but was 3"),
        (
            lambda: bandits.sample_changing(1, 2, 9, seeded()),
            "rounds must be at least 10, but was 9",
        ),
        (lambda: sample_goals(0, seeded()), "tasks must be at least 1, but was 0"),
        (lambda: bandits.sample_bandits(1, 1, 2, seeded()), "arms must be at least 2, but was 1"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_glyphs_are_images_with_ink_on_paper():
    image_set = glyphs(6, drawers=5, size=20)
    assert list(image_set) == [f"glyph {i}" for i in range(6)]
    for images in image_set.values():
        assert images.shape == (5, 1, 20, 20)
        assert 0 <= images.min() and images.max() <= 1
        assert images.amax(dim=(1, 2, 3)).min() > 0.7, "a drawing has no ink"
        assert images.mean(dim=(1, 2, 3)).max() < 0.5, "a drawing is all ink"


def test_glyphs_depend_on_the_seed_alone():
    few, many, other = glyphs(2, 3), glyphs(4, 3), glyphs(2, 3, seed=1)
    assert torch.equal(few["glyph 1"], many["glyph 1"])
    assert not torch.equal(few["glyph 1"], other["glyph 1"])
    torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(glyphs(2, 3)["glyph 1"], few["glyph 1"].float(), atol=1e-4, rtol=0)


def test_a_glyph_is_more_like_itself_than_like_others():
    images = torch.stack(list(glyphs(40, 2).values())).flatten(2)
    distance = torch.cdist(images[:, 0], images[:, 1])
    same = distance.diagonal().mean()
    different = distance[~torch.eye(40, dtype=torch.bool)].mean()
    assert same < 0.85 * different
    nearest = (distance.argmin(dim=1) == torch.arange(40)).double().mean()
    assert 0.1 < nearest < 0.8, "the glyphs are either all alike or too easy to tell apart"


def test_regret_counts_what_the_best_arm_would_have_brought():
    machines = torch.tensor([[0.2, 0.7, 0.5]])
    arms = torch.tensor([[1, 0, 2]])
    chances = machines.expand(3, -1, -1)
    assert bandits.regret(chances, arms)[0].tolist() == pytest.approx([0, 0.5, 0.7])
    changed = torch.stack([*chances[:2], machines.flip(1)])
    assert bandits.regret(changed, arms)[0].tolist() == pytest.approx([0, 0.5, 1.0])


def test_a_pulled_arm_pays_with_its_chance():
    machines = torch.tensor([[0.0, 1.0, 0.3]]).expand(20_000, 3)
    for arm, chance in ((0, 0.0), (1, 1.0), (2, 0.3)):
        paid = bandits.pull(machines, torch.full((20_000,), arm), seeded())
        assert paid.mean().item() == pytest.approx(chance, abs=0.01)


def test_play_tells_the_strategy_what_happened():
    seen = []

    def alternate(pulls, wins, number, generator):
        seen.append((pulls.clone(), wins.clone(), number))
        return torch.tensor([number % 2, 1])

    machines = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    arms, rewards = bandits.play(alternate, machines.expand(3, -1, -1), seeded())
    assert arms.tolist() == [[0, 1, 0], [1, 1, 1]]
    assert rewards.tolist() == [[1, 0, 1], [1, 1, 1]]
    pulls, wins, number = seen[-1]
    assert (pulls.tolist(), wins.tolist(), number) == ([[1, 1], [0, 2]], [[1, 0], [0, 2]], 2)
    bandits.play(alternate, machines.expand(3, -1, -1), seeded(), keep=0.5)
    pulls, wins, _ = seen[-1]
    assert (pulls.tolist(), wins.tolist()) == ([[0.5, 1], [0, 1.5]], [[0.5, 0], [0, 1.5]])


def test_changing_bandits_change_once_and_in_time():
    chances = bandits.sample_changing(2000, 2, 30, seeded())
    moved = (chances[1:] != chances[:-1]).any(dim=2)
    assert (moved.sum(dim=0) == 1).all()
    assert set((moved.int().argmax(dim=0) + 1).tolist()) == set(range(5, 26))
    at_once = bandits.sample_changing(5, 2, 30, seeded(), at=15)
    assert (at_once[14] != at_once[15]).all() and (at_once[15] == at_once[29]).all()


def test_the_chances_of_paired_arms_add_up_to_one():
    chances = bandits.sample_paired(50, 4, seeded())
    assert chances.shape == (4, 50, 2) and (chances[0] == chances[3]).all()
    torch.testing.assert_close(chances.sum(dim=2), torch.ones(4, 50))
    assert chances[0, :, 0].unique().numel() == 50


def test_a_world_of_bandits_pays_and_tells_the_gain():
    chances = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    world = bandits.Bandits(chances)
    assert world.seen.shape == (2, 0)
    for reward, gain in (([1, 0], [0, -1]), ([0, 0], [-1, -1])):
        found = world.act(torch.tensor([0, 0]), seeded())
        assert [each.tolist() for each in found] == [reward, gain]


def test_epsilon_greedy_explores_as_often_as_it_says():
    pulls, wins = torch.full((20_000, 4), 10.0), torch.tensor([[5.0, 1, 1, 1]]).expand(20_000, 4)
    best = bandits.epsilon_greedy(0.2)(pulls, wins, 40, seeded()) == 0
    assert best.double().mean().item() == pytest.approx(0.8 + 0.2 / 4, abs=0.01)
    assert (bandits.epsilon_greedy(0.0)(pulls, wins, 40, seeded()) == 0).all()


def test_ucb_follows_its_bound():
    pulls, wins = torch.tensor([[10.0, 2.0, 4.0]]), torch.tensor([[7.0, 1.0, 2.0]])
    for c, best in ((math.sqrt(2), 1), (0.1, 0)):
        bound = [w / n + c * math.sqrt(math.log(16) / n) for n, w in ((10, 7), (2, 1), (4, 2))]
        assert bandits.ucb(c)(pulls, wins, 16, seeded()).item() == bound.index(max(bound)) == best
    untried = torch.tensor([[5.0, 0.0, 5.0]])
    assert bandits.ucb(math.sqrt(2))(untried, untried, 10, seeded()).item() == 1


def test_an_optimist_tries_an_arm_until_it_has_lost_often_enough():
    pulls, wins = torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    assert bandits.optimistic(1.0)(pulls, wins, 3, seeded()).tolist() == [1, 0]
    pulls, wins = torch.tensor([[3.0, 1.0]]), torch.tensor([[2.0, 0.0]])
    for wins_before in (1.0, 20.0):
        shares = [(w + wins_before) / (n + wins_before) for n, w in ((3, 2), (1, 0))]
        expected = shares.index(max(shares))
        assert bandits.optimistic(wins_before)(pulls, wins, 4, seeded()).item() == expected


def test_thompson_sampling_pulls_an_arm_as_often_as_it_is_the_best_one():
    pulls = torch.tensor([[3.0, 8.0]]).expand(40_000, 2)
    wins = torch.tensor([[2.0, 4.0]]).expand(40_000, 2)
    grid = torch.linspace(0, 1, 20_001).numpy()
    for evidence in (1, 3):
        drawn = bandits.thompson(evidence)(pulls, wins, 11, seeded())
        first = (drawn == 0).double().mean().item()
        # P(A > B) for A ~ Beta(3, 2), B ~ Beta(5, 5) and their like, by integration.
        a, b = ((1 + evidence * w, 1 + evidence * lost) for w, lost in ((2, 1), (4, 4)))
        expected = (stats.beta.pdf(grid, *a) * stats.beta.cdf(grid, *b)).mean()
        assert first == pytest.approx(expected, abs=0.01)


def test_a_grid_is_walked_cell_by_cell_and_its_goal_brings_back_to_the_start():
    world = Grids(torch.tensor([2, 14, 24]))  # the upper edge's middle, two to the right, a corner
    up, right = torch.zeros(3, dtype=torch.long), torch.ones(3, dtype=torch.long)
    assert world.seen.argmax(dim=1).tolist() == [START] * 3 and (world.seen.sum(dim=1) == 1).all()
    for action, reward, cells in (
        (up, [0, 0, 0], [7, 7, 7]),
        (up, [1, 0, 0], [START, 2, 2]),
        (up, [0, 0, 0], [7, 2, 2]),  # two stand at the border
        (right, [0, 0, 0], [8, 3, 3]),
    ):
        found = world.act(action, seeded())
        assert [each.tolist() for each in found] == [reward, reward]
        assert world.cell.tolist() == cells == world.seen.argmax(dim=1).tolist()


def test_goals_are_anywhere_but_at_the_start():
    goals = sample_goals(24_000, seeded())
    counts = torch.bincount(goals, minlength=25)
    assert counts[START] == 0 and counts[counts > 0].numel() == 24
    assert (counts[counts > 0] - 1000).abs().max() < 160
    assert distance(torch.tensor([0, 11, 14, 24])).tolist() == [4, 1, 2, 4]
