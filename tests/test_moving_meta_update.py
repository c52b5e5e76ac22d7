"""The figure of the meta-update computes what `maml` does."""

import torch
from browser import call, put, show_figure
from torch.func import vmap

from meta_lib import maml
from meta_lib.moving.meta_update import LINE, PLANE, MetaUpdate
from meta_lib.tasks.episodes import Episode


def bowl(theta, H, c):
    """L(θ) = ½ (θ - c)⊤ H (θ - c), with H as the input and c as the target."""
    return 0.5 * (theta["at"] - c[0]) @ H[0] @ (theta["at"] - c[0])


def test_a_meta_update_is_that_of_the_library(tab, generator):
    figure = show_figure(tab, MetaUpdate())
    H, c = (torch.tensor([task[of] for task in PLANE])[:, None] for of in ("H", "c"))
    for case in range(100):
        x, y, alpha, beta = torch.rand(4, generator=generator).tolist()
        phi, steps = [6 * x - 3, 6 * y - 3], case % 6
        tasks = Episode(H, c, H, c)
        at = {"at": torch.tensor(phi)}
        gradient, loss = maml.meta_gradient(vmap(bowl), at, tasks, alpha + 0.01, steps)
        first, _ = maml.meta_gradient(
            vmap(bowl), at, tasks, alpha + 0.01, steps, maml.first_order_loss
        )
        shown = call(figure, "metaStep", PLANE, phi, alpha + 0.01, beta + 0.01, steps)
        # The library has the mean over the tasks, the formula and the figure the sum.
        moved = maml.meta_update(at, gradient, (beta + 0.01) * len(PLANE))
        for ours, theirs in (
            (gradient["at"] * len(PLANE), shown["full"]),
            (first["at"] * len(PLANE), shown["first"]),
            (moved["at"], shown["next"]),
            (loss * len(PLANE), shown["loss"]),
        ):
            torch.testing.assert_close(torch.tensor(theirs), ours, rtol=1e-10, atol=1e-10)


def test_too_large_a_rate_is_named(tab):
    figure = show_figure(tab, MetaUpdate())
    assert "Diverged" not in put(figure, alpha=0.2, steps=8)
    assert "Diverged" in put(figure, alpha=40.0, steps=8)


def test_many_updates_rest_where_the_meta_loss_is_lowest(tab):
    figure = show_figure(tab, MetaUpdate())
    for tasks in (PLANE, LINE):
        start = [0.5] * len(tasks[0]["c"])
        bottom = call(figure, "metaBowl", tasks, 0.2, 1)
        path = call(figure, "walk", tasks, start, 0.2, 0.1, 1, "full", 3000)
        torch.testing.assert_close(torch.tensor(path[-1]), torch.tensor(bottom["c"]))
        pull = call(figure, "metaStep", tasks, start, 0.2, 1, 1)["full"]
        way = torch.tensor(start) - torch.tensor(bottom["c"])
        torch.testing.assert_close(torch.tensor(bottom["H"]) @ way, torch.tensor(pull))


def test_the_workshop_has_its_answer(tab):
    """The chapter's two customers: MAML rests at -0.4, first order at 0.5."""
    figure = show_figure(tab, MetaUpdate())
    said = put(figure, space="line", alpha=0.2, beta=0.2, steps=1, tasks=2)
    assert "MAML is at −0.4, first order is at 0.5" in said
