"""The recurrent policy: its loss by hand, its choices, and what training achieves."""

import pytest
import torch

from meta_lib import recurrent_policy as rl
from meta_lib.tasks.bandits import epsilon_greedy, play, regret, sample_bandits


def test_the_loss_is_the_policy_gradient_by_hand():
    machines = torch.tensor([[0.2, 0.9], [0.5, 0.4]])
    arms = torch.tensor([[0, 1], [1, 0]])
    log_chance = torch.log(torch.tensor([[0.3, 0.6], [0.5, 0.8]]))
    entropy = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    gains = [[0.2 - 0.9, 0.0], [0.4 - 0.5, 0.0]]
    returns = torch.tensor([[g[0] + 0.5 * g[1], g[1]] for g in gains])
    advantage = returns - returns.mean(dim=0)
    advantage = advantage / advantage.std()
    expected = -(advantage * log_chance + 0.1 * entropy).mean()
    loss = rl.policy_loss(machines, rl.Played(arms, log_chance, entropy), 0.5, 0.1)
    assert loss.item() == pytest.approx(expected.item())


def test_what_was_played_is_what_the_policy_said(generator):
    policy = rl.RecurrentPolicy(3, hidden=4)
    machines = torch.ones(5, 3)  # every arm pays, so the rewards are known
    played = rl.play(policy, machines, 4, generator)
    seen, memory = torch.zeros(5, 4), torch.zeros(5, 4)
    for number in range(4):
        log_chances, memory = policy(seen, memory)
        arm = played.arms[:, number]
        expected = log_chances.gather(1, arm[:, None])[:, 0]
        torch.testing.assert_close(played.log_chance[:, number], expected)
        entropy = torch.distributions.Categorical(logits=log_chances).entropy()
        torch.testing.assert_close(played.entropy[:, number], entropy)
        seen = torch.cat([torch.eye(3)[arm], torch.ones(5, 1)], dim=1)


def test_arms_are_chosen_with_their_chances(generator):
    chances = torch.tensor([0.1, 0.6, 0.3])
    arms = rl._choose(chances.log().expand(30_000, 3), generator)
    shares = torch.bincount(arms, minlength=3) / 30_000
    torch.testing.assert_close(shares, chances, atol=0.01, rtol=0)


def test_training_lowers_the_regret_on_new_machines(generator):
    test = sample_bandits(500, 2, torch.Generator().manual_seed(9))
    policy = rl.RecurrentPolicy(2, hidden=12)

    def mean_regret():
        with torch.no_grad():
            arms = rl.play(policy, test, 10, torch.Generator().manual_seed(1)).arms
        return regret(test, arms)[:, -1].mean()

    before = mean_regret()
    losses = rl.train(policy, lambda: sample_bandits(128, 2, generator), 10, 80, generator, 1e-2)
    assert len(losses) == 80
    assert mean_regret() < 0.8 * before
    random_arms = play(epsilon_greedy(1.0), test, 10, torch.Generator().manual_seed(1))
    assert mean_regret() < regret(test, random_arms)[:, -1].mean()


def test_bandits_with_another_number_of_arms_are_refused(generator):
    with pytest.raises(ValueError, match=r"bandits must have shape \(tasks, 3\), but had \(4, 2\)"):
        rl.play(rl.RecurrentPolicy(3), torch.rand(4, 2), 5, generator)
    with pytest.raises(
        ValueError, match=r"\(tasks, arms\), with 2 tasks or more, but had \(1, 3\)"
    ):
        rl.policy_loss(torch.rand(1, 3), None, 0.9, 0.1)
    with pytest.raises(ValueError, match="arms must be at least 2, but was 1"):
        rl.RecurrentPolicy(1)
    with pytest.raises(ValueError, match="rounds must be at least 1, but was 0"):
        rl.play(rl.RecurrentPolicy(2), torch.rand(4, 2), 0, generator)


def test_another_device_needs_no_value(monkeypatch, generator):
    """The device "meta" has shapes and no values; what is made elsewhere does not fit there."""
    monkeypatch.setenv("META_LIB_DEVICE", "meta")
    policy, machines = rl.RecurrentPolicy(2, hidden=4), sample_bandits(4, 2, generator)
    rl.policy_loss(machines, rl.play(policy, machines, 3, generator), 0.9, 0.1).backward()
    assert all(weight.grad.is_meta for weight in policy.parameters())
