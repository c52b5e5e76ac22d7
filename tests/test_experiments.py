"""Sine waves and learned optimizers on the command line, and an ordinary classifier's features."""

import json
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn

from meta_lib import lstm_optimizer, maml
from meta_lib.command_line import experiments
from meta_lib.command_line.commands import meta_lib
from meta_lib.machinery import runs
from meta_lib.networks import conv_network, expand, loss_of, mlp
from meta_lib.rivals import pretrained
from meta_lib.rivals.baselines import descend
from meta_lib.tasks.digits import digits
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.optimizees import HELD_OUT, digit_networks, quadratics
from meta_lib.tasks.sinusoids import sample_points, sample_waves
from meta_lib.torch_optimizer import Learned


@pytest.fixture(autouse=True)
def as_on_the_command_line(monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.setenv("META_LIB_DEVICE", "cpu")


def result(*arguments):
    answer = CliRunner().invoke(meta_lib, [*map(str, arguments), "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


@pytest.mark.parametrize("options", [[], ["--steps", 0], ["--steps", 2, "--multi-step"]])
def test_waves_are_trained_and_measured_again(options, tmp_path):
    out = tmp_path / "waves"
    trained = result("train", "waves", "--out", out, "--iterations", 3, "--episodes", 50, *options)
    found = result("evaluate", out, "--episodes", 50, "--seed", 0)
    assert found["mse_by_shots_and_steps"] == trained["mse_by_shots_and_steps"]
    assert found.keys() >= {"accuracy", "error_percent", "trials", "ci95"} and found["trials"] == 50
    other = result("evaluate", out, "--episodes", 50, "--seed", 1)
    assert other["mse_by_shots_and_steps"] != found["mse_by_shots_and_steps"]


def test_the_errors_of_waves_are_those_of_adapting_by_hand(tmp_path):
    out = tmp_path / "waves"
    result("train", "waves", "--out", out, "--iterations", 20, "--alpha", 0.02, "--episodes", 5)
    found = result("evaluate", out, "--episodes", 30, "--seed", 7)["mse_by_shots_and_steps"]
    phi = runs.read_model(out).tensors
    loss = loss_of(mlp(1, 40, 40, 1), F.mse_loss)
    generator = torch.Generator().manual_seed(7)
    tasks = sample_points(sample_waves(30, generator), 5, 100, generator)
    for steps in (0, 1, 5, 10):
        theta = maml.adapt(loss, expand(phi, 30), tasks.support_x, tasks.support_y, 0.02, steps)
        errors = loss(theta, tasks.query_x, tasks.query_y)
        assert found["5"][steps]["mean"] == pytest.approx(errors.mean().item(), rel=1e-4)
        assert found["5"][steps]["median"] == pytest.approx(errors.median().item(), rel=1e-4)


def test_an_error_beyond_all_numbers_is_json_all_the_same(tmp_path):
    out = tmp_path / "waves"
    result("train", "waves", "--out", out, "--iterations", 1, "--alpha", 10, "--episodes", 5)
    answer = CliRunner().invoke(meta_lib, ["evaluate", str(out), "--episodes", "5"])
    assert "not finite after 10 steps" in answer.stdout
    found = result("evaluate", out, "--episodes", 5)
    assert found["mse_by_shots_and_steps"]["5"][10]["mean"] is None
    json.dumps(found, allow_nan=False)
    some = experiments._described(torch.tensor([1.0, 3.0, math.nan, 2.0, 4.0]))
    assert some == {"mean": None, "ci95": None, "median": 3.0}


@pytest.mark.parametrize("on", ["quadratics", "digits"])
def test_a_learned_optimizer_races_with_tuned_rivals(on, tmp_path, monkeypatch):
    monkeypatch.setattr("meta_lib.command_line.experiments.RATES", (0.01, 0.1))
    kinds = experiments.VARIATIONS[on]
    short = {name: (kinds[name][0], 2) for name in ("as in training", "ReLU") if name in kinds}
    monkeypatch.setitem(experiments.VARIATIONS, on, short)
    out = tmp_path / "rule"
    small = ["--on", on, "--iterations", 2, "--hidden", 3, "--horizon", 4, "--truncation", 2,
             "--tasks", 2, "--episodes", 3]  # fmt: skip
    trained = result("train", "optimizer", "--out", out, *small)
    found = result("evaluate", out, "--episodes", 3, "--seed", 0)
    assert found["losses"] == trained["losses"] and set(found["losses"]) == set(short)
    names = {"learned", "SGD", "momentum", "NAG", "RMSprop", "Adam"}
    names |= {"conjugate gradients"} if on == "quadratics" else set()
    for race in found["losses"].values():
        runners = {name: seen for name, seen in race.items() if name != "steps"}
        assert set(runners) == names and race["learned"]["above"] == [0.0]
        for seen in runners.values():
            assert len(seen["curve"]) == 3
            assert seen["curve"][-1] == pytest.approx(seen["end"]["mean"])
        starts = [seen["curve"][0] for seen in runners.values()]
        assert max(starts) - min(starts) < 1e-6 * max(starts), "not all began at the same place"


def test_several_optimizers_are_measured_each_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("meta_lib.command_line.experiments.RATES", (0.01, 0.1))
    short = {"as in training": (quadratics, 3)}
    monkeypatch.setitem(experiments.VARIATIONS, "quadratics", short)
    out = tmp_path / "rules"
    small = ["--rules", 2, "--iterations", 2, "--hidden", 3, "--horizon", 4, "--truncation", 2,
             "--tasks", 2, "--episodes", 3]  # fmt: skip
    trained = result("train", "optimizer", "--out", out, *small)
    race = result("evaluate", out, "--episodes", 3, "--seed", 0)["losses"]["as in training"]
    assert race == trained["losses"]["as in training"]
    assert race["learned"]["end"] != race["learned 2"]["end"]
    assert len(race["Adam"]["above"]) == 2
    monkeypatch.setattr("meta_lib.results.folder", lambda: tmp_path)
    singles = lstm_optimizer.recorded("rules")
    problems = quadratics(3, torch.Generator().manual_seed(0))
    for name, rule in zip(("learned", "learned 2"), singles, strict=True):
        ends = descend(partial(Learned, rule=rule), *problems, 3)[-1]
        assert ends.mean().item() == pytest.approx(race[name]["end"]["mean"], rel=1e-5)


@pytest.mark.parametrize("on", experiments.WORLDS)
def test_policies_are_trained_and_measured_again(on, tmp_path):
    out = tmp_path / "policies"
    small = ["--on", on, "--policies", 2, "--tasks", 4, "--rounds", 10, "--hidden", 3]
    trained = result("train", "policies", "--out", out, *small, "--iterations", 2, "--episodes", 50)
    found = result("evaluate", out, "--episodes", 50, "--seed", 0)
    assert found["gains"] == trained["gains"] and len(found["gains"]) == 2
    assert result("evaluate", out, "--episodes", 50, "--seed", 1)["gains"] != found["gains"]
    said = CliRunner().invoke(meta_lib, ["evaluate", str(out), "--episodes", "5"]).stdout
    assert "policy 1: gain " in said and "policy 2: gain " in said


def test_held_out_digits_are_no_training_digits(generator):
    """A loss that adds up its inputs tells which images it was given."""
    images = digits()
    last = torch.cat([group[-HELD_OUT:] for group in images.values()]).flatten(1)
    first = torch.cat([group[:-HELD_OUT] for group in images.values()]).flatten(1)
    for held_out, own, other in ((True, last, first), (False, first, last)):
        seen = []

        def record(theta, x, y, seen=seen):
            seen.append(x)
            return x.new_zeros(len(x))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("meta_lib.tasks.optimizees.flat_loss", lambda *_: record)
            loss, theta = digit_networks(2, generator, held_out, batch=50)
            loss(theta)
        drawn = seen[0].reshape(-1, 64)
        assert (drawn[:, None] == own).all(dim=2).any(dim=1).all()
        assert not (drawn[:, None] == other).all(dim=2).any(dim=1).all()


def test_digit_networks_are_those_that_the_text_names(generator):
    _, theta = digit_networks(3, generator)
    assert theta.shape == (3, 64 * 20 + 20 + 20 * 10 + 10)
    loss, deep = digit_networks(2, generator, hidden=(20, 20), activation=nn.ReLU)
    assert deep.shape == (2, 64 * 20 + 20 + 20 * 20 + 20 + 20 * 10 + 10)
    first = deep[:, : 64 * 20]
    assert first.std() == pytest.approx(1 / 8, rel=0.1)
    assert not deep[:, 64 * 20 : 64 * 20 + 20].any(), "biases start at 0"
    values = loss(deep)
    assert values.shape == (2,) and not torch.equal(values, loss(deep)), "no fresh mini-batch"
    assert abs(values.mean().item() - math.log(10)) < 1
    problem, start = quadratics(4, generator)
    assert start.shape == (4, 10) and problem(start).shape == (4,)


def test_an_ordinary_classifier_leaves_its_last_layer_behind(generator, tmp_path):
    image_set = glyphs(5, 6, size=8)
    network = conv_network(4, filters=4, blocks=2, running_statistics=True)
    run = runs.Run(tmp_path, {}, 10, {"batches": generator}, dict(network.named_buffers()))
    losses = pretrained.train(network, image_set, 60, generator, 16, beta=0.03, run=run)
    assert losses[0] == pytest.approx(math.log(5), abs=0.5) and losses[-1] < losses[0]
    weights = {*dict(network.named_parameters()), *dict(network.named_buffers())}
    assert runs.read_model(tmp_path).tensors.keys() == weights
    assert runs.unpack((tmp_path / runs.CHECKPOINT).read_bytes(), tmp_path).tensors.keys() >= {
        "head/weight", "head/bias"
    }  # fmt: skip
    with pytest.raises(ValueError, match="batch must be"):
        pretrained.train(network, image_set, 1, generator, batch=0)


def test_images_can_be_redrawn_before_they_are_seen(generator):
    network = conv_network(4, filters=4, blocks=2, running_statistics=True)
    shapes = []

    def redraw(x):
        shapes.append(x.shape)
        return x

    pretrained.train(network, glyphs(5, 6, size=8), 2, generator, 3, redraw=redraw)
    assert shapes == 2 * [(3, 1, 8, 8)]
