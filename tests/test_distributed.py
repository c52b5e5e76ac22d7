"""Two processes train as one does."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import trainings

from meta_lib.machinery import distributed
from meta_lib.machinery.runs import CHECKPOINT, LOG, read_model
from meta_lib.networks import RunningBatchNorm
from meta_lib.tasks.episodes import Episode

SCRIPT = Path(trainings.__file__)
LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def interrupted_pairs(folder):
    """Begin the Siamese training in this process, and press Ctrl-C in its ninth iteration."""
    calls = []

    def share(batch):
        calls.append(batch)
        if len(calls) == 9:
            signal.raise_signal(signal.SIGINT)
        return batch

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainings, "share", share)
        trainings.pairs(folder)
    assert read_model(folder / CHECKPOINT).iteration == 9


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Where one process, and two, have left the same trainings, and what the two have said."""
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    dtype = torch.get_default_dtype()
    interrupted_pairs(together / "pairs")
    for training in trainings.TRAININGS:
        training(alone / training.__name__)
    torch.set_default_dtype(dtype)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "META_LIB_DEVICE": "cpu"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    environment.pop("TQDM_DISABLE", None)
    command = [sys.executable, *LAUNCHER, SCRIPT, together]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return alone, together, done


@pytest.mark.parametrize("training", trainings.TRAININGS)
def test_two_processes_end_with_the_weights_of_one(training, ran):
    one, two = (read_model(folder / training.__name__) for folder in ran[:2])
    assert one.config == two.config and list(one.tensors) == list(two.tensors)
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(two.tensors[name], tensor, rtol=0, atol=1e-8, msg=name)


@pytest.mark.parametrize("training", trainings.TRAININGS)
def test_two_processes_write_one_log_of_the_mean_loss(training, ran):
    one, two = (
        [json.loads(line) for line in (folder / training.__name__ / LOG).read_text().splitlines()]
        for folder in ran[:2]
    )
    assert len(one) == len(two) == 20
    for line, other in zip(one, two, strict=True):
        assert line == pytest.approx(other, rel=1e-9)


def test_only_the_first_process_talks(ran):
    done = ran[2]
    assert not done.stdout
    lines = [line for line in re.split("[\r\n]+", done.stderr) if line.strip()]
    bars = [line for line in lines if re.match("(MAML|training|LSTM optimizer): +[0-9]+%", line)]
    assert lines == bars, done.stderr
    assert sum(" 0/20 [00:00<" in line and "loss" not in line for line in lines) == 2, done.stderr


def test_a_share_is_a_piece_of_every_tensor(monkeypatch):
    batch = Episode(*(torch.arange(6) + 10 * part for part in range(4)))
    assert distributed.share(batch) is batch
    monkeypatch.setattr(distributed, "_together", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(distributed.dist, "get_rank", lambda: 1)
    mine = distributed.share(batch)
    assert isinstance(mine, Episode)
    assert [part.tolist() for part in mine] == [[2, 3], [12, 13], [22, 23], [32, 33]]
    monkeypatch.setattr(distributed.dist, "get_world_size", lambda: 4)
    with pytest.raises(ValueError, match="must be a multiple of 4, the number of.*but was 6"):
        distributed.share(batch)


def test_one_process_needs_no_torchrun(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("no process group is needed")

    monkeypatch.setattr(distributed.dist, "init_process_group", fail)
    monkeypatch.setenv("WORLD_SIZE", "1")
    with distributed.processes():
        assert distributed.count() == 1 and distributed.is_first()
    monkeypatch.delenv("WORLD_SIZE")
    with distributed.processes():
        tensor = torch.ones(2)
        distributed.average([tensor])
        assert distributed.mean_over_processes(tensor) is tensor
        assert distributed.from_first(lambda: b"bytes") == b"bytes"


def test_each_process_needs_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(distributed, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="a GPU of its own, but process 2 of this machine found 1"):
        with distributed.processes():
            pass


def test_alone_running_batch_norm_is_that_of_torch():
    ours, theirs = RunningBatchNorm(3), torch.nn.BatchNorm2d(3)
    for x in (torch.randn(4, 3, 5, 5), torch.randn(2, 3, 5, 5)):
        assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
