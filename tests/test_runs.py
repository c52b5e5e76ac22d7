"""A training that was stopped, in whatever way, goes on as if it had not been."""

import errno
import json
import multiprocessing
import os
import random
import signal
import time
from contextlib import suppress

import pytest
import torch
import trainings
from safetensors.torch import save_file

from meta_lib.machinery import runs
from meta_lib.machinery.runs import NotACheckpoint, Run, read_model
from meta_lib.training import minimise


@pytest.fixture(scope="module")
def start():
    """Start a function in a process that has torch already, in milliseconds."""
    context = multiprocessing.get_context("forkserver")
    # An optimizer's first step imports torch._dynamo, which takes longer than a training here.
    context.set_forkserver_preload(["torch._dynamo", "meta_lib.maml", "meta_lib.siamese"])

    def start(function, *arguments):
        process = context.Process(target=function, args=arguments)
        process.start()
        return process

    return start


def saved(folder):
    """Everything in the checkpoint, the model and the log."""
    tensors = {
        f"{name}: {key}": tensor
        for name in (runs.CHECKPOINT, runs.MODEL)
        for key, tensor in runs.unpack((folder / name).read_bytes(), name).tensors.items()
    }
    return tensors, (folder / runs.LOG).read_bytes()


def assert_same(folder, other):
    (tensors, log), (other_tensors, other_log) = saved(folder), saved(other)
    assert log == other_log
    assert tensors.keys() == other_tensors.keys()
    differing = [key for key in tensors if not torch.equal(tensors[key], other_tensors[key])]
    assert not differing


@pytest.mark.parametrize("training", trainings.TRAININGS)
def test_a_training_killed_at_random_moments_ends_with_the_same_bits(training, start, tmp_path):
    calm, killed, iterations = tmp_path / "calm", tmp_path / "killed", 60
    training(calm, iterations)
    log, dice, kills = killed / runs.LOG, random.Random(), 0
    for least in sorted(dice.sample(range(iterations - 20), 8)):
        process = start(training, killed, iterations)
        while process.is_alive() and (not log.exists() or log.read_bytes().count(b"\n") < least):
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.005))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    assert kills, "no training was killed"
    process = start(training, killed, iterations)
    process.join()
    assert process.exitcode == 0
    assert_same(calm, killed)


class Line:
    """A small training: a straight line fitted to noisy points, with momentum in a buffer."""

    def __init__(self, folder, every=4, **config):
        self.generator = torch.Generator().manual_seed(0)
        self.weights = {"slope": torch.zeros(2, requires_grad=True), "level": torch.ones(())}
        self.weights["level"].requires_grad_()
        self.seen = torch.zeros(2)
        self.calls = 0
        self.run = Run(folder, config, every, {"points": self.generator}, {"seen": self.seen})
        self.interrupt_in_call = None

    def loss(self):
        self.calls += 1
        x = torch.randn(2, generator=self.generator)
        self.seen += x
        if self.calls == self.interrupt_in_call:
            signal.raise_signal(signal.SIGINT)
        return ((self.weights["slope"] * x).sum() + self.weights["level"] - 3).square()

    def train(self, iterations=10, beta=0.1, **options):
        return minimise(self.weights.items(), self.loss, iterations, beta, run=self.run, **options)

    def iteration(self):
        return read_model(self.run.path / runs.CHECKPOINT).iteration


def test_a_run_leaves_weights_settings_and_a_log(tmp_path):
    line = Line(tmp_path / "new" / "folder", ways=5)
    losses = line.train(clip=2.0)
    folder = line.run.path
    files = {runs.CHECKPOINT, runs.CONFIG, runs.LOG, runs.MODEL}
    assert {path.name for path in folder.iterdir()} == files
    config = json.loads((folder / runs.CONFIG).read_text())
    expected = {"iterations": 10, "beta": 0.1, "clip": 2.0, "decay": False, "block": 1}
    assert config == {"ways": 5, **expected}
    log = [json.loads(text) for text in (folder / runs.LOG).read_text().splitlines()]
    assert [entry["iteration"] for entry in log] == list(range(1, 11))
    assert [entry["loss"] for entry in log] == losses
    for path in (folder, folder / runs.MODEL, folder / runs.CHECKPOINT):
        model = read_model(path)
        assert list(model.tensors) == ["slope", "level", "seen"]
        assert torch.equal(model.tensors["slope"], line.weights["slope"])
        assert torch.equal(model.tensors["seen"], line.seen)
        assert model.config == config and model.iteration == 10


def test_the_log_says_the_learning_rate_and_the_gradient_before_it_was_cut(tmp_path):
    line = Line(tmp_path)
    gradients = []
    line.weights["slope"].register_hook(lambda g: gradients.append(g.square().sum()))
    line.weights["level"].register_hook(lambda g: gradients.append(g.square()))
    line.train(4, clip=0.01, decay=True)
    log = [json.loads(text) for text in (tmp_path / runs.LOG).read_text().splitlines()]
    norms = [sum(gradients[i : i + 2]).sqrt().item() for i in range(0, 8, 2)]
    assert [entry["gradient_norm"] for entry in log] == pytest.approx(norms)
    assert [entry["beta"] for entry in log] == pytest.approx([0.1, 0.075, 0.05, 0.025])


def test_a_run_is_the_training_without_one(tmp_path):
    plain, recorded = Line(tmp_path), Line(tmp_path)
    losses = minimise(plain.weights.items(), plain.loss, 10, 0.1)
    assert losses == recorded.train()
    assert torch.equal(plain.weights["slope"], recorded.weights["slope"])


def test_a_finished_run_returns_at_once(tmp_path):
    first, again = Line(tmp_path), Line(tmp_path)
    losses = first.train()
    assert again.train() == losses
    assert again.calls == 0
    assert torch.equal(first.weights["slope"], again.weights["slope"])
    assert torch.equal(first.generator.get_state(), again.generator.get_state())


@pytest.mark.parametrize(("block", "expected"), [(1, 6), (3, 6), (4, 8), (7, 7)])
def test_ctrl_c_writes_a_checkpoint_first(block, expected, tmp_path):
    Line(tmp_path / "calm", every=5).train(8, block=block)
    line = Line(tmp_path / "stopped", every=5)
    line.interrupt_in_call = 6
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        line.train(8, block=block)
    assert signal.getsignal(signal.SIGINT) is before
    assert line.calls == line.iteration() == expected
    Line(tmp_path / "stopped", every=5).train(8, block=block)
    assert_same(tmp_path / "calm", tmp_path / "stopped")


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    line = Line(tmp_path)

    def loss():
        if line.calls == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return line.loss()

    with pytest.raises(KeyboardInterrupt):
        minimise(line.weights.items(), loss, 10, 0.1, run=line.run)
    assert line.calls == 5 and line.iteration() == 4


@pytest.mark.parametrize(("block", "expected"), [(1, [0, 4, 8, 10]), (3, [0, 6, 10])])
def test_checkpoints_fall_between_blocks(block, expected, tmp_path, monkeypatch):
    written = []

    def save(run, weights, optimizer, settings, iteration):
        written.append(iteration)
        original(run, weights, optimizer, settings, iteration)

    original = runs.save
    monkeypatch.setattr(runs, "save", save)
    Line(tmp_path, every=4).train(block=block)
    assert written == expected


def test_a_run_without_decay_can_be_made_longer(tmp_path):
    Line(tmp_path / "one").train(12)
    Line(tmp_path / "two").train(7)
    Line(tmp_path / "two").train(12)
    assert_same(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (
            {"ways": 20},
            {},
            r"ways was 5, and is now 20\. Use the old settings to go on, or another",
        ),
        ({}, {}, "ways was 5, and is now None"),
        ({"ways": 5}, {"beta": 0.2}, "beta was 0.1, and is now 0.2"),
        ({"ways": 5}, {"clip": 1.0, "beta": 1.0}, "beta was 0.1, .* clip was None, and is now 1.0"),
        ({"ways": 5}, {"iterations": 9}, "iterations must be at least 10, .* but was 9"),
        ({"ways": 5}, {"decay": True}, "decay was False, and is now True"),
        ({"ways": 5}, {"block": 2, "iterations": 12}, "block was 1, and is now 2, iterations was"),
    ],
)
def test_other_settings_are_refused(settings, options, message, tmp_path):
    Line(tmp_path, ways=5).train()
    before = saved(tmp_path)
    line = Line(tmp_path, **settings)
    with pytest.raises(ValueError, match=message):
        line.train(**options)
    assert line.calls == 0
    assert saved(tmp_path)[1] == before[1]


@pytest.mark.parametrize("options", [{"decay": True}, {"block": 3}])
def test_a_run_whose_end_matters_cannot_be_made_longer(options, tmp_path):
    Line(tmp_path).train(**options)
    with pytest.raises(ValueError, match="iterations was 10, and is now 12"):
        Line(tmp_path).train(12, **options)


def test_settings_are_what_json_can_hold(tmp_path):
    Line(tmp_path, sizes=(1, 40)).train()
    Line(tmp_path, sizes=(1, 40)).train()
    for value in (torch.ones(1), float("nan")):
        with pytest.raises(TypeError, match="config must hold what JSON can hold, but was"):
            Line(tmp_path / "other", value=value).train()
    assert not (tmp_path / "other").exists()


def test_any_damage_is_noticed(tmp_path):
    Line(tmp_path).train()
    file = tmp_path / runs.CHECKPOINT
    whole = file.read_bytes()
    assert runs.unpack(whole, file).iteration == 10
    for place in range(0, len(whole), 7):
        # Spaces in the header that JSON ignores are no damage.
        if not whole[place : place + 1].isspace():
            flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
            with pytest.raises(NotACheckpoint, match="checkpoint.safetensors"):
                runs.unpack(flipped, file)
    for length in (0, 5, 8, 100, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(NotACheckpoint, match="damaged, or not a safetensors file"):
            Line(tmp_path).train()
    save_file({"slope": torch.zeros(2)}, file)
    with pytest.raises(NotACheckpoint, match="was not written by this library"):
        Line(tmp_path).train()


def test_the_checkpoint_of_another_network_is_refused(tmp_path):
    Line(tmp_path).train()
    line = Line(tmp_path)
    line.weights["slope"] = torch.zeros(3, requires_grad=True)
    with pytest.raises(NotACheckpoint, match=r"for slope it holds \(2,\).*where \(3,\)"):
        line.train()
    line = Line(tmp_path)
    line.weights["level"] = line.weights["level"].detach().float().requires_grad_()
    with pytest.raises(NotACheckpoint, match="for level it holds.*float64.*float32 is needed"):
        line.train()
    line = Line(tmp_path)
    line.weights["more"] = torch.zeros(1, requires_grad=True)
    with pytest.raises(NotACheckpoint, match="for more it holds nothing"):
        line.train()
    line = Line(tmp_path)
    line.run.generators.clear()
    with pytest.raises(NotACheckpoint, match="it holds generator/points, unknown here"):
        line.train()
    line = Line(tmp_path)
    line.run.generators["dice"] = torch.Generator()
    with pytest.raises(NotACheckpoint, match="for generator/dice it holds nothing"):
        line.train()


def test_lines_beyond_the_checkpoint_are_dropped(tmp_path):
    losses = Line(tmp_path).train()
    log = tmp_path / runs.LOG
    whole = log.read_bytes()
    with open(log, "ab") as file:
        file.write(b'{"iteration": 11, "loss": 0.5}\n{"iter')
    assert Line(tmp_path).train() == losses
    assert log.read_bytes() == whole


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[:-1],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [b"nonsense\n", *lines[1:]],
        lambda lines: [b'{"iteration": 1}\n', *lines[1:]],
        lambda lines: [b"[1]\n", *lines[1:]],
        lambda lines: [b"\xff\n", *lines[1:]],
    ],
)
def test_a_log_that_lacks_what_the_checkpoint_has_done_is_refused(damage, tmp_path):
    Line(tmp_path).train()
    log = tmp_path / runs.LOG
    log.write_bytes(b"".join(damage(log.read_bytes().splitlines(keepends=True))))
    with pytest.raises(NotACheckpoint, match="log.jsonl"):
        Line(tmp_path).train()


@pytest.mark.parametrize("name", [runs.CONFIG, runs.LOG, runs.MODEL])
def test_a_folder_of_something_else_is_left_alone(name, tmp_path):
    (tmp_path / name).write_text("mine")
    line = Line(tmp_path)
    with pytest.raises(NotACheckpoint, match=f"holds a {name} but no checkpoint.safetensors"):
        line.train()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine" and line.calls == 0


def test_a_folder_that_cannot_be_written_is_noticed_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    line = Line(tmp_path / "file")
    with pytest.raises(OSError, match="file"):
        line.train()
    assert line.calls == 0


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    Line(tmp_path / "calm").train()
    line = Line(tmp_path / "full")
    fsync = os.fsync

    def full(descriptor):
        if line.calls > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        line.train()
    assert line.calls == 8 and line.iteration() == 4
    assert not list(line.run.path.glob(".*"))
    monkeypatch.setattr(os, "fsync", fsync)
    Line(tmp_path / "full").train()
    assert_same(tmp_path / "calm", tmp_path / "full")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "file"
    runs.write_whole(file, b"old")

    def fail(*arguments):
        raise OSError(errno.EIO, "broken")

    for call in ("fsync", "replace"):
        with monkeypatch.context() as broken, pytest.raises(OSError, match=f"broken: '{file}'"):
            broken.setattr(os, call, fail)
            runs.write_whole(file, b"new")
        assert file.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [file]


def test_weights_that_lie_in_memory_in_another_order_are_saved(tmp_path):
    torch.manual_seed(0)
    weight = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    view = torch.randn(4, 3).T.requires_grad_()

    def loss():
        return weight.square().sum() + view.square().sum()

    for iterations in (2, 4):
        minimise([("w", weight), ("v", view)], loss, iterations, 0.1, run=Run(tmp_path, {}))
    assert weight.is_contiguous(memory_format=torch.channels_last)
    for name, tensor in (("w", weight), ("v", view)):
        assert torch.equal(read_model(tmp_path).tensors[name], tensor)


def test_a_loss_that_is_not_finite_leaves_the_last_checkpoint(tmp_path):
    line = Line(tmp_path)
    values = iter([1.0] * 6 + [float("nan")])
    with pytest.raises(FloatingPointError):
        minimise(line.weights.items(), lambda: next(values) * line.loss(), 10, 0.1, run=line.run)
    assert line.iteration() == 4
    with suppress(StopIteration):
        Line(tmp_path).train()
    assert Line(tmp_path).train()


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors.*Start it again"):
        read_model(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_model(tmp_path / "nowhere")
    (tmp_path / runs.MODEL).write_bytes(b"\x80\x04nonsense, and no pickle is ever read")
    with pytest.raises(NotACheckpoint, match="model.safetensors is damaged, or not a safetensors"):
        read_model(tmp_path)


@pytest.mark.parametrize("every", [0, 2.5])
def test_a_run_without_checkpoints_is_refused(every, tmp_path):
    with pytest.raises((TypeError, ValueError), match="every must be"):
        Line(tmp_path / "new", every=every).train()
    assert not (tmp_path / "new").exists()


def test_a_folder_takes_one_training_at_a_time(start, tmp_path):
    """As when what was started by a killed program still trains, and the program is run again."""
    training, folder = trainings.waves, tmp_path / "run"
    process, log = start(training, folder, 10**6), folder / runs.LOG
    while process.is_alive() and not (log.exists() and log.read_bytes()):
        time.sleep(0.01)
    with pytest.raises(BlockingIOError, match="another process is training in .*run. Wait until"):
        training(folder, 10**6)
    assert process.is_alive(), "the first training goes on"
    process.kill()
    process.join()
    losses = [json.loads(line)["iteration"] for line in log.read_bytes().splitlines()[:-1]]
    assert losses == list(range(1, len(losses) + 1)), "two trainings wrote into one log"


def test_a_line_of_the_log_is_whole_though_the_disk_was_full_for_a_moment(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setenv("TQDM_DISABLE", "1")  # a progress bar may go to a file too
    Line(tmp_path / "calm").train()
    line, log = Line(tmp_path / "full"), tmp_path / "full" / runs.LOG
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def loss():
        # No file may grow further, as on a full disk, where the sixth line has begun.
        limit = log.stat().st_size + 10 if line.calls == 5 else before[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        return line.loss()

    try:
        with suppress(OSError):
            minimise(line.weights.items(), loss, 10, 0.1, run=line.run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    Line(tmp_path / "full").train()
    assert_same(tmp_path / "calm", tmp_path / "full")
