"""The figure of the meta-update computes what `maml` does."""

import torch
from browser import call, put, show_figure
from torch.func import vmap

from meta_lib import maml
from meta_lib.moving.meta_update import PLANE, MetaUpdate
from meta_lib.tasks.episodes import Episode


def bowl(theta, H, c):
    """L(θ) = ½ (θ - c)ᵀ H (θ - c), with H as the input and c as the target."""
    return 0.5 * (theta["at"] - c[0]) @ H[0] @ (theta["at"] - c[0])


def test_a_meta_update_is_the_librarys(tab, generator):
    figure = show_figure(tab, MetaUpdate())
    H, c = (torch.tensor([task[of] for task in PLANE])[:, None] for of in ("H", "c"))
    for case in range(100):
        x, y, alpha, beta = torch.rand(4, generator=generator).tolist()
        phi, steps = [6 * x - 3, 6 * y - 3], case % 6
        tasks = Episode(H, c, H, c)
        at = {"at": torch.tensor(phi)}
        gradient, loss = maml.meta_gradient(vmap(bowl), at, tasks, alpha + 0.01, steps)
        first, _ = maml.meta_gradient(vmap(bowl), at, tasks, alpha + 0.01, steps, first_order=True)
        shown = call(figure, "metaStep", PLANE, phi, alpha + 0.01, beta + 0.01, steps)
        moved = maml.meta_update(at, gradient, beta + 0.01)
        for ours, theirs in (
            (gradient["at"], shown["full"]),
            (first["at"], shown["first"]),
            (moved["at"], shown["next"]),
            (loss, shown["loss"]),
        ):
            torch.testing.assert_close(torch.tensor(theirs), ours, rtol=1e-10, atol=1e-10)


def test_too_large_a_rate_is_named(tab):
    figure = show_figure(tab, MetaUpdate())
    assert "Diverged" not in put(figure, alpha=0.2, steps=8)
    assert "Diverged" in put(figure, alpha=40.0, steps=8)
