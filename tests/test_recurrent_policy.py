"""The recurrent policy: its loss by hand, its choices, and what training achieves."""

import pytest
import torch

from meta_lib import recurrent_policy as rl
from meta_lib.tasks.bandits import Bandits, epsilon_greedy, play, regret, sample_bandits
from meta_lib.tasks.grids import Grids, distance, sample_goals


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_the_loss_is_the_policy_gradient_by_hand():
    actions = torch.tensor([[0, 1], [1, 0]])
    chances = torch.tensor([[[0.3, 0.7], [0.4, 0.6]], [[0.5, 0.5], [0.8, 0.2]]])
    gains = torch.tensor([[0.2 - 0.9, 0.0], [0.4 - 0.5, 0.0]])
    returns = torch.tensor([[g[0] + 0.5 * g[1], g[1]] for g in gains.tolist()])
    advantage = returns - returns.mean(dim=0)
    advantage = advantage / advantage.std()
    log_chance = torch.log(torch.tensor([[0.3, 0.6], [0.5, 0.8]]))
    entropy = torch.distributions.Categorical(probs=chances).entropy()
    expected = -(advantage * log_chance + 0.1 * entropy).mean()
    loss = rl.policy_loss(rl.Played(actions, gains, gains, chances.log()), 0.5, 0.1)
    assert loss.item() == pytest.approx(expected.item())


def test_the_memory_is_that_of_torch():
    policy = rl.RecurrentPolicy(3, hidden=4, observed=2)
    seen, memory = torch.randn(5, 6), torch.randn(5, 4)
    log_chances, found = policy(seen, memory)
    expected = policy.memory(seen, memory)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(log_chances, policy.output(expected).log_softmax(dim=1))


def test_what_was_played_is_what_the_policy_said(generator):
    policy = rl.RecurrentPolicy(3, hidden=4)
    sure = torch.ones(4, 5, 3)  # every arm pays, so the rewards are known
    played = rl.play(policy, Bandits(sure), 4, generator)
    seen, memory = torch.zeros(5, 4), torch.zeros(5, 4)
    for number in range(4):
        log_chances, memory = policy(seen, memory)
        torch.testing.assert_close(played.log_chances[:, number], log_chances)
        arm = played.actions[:, number]
        seen = torch.cat([torch.eye(3)[arm], torch.ones(5, 1)], dim=1)
    assert (played.rewards == 1).all() and (played.gains == 0).all()


def test_a_policy_sees_where_it_stands(generator):
    """One that goes up below the middle row and down elsewhere never leaves the middle."""
    policy = rl.RecurrentPolicy(4, hidden=1, observed=25)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.zero_()
        policy.memory.weight_ih[2, :25] = torch.where(torch.arange(25) < 15, 50.0, -50.0)
        policy.memory.bias_ih[1] = -50  # the memory is the proposal alone
        policy.output.weight.copy_(torch.tensor([[-50.0], [0], [50], [0]]))
    world = Grids(torch.tensor([0, 4]))
    actions = rl.play(policy, world, 4, generator).actions
    assert actions.tolist() == [[2, 0, 2, 0]] * 2 and world.cell.tolist() == [12, 12]


def test_actions_are_chosen_with_their_chances(generator):
    chances = torch.tensor([0.1, 0.6, 0.3])
    arms = rl._choose(chances.log().expand(30_000, 3), generator)
    shares = torch.bincount(arms, minlength=3) / 30_000
    torch.testing.assert_close(shares, chances, atol=0.01, rtol=0)


def test_training_lowers_the_regret_on_new_machines(generator):
    test = sample_bandits(500, 2, 10, seeded(9))
    policy = rl.RecurrentPolicy(2, hidden=12)

    def mean_regret():
        with torch.no_grad():
            arms = rl.play(policy, Bandits(test), 10, seeded(1)).actions
        return regret(test, arms)[:, -1].mean()

    def sample():
        return Bandits(sample_bandits(128, 2, 10, generator))

    before = mean_regret()
    losses = rl.train([policy], sample, 10, 80, generator)
    assert len(losses) == 80
    assert mean_regret() < 0.8 * before
    random_arms, _ = play(epsilon_greedy(1.0), test, seeded(1))
    assert mean_regret() < regret(test, random_arms)[:, -1].mean()


def test_training_finds_hidden_goals_sooner(generator):
    policy, goals = rl.RecurrentPolicy(4, hidden=16, observed=25), sample_goals(300, seeded(9))
    near = goals[distance(goals) == 1]

    def found():
        with torch.no_grad():
            return rl.play(policy, Grids(near), 10, seeded(1)).rewards.sum(dim=1).mean()

    before = found()
    rl.train([policy], lambda: Grids(sample_goals(128, generator)), 10, 60, generator)
    assert found() > 1.3 * before


def test_policies_side_by_side_learn_as_each_alone():
    """The second gets what it would get alone: its own tasks, and no other's gradient."""
    torch.manual_seed(0)
    pair = [rl.RecurrentPolicy(2, hidden=4) for _ in range(2)]
    alone = rl.RecurrentPolicy(2, hidden=4)
    alone.load_state_dict(pair[1].state_dict())
    chances = sample_bandits(12, 2, 3, seeded(0))
    # All arms of the others' bandits pay alike, and each number drawn is the same for both halves.
    draws = torch.rand(100, 6, generator=seeded(1))

    def train(policies, some):
        numbers = iter(draws)

        def uniform(count, *more, generator):
            row = next(numbers).repeat(count // 6)
            return row[:, None] if more else row

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rl, "uniform", uniform)
            patch.setattr("meta_lib.tasks.bandits.uniform", uniform)
            return rl.train(policies, lambda: Bandits(some), 3, 4, seeded(2))

    train(pair, chances)
    train([alone], chances[:, 6:])
    for ours, theirs in zip(pair[1].parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not torch.equal(pair[0].output.weight, pair[1].output.weight)


def test_a_world_that_shows_something_else_is_refused(generator):
    world = Grids(torch.tensor([3, 4]))
    with pytest.raises(ValueError, match=r"seen must have shape \(tasks, 0\), but had \(2, 25\)"):
        rl.play(rl.RecurrentPolicy(3), world, 5, generator)
    alone = rl.play(rl.RecurrentPolicy(4, observed=25), Grids(torch.tensor([3])), 2, generator)
    with pytest.raises(
        ValueError, match=r"\(tasks, rounds\), with 2 tasks or more, but had \(1, 2\)"
    ):
        rl.policy_loss(alone, 0.9, 0.1)
    with pytest.raises(ValueError, match="actions must be at least 2, but was 1"):
        rl.RecurrentPolicy(1)
    with pytest.raises(ValueError, match="observed must be at least 0, but was -1"):
        rl.RecurrentPolicy(2, observed=-1)
    with pytest.raises(ValueError, match="rounds must be at least 1, but was 0"):
        rl.play(rl.RecurrentPolicy(4, observed=25), world, 0, generator)


def test_another_device_needs_no_value(monkeypatch, generator):
    """The device "meta" has shapes and no values; what is made elsewhere does not fit there."""
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    policy = rl.RecurrentPolicy(2, hidden=4)
    world = Bandits(sample_bandits(4, 2, 3, generator))
    rl.policy_loss(rl.play(rl.SideBySide([policy]), world, 3, generator), 0.9, 0.1).backward()
    assert all(weight.grad.is_meta for weight in policy.parameters())
