"""What a command says: its results, as text or as JSON, and its failures, in words.

Part 5, "Few-shot character recognition".
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from meta_lib.command_line import data
from meta_lib.evaluation import estimate
from meta_lib.machinery.device import device
from meta_lib.machinery.runs import NotACheckpoint
from meta_lib.tasks.folders import NotAnImage
from meta_lib.tasks.omniglot import NotOmniglot

UNASKED = {"accuracy": None, "error_percent": None, "ci95": None}
"""What every result holds, where there are no answers to be judged."""


def judged(right: list[list[bool]]) -> dict:
    """Return accuracy, error and interval; the trials of each episode are right or wrong.

    The interval is over the episodes, or with one episode over its trials. How many were right in
    each episode is kept too, so that two learners can be compared task by task.
    """
    trials = sum(map(len, right))
    values = right[0] if len(right) == 1 else [sum(one) / len(one) for one in right]
    accuracy = sum(map(sum, right)) / trials
    return {
        "accuracy": accuracy,
        "error_percent": 100 * (1 - accuracy),
        "trials": trials,
        "ci95": estimate([float(v) for v in values]).interval if len(values) > 1 else None,
        "right_by_task": [sum(one) for one in right],
    }


def report(result: dict, as_json: bool) -> None:
    """Print a result as text, or as one JSON object."""
    if as_json:
        print(json.dumps(result))
        return
    for line in result.pop("predictions", []):
        print(_answer(line))
    for fact in facts(result):
        print(fact)
    for name, row in result.get("learners", {}).items():
        print(
            f"{name}: accuracy {100 * row['accuracy']:.1f} ± {100 * row['ci95']:.1f} %, "
            f"{row['task_ms']:.0f} ms a task, {row['peak_mib']:.0f} MiB, "
            f"{row['parameters']:,} weights"
        )
    for shots, errors in result.get("mse_by_shots_and_steps", {}).items():
        by_step = ", ".join(f"{_shown(errors[step])} after {step}" for step in (0, 1, 5, 10))
        print(f"waves, {shots} points: mean squared error {by_step} steps")
    for name, race in result.get("losses", {}).items():
        steps = race.pop("steps")
        ends = ", ".join(f"{who} {_shown(found['end'])}" for who, found in race.items())
        print(f"{name}: loss after {steps} steps: {ends}")
    for number, found in enumerate(result.get("gains", []), start=1):
        print(f"policy {number}: gain {_shown(found)}")
    if "difference" in result:
        print(
            f"its features are the network's own, up to {result['difference']:.1g} of the largest"
        )
    if "model" in result:
        print(f"model: {result['model']}")


def facts(result: dict) -> list[str]:
    """Return in words how good the answers are, on what they were measured, and how sure."""
    said = []
    if result["accuracy"] is not None:
        within = "" if result["ci95"] is None else f" ± {100 * result['ci95']:.1f}"
        said += [
            f"{result['learner']}: accuracy {100 * result['accuracy']:.1f}{within} %, "
            f"error {result['error_percent']:.1f} %, {result['trials']} trials"
        ]
    if "held_out" in result:
        said += [f"measured {data.HELD_OUT[result['held_out']].format(*result['of'])}"]
    if result.get("unknown"):
        said += [f"{result['unknown']} left unknown"]
    if result.get("scale") is not None:
        said += [
            f"scale {result['scale']:.3g}; left out, {result['left_out_right']} of "
            f"{result['left_out']} labelled images are named correctly, and 95 % lie within "
            f"{result['own_distance']:.3g} of their class"
        ]
    return said


def _answer(line: dict) -> str:
    if line["distance"] is None:
        return f"{line['file']}: {line['class']}"
    sure = "" if line["probability"] is None else f"p {line['probability']:.2f}, "
    return (
        f"{line['file']}: {line['class']} ({sure}distance {line['distance']:.3g}, nearest "
        f"{line['nearest']})"
    )


def _shown(found: dict) -> str:
    return "not finite" if found["mean"] is None else f"{found['mean']:.3g}"


@contextmanager
def failing_well(named_device: str | None) -> Iterator[None]:
    """Choose the device, and turn what goes wrong into a message and an exit code."""
    try:
        if named_device:
            os.environ["META_LIB_DEVICE"] = named_device
        device()
        yield
    except NotAnImage as error:
        raise click.ClickException(
            f"{error}\nSave these files as PNG or JPEG, take them away, or pass over them by "
            "--skip-unreadable."
        ) from error
    except (NotACheckpoint, NotOmniglot, OSError, FloatingPointError) as error:
        raise click.ClickException(str(error)) from error
    except (MemoryError, OverflowError, RuntimeError) as error:  # what does not fit into memory
        raise click.ClickException(f"PyTorch cannot compute this: {error}") from error
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt as error:
        raise click.ClickException(
            "stopped; to go on from the last checkpoint give the same command again"
        ) from error
