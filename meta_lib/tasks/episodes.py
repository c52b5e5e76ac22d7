"""Episodes: small tasks, each with a support set to learn from and a query set to be judged by.

Explained in part 2, "Meta-learning and machine learning"; the term is Vinyals et al.'s (2016),
https://arxiv.org/abs/1606.04080.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Generator, Tensor

from meta_lib.machinery import checks
from meta_lib.tasks.draws import whole_below

ImageSet = dict[str, Tensor]
"""An image set: for each class, by name, its images (samples, channels, height, width), in 0 to 1.
Classes may differ in their number of samples."""

Images = TypeVar("Images")


class Episode(NamedTuple):
    """One task, or a stack of tasks when every tensor has one more dimension in front.

    For images, with N ways, K shots and Q queries a class, labels being 0 to N - 1:

        support_x (N·K, channels, height, width), support_y (N·K,),
        query_x   (N·Q, channels, height, width), query_y   (N·Q,).

    For regression x and y are (K, 1) in the support set and (Q, 1) in the query set.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor


def sample_episode(
    image_set: ImageSet, ways: int, shots: int, queries: int, generator: Generator
) -> Episode:
    """Draw `ways` classes, and of each class `shots` support and `queries` other query images.

    Support and query never share an image. The same generator state gives the same episode on
    every machine. Both sets are ordered by class: `shots` images of class 0, then of class 1, …
    Built step by step in part 2, "Meta-learning and machine learning", section "The code: episodes
    of characters".

    Raises TypeError or ValueError if `ways`, `shots` or `queries` is not a whole number of at
    least 1 (0 queries are allowed), if the set has fewer classes than `ways`, or if a class has
    fewer than `shots + queries` images.
    """
    check_episode(image_set, ways, shots, queries)
    return _draw(image_set, ways, shots, queries, generator)


def sample_episodes(
    image_set: ImageSet, tasks: int, ways: int, shots: int, queries: int, generator: Generator
) -> Episode:
    """Draw `tasks` episodes and stack them: each tensor gets a first dimension of size `tasks`.

    Raises as `sample_episode` does, and if `tasks` is not a whole number of at least 1.
    """
    checks.whole_number("tasks", tasks)
    check_episode(image_set, ways, shots, queries)
    return stack([_draw(image_set, ways, shots, queries, generator) for _ in range(tasks)])


def stack(episodes: Sequence[Episode]) -> Episode:
    """Return tasks of one shape as a stack: each tensor gets a first dimension for the tasks."""
    return Episode(*map(torch.stack, zip(*episodes, strict=True)))


def unstack(episodes: Episode) -> list[Episode]:
    """Return the tasks of a stack of episodes one by one."""
    return [Episode(*tensors) for tensors in zip(*episodes, strict=True)]


def groups(image_set: ImageSet) -> dict[str, ImageSet]:
    """Return the set apart by groups: "Latin/character01" is of the group "Latin".

    A class without "/" in its name is a group of its own. Characters of one alphabet are harder to
    tell apart than characters of many, so episodes within a group are reported on their own: part
    5, "Few-shot character recognition".
    """
    apart: dict[str, ImageSet] = {}
    for name, images in image_set.items():
        apart.setdefault(name.partition("/")[0], {})[name] = images
    return apart


def one_group(apart: dict[str, ImageSet], ways: int, generator: Generator) -> ImageSet:
    """Draw one of the `groups` that have at least `ways` classes, all of them alike.

    Raises ValueError if no group has so many.
    """
    large = [group for group in apart.values() if len(group) >= ways]
    if not large:
        raise ValueError(
            f"ways must be at most {max(map(len, apart.values()), default=0)}, the number of "
            f"classes in the largest group, for tasks within a group, but was {ways}"
        )
    return large[int(whole_below(torch.tensor(len(large)), generator))]


def task_source(
    image_set: ImageSet, ways: int, shots: int, queries: int, generator: Generator
) -> Callable[[bool], Episode]:
    """Return a function that draws one task after another, each as `sample_episode` does.

    It is called with whether all classes of the task are to be of one group. What does not change
    from task to task is checked and set apart once.

    Raises as `sample_episode` does; the function as `one_group` does.
    """
    check_episode(image_set, ways, shots, queries)
    apart = groups(image_set)

    def draw(within: bool) -> Episode:
        classes = one_group(apart, ways, generator) if within else image_set
        return _draw(classes, ways, shots, queries, generator)

    return draw


def split_classes(
    image_set: dict[str, Images], *sizes: int, generator: Generator
) -> list[dict[str, Images]]:
    """Shuffle the classes and deal them out: one image set for each of `sizes`, no class twice.

    Meta-training, validation and test must share no class (part 2, "Meta-learning and machine
    learning").

    Raises ValueError if the sizes add up to more classes than there are.
    """
    for size in sizes:
        checks.whole_number("sizes", size, at_least=0)
    if sum(sizes) > len(image_set):
        raise ValueError(
            f"sizes must add up to at most {len(image_set)}, the number of classes, "
            f"but {' + '.join(map(str, sizes))} = {sum(sizes)}"
        )
    names = list(image_set)
    shuffled = [names[i] for i in torch.randperm(len(names), generator=generator)]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        {name: image_set[name] for name in shuffled[start : start + size]}
        for start, size in zip(starts, sizes, strict=True)
    ]


def check_episode(image_set: ImageSet, ways: int, shots: int, queries: int) -> None:
    """Raise, with what is wrong, unless the set has enough classes and samples for the episode."""
    checks.whole_number("ways", ways)
    checks.whole_number("shots", shots)
    checks.whole_number("queries", queries, at_least=0)
    if ways > len(image_set):
        raise ValueError(
            f"ways must be at most {len(image_set)}, the number of classes in the image set, "
            f"but was {ways}"
        )
    for name, images in image_set.items():
        expected = "(samples, channels, height, width)"
        checks.shape(f"class {name!r}", images, expected, images.ndim == 4)
        if shots + queries > len(images):
            raise ValueError(
                f"shots + queries must be at most {len(images)}, the number of images of class "
                f"{name!r}, but {shots} + {queries} = {shots + queries}"
            )


def _draw(
    image_set: ImageSet, ways: int, shots: int, queries: int, generator: Generator
) -> Episode:
    names = list(image_set)
    chosen = [names[i] for i in torch.randperm(len(names), generator=generator)[:ways]]
    support, query = [], []
    for name in chosen:
        images = image_set[name]
        order = torch.randperm(len(images), generator=generator)
        support.append(images[order[:shots]])
        query.append(images[order[shots : shots + queries]])
    return of_classes(support, query)


def of_classes(support: Sequence[Tensor], query: Sequence[Tensor]) -> Episode:
    """Return the task whose class k has the images `support[k]` and `query[k]`.

    Each class has as many support images as the others, and as many queries.
    """
    labels = torch.arange(len(support), device=support[0].device)
    return Episode(
        torch.cat(list(support)),
        labels.repeat_interleave(len(support[0])),
        torch.cat(list(query)),
        labels.repeat_interleave(len(query[0])),
    )
