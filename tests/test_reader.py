"""The reader of digits that learns from scratch."""

import torch
import torch.nn.functional as F

from meta_lib.rivals.reader import new_reader, score, train
from meta_lib.tasks.digits import digits, labelled


def test_a_seed_gives_the_same_reader():
    first, same, other = (new_reader(seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["1.weight"], other["1.weight"])


def test_training_is_the_loop_of_every_text_book(generator):
    x, y = labelled(digits(), 5, generator)
    ours, theirs = train(new_reader(0), x, y, steps=20, change=lambda x: 2 * x), new_reader(0)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(theirs(2 * x), y).backward()
        optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert score(ours, x, y) == (ours(x).argmax(1) == y).double().mean().item() > 0.5
