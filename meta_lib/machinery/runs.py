"""Runs: what a training leaves on disk, and how it goes on after it was stopped.

A run has a folder of its own:

    checkpoint.safetensors   all that training needs to go on: the weights, Adam's moments, the
                             generators' states, and the settings in its metadata
    config.json              the settings once more, for people
    log.jsonl                one JSON object an iteration
    model.safetensors        at the end, the weights and buffers alone

The first process reads and writes them (`distributed`). A training that was killed, even by
SIGKILL, goes on from its last checkpoint and on the CPU ends with the same bits as one that was
left alone. Part 5, "Few-shot character recognition", section "Three learners, trained".
"""

import hashlib
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Generator, Tensor

from meta_lib.machinery import checks, distributed

if sys.platform != "win32":  # which has no such locks
    import fcntl

CHECKPOINT, CONFIG = "checkpoint.safetensors", "config.json"
LOG, MODEL = "log.jsonl", "model.safetensors"
TRAINING_ONLY = ("adam/", "generator/", "head/")
"""How the names begin of what is in a checkpoint and not in a model; "head/" is a last layer that
only training needs."""

Config = dict[str, Any]
"""The settings of a training by name: what JSON can hold."""


class NotACheckpoint(ValueError):
    """What was found where a checkpoint should be is something else, or is damaged."""


@dataclass(frozen=True)
class Run:
    """Where a training leaves its checkpoints and its log, and what belongs into them.

    `config` are the settings that a checkpoint is for; `minimise` adds its own: iterations, beta,
    clip and decay. A checkpoint falls on every `every`-th iteration. To go on as if nothing had
    happened, a run must hold all that changes besides the weights, each under a name: the
    `generators` that the loss draws from, and the `buffers`, tensors that change in place such as
    a network's running statistics, `dict(network.named_buffers())`. The settings that `free` names
    may be others when the run goes on: where things lie.
    """

    folder: str | os.PathLike
    config: Config
    every: int = 100
    generators: dict[str, Generator] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    free: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The folder, as a path."""
        return Path(self.folder)


class Saved(NamedTuple):
    """What a file holds: tensors by name, the settings, and how many iterations were done."""

    tensors: dict[str, Tensor]
    config: Config
    iteration: int


def resume(
    run: Run, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer, settings: Config
) -> list[float]:
    """Begin the run, or bring everything to where its checkpoint was; return the losses so far.

    A new run writes its first checkpoint here, so that a folder that cannot be written is noticed
    before any training. Log lines beyond the checkpoint are dropped.

    Raises NotACheckpoint for files that are damaged or belong to something else, ValueError if
    the settings are not those of the checkpoint, and OSError where nothing can be written.
    """
    config = _as_json({**run.config, **settings})
    file = run.path / CHECKPOINT
    if distributed.is_first() and not file.exists():
        _claim(run.path)
        save(run, weights, optimizer, settings, 0)
    saved = unpack(distributed.from_first(file.read_bytes), file)
    _check_config(file, saved, config, run.free)
    _restore(file, saved, run, weights, optimizer)
    losses = _losses(run.path / LOG, saved.iteration)
    if distributed.is_first():
        write_whole(run.path / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    return losses


def save(
    run: Run,
    weights: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    settings: Config,
    iteration: int,
) -> None:
    """Write the checkpoint of a run, whole or not at all; only the first process does."""
    if distributed.is_first():
        tensors = {**weights, **run.buffers}
        for name, weight in weights.items():
            for moment, value in optimizer.state[weight].items():
                tensors[f"adam/{moment}/{name}"] = value
        for name, generator in run.generators.items():
            tensors[f"generator/{name}"] = generator.get_state()
        config = {**run.config, **settings}
        write_whole(run.path / CHECKPOINT, pack(Saved(tensors, config, iteration)))


def save_model(run: Run, weights: dict[str, Tensor], settings: Config) -> None:
    """Write the run's weights and buffers under their own names, without what training needs."""
    if distributed.is_first():
        kept = {n: w for n, w in weights.items() if not n.startswith(TRAINING_ONLY)}
        config = {**run.config, **settings}
        model = Saved({**kept, **run.buffers}, config, settings["iterations"])
        write_whole(run.path / MODEL, pack(model))


def read_model(path: str | os.PathLike) -> Saved:
    """Return weights and buffers, settings and iteration of a model, a checkpoint or a run.

    `path` is a model.safetensors, a checkpoint.safetensors, or the folder of a run that is done.

    Raises FileNotFoundError if nothing is there, NotACheckpoint for anything else.
    """
    path = Path(path)
    if path.is_dir():
        path = path / MODEL
        if not path.exists():
            raise FileNotFoundError(
                f"{path.parent} holds no {MODEL}, which a training writes at its end. Start it "
                f"again to go on, or name its {CHECKPOINT}."
            )
    saved = unpack(path.read_bytes(), path)
    model = {
        name: tensor for name, tensor in saved.tensors.items() if not name.startswith(TRAINING_ONLY)
    }
    return saved._replace(tensors=model)


def pack(saved: Saved) -> bytes:
    """Return the bytes of a safetensors file with the settings in its metadata."""
    tensors = {
        # A copy of its own, row by row: safetensors takes neither views nor channels-last.
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in saved.tensors.items()
    }
    config, names = _as_json(saved.config), list(tensors)
    about = json.dumps({"config": config, "iteration": saved.iteration, "tensors": names})
    digest = _digest(safetensors.torch.save(tensors), about)
    # One entry, because safetensors writes several in an order that changes from run to run.
    return safetensors.torch.save(tensors, {"meta_lib": f"{digest} {about}"})


def unpack(content: bytes, file: Path) -> Saved:
    """Return what `pack` has packed; `file` is named in the error.

    Raises NotACheckpoint unless these are the bytes that `pack` returned.
    """
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, KeyError) as error:  # KeyError: a kind of number that torch lacks
        raise NotACheckpoint(f"{file} is damaged, or not a safetensors file ({error})") from error
    metadata = _header(content).get("__metadata__") or {}
    if "meta_lib" not in metadata:
        raise NotACheckpoint(f"{file} is a safetensors file, but was not written by this library")
    digest, _, about = metadata["meta_lib"].partition(" ")
    if digest != _digest(content, about):
        raise NotACheckpoint(f"{file} is damaged: it is not what was written")
    about = json.loads(about)
    # safetensors gives them in any order; that of the network is what `networks.flatten` goes by.
    ordered = {name: tensors[name] for name in about["tensors"]}
    return Saved(ordered, about["config"], about["iteration"])


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: what was there before stays until the new one is safe.

    Raises OSError with the file's name if it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def recording(
    run: Run | None,
    weights: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    settings: Config,
) -> Iterator[tuple[list[float], Callable[..., None]]]:
    """Resume the run; give the losses so far, and what is to be called after each iteration.

    That function takes the numbers for its log line, writes the checkpoints that are due, and
    raises KeyboardInterrupt, after a checkpoint, if Ctrl-C was pressed. At the end the model is
    written. Without a run there are no losses yet, and nothing is written.

    Raises BlockingIOError while another process trains in the same folder; else as `resume` does.
    """
    if run is None:
        yield [], lambda **numbers: None
        return
    checks.whole_number("every", run.every)
    _as_json({**run.config, **settings})  # refused before there is a folder
    iterations, block = settings["iterations"], settings["block"]
    every = math.ceil(run.every / block) * block
    first = distributed.is_first()
    with _alone_in(run.path) if first else nullcontext():
        losses = resume(run, weights, optimizer, settings)
        with open(run.path / LOG if first else os.devnull, "ab") as file, patience() as interrupted:

            def record(iteration: int, **numbers: float) -> None:
                file.write((json.dumps({"iteration": iteration, **numbers}) + "\n").encode())
                file.flush()  # so that no line is lost with the process
                done = iteration == iterations
                stop = interrupted() and (done or iteration % block == 0)
                if done or stop or iteration % every == 0:
                    if first:
                        os.fsync(file.fileno())  # no checkpoint without its lines
                    save(run, weights, optimizer, settings, iteration)
                if stop:
                    raise KeyboardInterrupt

            yield losses, record
        save_model(run, weights, settings)


@contextmanager
def patience() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C was pressed, instead of stopping anywhere.

    So the weights are never left half-changed. A second Ctrl-C stops at once.
    """
    pressed = False
    usual = signal.getsignal(signal.SIGINT)

    def remember(number: int, frame: object) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, usual)

    # Only the main thread may choose what a signal does.
    able = threading.current_thread() is threading.main_thread() and callable(usual)
    if able:
        signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        if able:
            signal.signal(signal.SIGINT, usual)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make the folder, and let no other process train in it meanwhile.

    The lock is the operating system's, so that a killed process leaves none behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"another process is training in {folder}. Wait until it is done, or choose "
                "another folder."
            ) from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)


def _claim(folder: Path) -> None:
    """Refuse a folder with files that another program or run has left."""
    for name in (CONFIG, LOG, MODEL):
        if (folder / name).exists():
            raise NotACheckpoint(
                f"{folder} holds a {name} but no {CHECKPOINT}, so it is not a run that could go "
                "on. Choose another folder, or empty this one."
            )


def _check_config(file: Path, saved: Saved, config: Config, free: tuple[str, ...]) -> None:
    differing = [
        name
        for name in sorted(saved.config.keys() | config.keys())
        if saved.config.get(name) != config.get(name) and name not in free
    ]
    # Without decay no step depends on how many there will be.
    if differing == ["iterations"] and not config["decay"] and config["block"] == 1:
        differing = []
    if differing:
        raise ValueError(
            f"{file} was made with other settings: "
            + ", ".join(
                f"{name} was {saved.config.get(name)!r}, and is now {config.get(name)!r}"
                for name in differing
            )
            + ". Use the old settings to go on, or another folder to begin anew."
        )
    if config["iterations"] < saved.iteration:
        raise ValueError(
            f"iterations must be at least {saved.iteration}, which {file} has done already, "
            f"but was {config['iterations']}"
        )


def _restore(
    file: Path,
    saved: Saved,
    run: Run,
    weights: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    left = dict(saved.tensors)

    def take(name: str, like: Tensor) -> Tensor:
        found = left.pop(name, None)
        if found is None or found.shape != like.shape or found.dtype != like.dtype:
            what = "nothing" if found is None else f"{tuple(found.shape)} in {found.dtype}"
            raise NotACheckpoint(
                f"{file} is of another training: for {name} it holds {what}, where "
                f"{tuple(like.shape)} in {like.dtype} is needed"
            )
        return found

    with torch.no_grad():
        for name, tensor in {**weights, **run.buffers}.items():
            tensor.copy_(take(name, tensor))
    for name, generator in run.generators.items():
        generator.set_state(take(f"generator/{name}", generator.get_state()))
    state = {
        index: {
            moment: left.pop(f"adam/{moment}/{name}")
            for moment in ("step", "exp_avg", "exp_avg_sq")
            if f"adam/{moment}/{name}" in left
        }
        for index, name in enumerate(weights)
    }
    if left:
        raise NotACheckpoint(
            f"{file} is of another training: it holds {', '.join(sorted(left))}, unknown here"
        )
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict(
        {"state": {i: s for i, s in state.items() if s}, "param_groups": groups}
    )


def _losses(file: Path, iterations: int) -> list[float]:
    """Return the losses of the first `iterations` lines of the log, and drop all other lines."""
    content = distributed.from_first(lambda: file.read_bytes() if file.exists() else b"")
    lines = content.splitlines(keepends=True)[:iterations]
    try:
        entries = [json.loads(line) for line in lines]
        losses = [float(entry["loss"]) for entry in entries]
        numbers = [entry["iteration"] for entry in entries]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise NotACheckpoint(f"{file} is damaged, or not the log of a run ({error!r})") from error
    if numbers != list(range(1, iterations + 1)):
        raise NotACheckpoint(
            f"{file} must hold iterations 1 to {iterations}, which the checkpoint has done, one a "
            f"line, but holds {len(numbers)} of them, or in another order"
        )
    if distributed.is_first():
        write_whole(file, b"".join(lines))
    return losses


def _as_json(config: Config) -> Config:
    """Return the settings as JSON gives them back, where a tuple becomes a list."""
    try:
        return json.loads(json.dumps(config, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"config must hold what JSON can hold, but was {config!r}") from error


def _header(content: bytes) -> dict[str, Any]:
    """Return the names, shapes and metadata that a safetensors file begins with."""
    return json.loads(content[8 : _end_of_header(content)])


def _digest(content: bytes, about: str) -> str:
    """Return the SHA-256 of a safetensors file and of `about`, but not of the file's metadata."""
    entries = {name: e for name, e in _header(content).items() if name != "__metadata__"}
    known = json.dumps([about, entries], sort_keys=True).encode()
    return hashlib.sha256(known + content[_end_of_header(content) :]).hexdigest()


def _end_of_header(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")
