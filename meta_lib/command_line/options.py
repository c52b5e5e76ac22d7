"""The options of the command line: what each takes, and what it says of itself."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from meta_lib.command_line.answers import HEADS
from meta_lib.tasks.parts import DATA_SETS, SPLITS

COUNT = click.IntRange(min=1)
SEVERAL = click.IntRange(min=2)
SEED = click.IntRange(0, 2**63 - 1)
EXISTING = click.Path(exists=True, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


class Number(click.ParamType):
    """A number that `holds`; `allowed` says which do."""

    name = "number"

    def __init__(self, allowed: str, holds: Callable[[float], bool]):
        self.allowed, self.holds = allowed, holds

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or fail with what is allowed."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not self.holds(number):
            self.fail(f"{value!r} must be {self.allowed}", param, ctx)
        return number


POSITIVE = Number("a finite number larger than 0", lambda number: 0 < number < float("inf"))
STRENGTH = Number("a finite number of at least 0", lambda number: 0 <= number < float("inf"))
SHARE = Number("a number from 0 to 1", lambda number: 0 <= number <= 1)


def numbers(name: str, text: str) -> tuple[float, ...]:
    """Return the finite numbers of a list with commas. Raises ValueError, with the name."""
    try:
        found = tuple(float(each) for each in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise ValueError(f"{name} must be finite numbers with commas between, but was {text!r}")
    return found


def options(*wanted: Callable) -> Callable:
    """Return a decorator that adds the options to a command, in this order."""

    def add(command: Callable) -> Callable:
        for option in reversed(wanted):
            command = option(command)
        return command

    return add


DATA = options(
    click.option(
        "--data", type=click.Choice(DATA_SETS), default="glyphs", show_default=True,
        help="What to learn from: characters drawn from a seed, Omniglot, or your own images.",
    ),
    click.option(
        "--data-folder", type=EXISTING,
        help="Where the data lies: the folder with Omniglot's images_background.zip (else it is "
        "downloaded once), or the folder of your images, one folder a class.",
    ),
)  # fmt: skip
SKIP = click.option("--skip-unreadable", "skip", is_flag=True,
                    help="Pass over the files of an image folder that cannot be read, and name "
                    "them.")  # fmt: skip
EPISODE = options(
    click.option("--ways", type=SEVERAL, default=5, show_default=True, help="Classes in a task."),
    click.option("--shots", type=COUNT, default=1, show_default=True,
                 help="Labelled images of each class."),
)  # fmt: skip
OUTPUT = options(
    click.option("--device", help="cpu, cuda, cuda:1, mps; left out, the best that is here."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
)
RUN = options(
    click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True,
                 help="Folder for checkpoints, log and model; a stopped training goes on there."),
    click.option("--iterations", type=COUNT, default=1000, show_default=True),
    click.option("--beta", type=POSITIVE, default=1e-3, show_default=True,
                 help="Learning rate of the meta-learner."),
    click.option("--seed", type=SEED, default=0, show_default=True),
    click.option("--every", type=COUNT, default=100, show_default=True,
                 help="Iterations from one checkpoint to the next."),
    click.option("--episodes", type=click.IntRange(min=2), default=200, show_default=True,
                 help="Tasks that the result is measured on, of the validation part."),
    OUTPUT,
)  # fmt: skip
IMAGES = options(
    DATA,
    SKIP,
    click.option("--part", type=click.Choice(["train", "all"]), default="train", show_default=True,
                 help="Train on the training part or, for a test with classes of its own such as "
                 "the official runs, on all classes."),
    click.option("--split", type=click.Choice(SPLITS), default="alphabets", show_default=True,
                 help="Whether Omniglot's parts share no alphabet, or only no character, as in "
                 "MAML's paper."),
    click.option("--turns", is_flag=True,
                 help="Count each class four times, turned by 0 to 3 quarters."),
    click.option("--distort", type=STRENGTH, default=0.0, show_default=True,
                 help="How much each image is turned, slanted, scaled and shifted when it is "
                 "drawn, as by another hand; 0 for not at all."),
    click.option("--bend", type=STRENGTH, default=0.0, show_default=True,
                 help="How much it is bent then."),
    click.option("--size", type=click.IntRange(min=4), default=28, show_default=True,
                 help="Height and width of the images, in pixels."),
    click.option("--channels", type=click.Choice(["1", "3"]), default="1", show_default=True,
                 callback=lambda _context, _option, value: int(value),
                 help="1 for ink on paper, 3 for colours, of glyphs or of your own images."),
    click.option("--filters", type=COUNT, default=64, show_default=True,
                 help="Filters in each layer of the network."),
)  # fmt: skip
TASKS = click.option("--tasks", type=COUNT, default=8, show_default=True,
                     help="Tasks in a meta-batch.")  # fmt: skip
DECAY = click.option("--decay", is_flag=True, help="Let beta fall evenly to 0.")
EPISODES = options(
    EPISODE,
    click.option("--queries", type=COUNT,
                 help="Images of each class to be judged by, in a task of the training; left out, "
                 "5, or fewer where a folder of your own has too few."),
    click.option("--within", type=SHARE, default=0.0, show_default=True,
                 help="Share of the tasks in training whose classes are all of one alphabet."),
    TASKS,
)  # fmt: skip
MULTI_STEP = click.option("--multi-step", is_flag=True,
                          help="Count the loss after every inner step, as MAML++ "
                          "does.")  # fmt: skip
NETWORK = click.option("--network", type=click.Choice(["strided", "pooled"]), default="strided",
                       show_default=True, help="MAML's network, or one that looks closer, for "
                       "--size 32: as an embedding it has 8 features for each of the "
                       "filters.")  # fmt: skip
EMBEDDING = options(
    NETWORK,
    click.option("--features", type=COUNT, default=64, show_default=True,
                 help="Length of an image's embedding by the strided network."),
)  # fmt: skip
FEATURES = options(
    click.option("--embedding",
                 help="In the place of CHECKPOINT: module:function, from images to vectors, or a "
                 ".pt2 file."),
    click.option("--head", type=click.Choice(HEADS),
                 help="What is made of the features; left out, as CHECKPOINT was trained, and for "
                 "--embedding prototypes."),
    click.option("--size", type=click.IntRange(min=4),
                 help="For --embedding: height and width of its images; left out, 224."),
    click.option("--channels", type=click.Choice(["1", "3"]),
                 help="For --embedding: grey ink, or colours; left out, 3."),
    click.option("--mean",
                 help="For --embedding: what is taken from each channel, 0.485,0.456,0.406 for "
                 "many; left out, 0."),
    click.option("--deviation",
                 help="For --embedding: what each channel is divided by, 0.229,0.224,0.225 for "
                 "many; left out, 1."),
)  # fmt: skip
