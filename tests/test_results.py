"""The recorded runs: complete, as their recipes say, and repeated from their checkpoints."""

import importlib.util
import json
import math
import shlex

import numpy as np
import pytest
import torch

from meta_lib import recurrent_policy, results
from meta_lib.command_line import learners
from meta_lib.evaluation import Estimate
from meta_lib.tasks.parts import deal

FOLDER = results.folder()
RECIPES = results.recipes()
TRAINED = [name for name, recipe in RECIPES.items() if "train" in recipe]
KEPT = [name for name in TRAINED if "-seed-" not in name and not name.startswith("remedies/")]


def load_make():
    spec = importlib.util.spec_from_file_location("make_results", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_recipe_has_its_run_and_every_run_its_recipe():
    made = {path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("run.json")}
    assert made == RECIPES.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_has_measured_what_its_recipe_asks_for(name):
    recipe, run = RECIPES[name], results.record(name)
    assert run["figures"].keys() == recipe["evaluate"].keys()
    json.dumps(run, allow_nan=False)
    assert "/" not in json.dumps([figure.get("runs") for figure in run["figures"].values()])


@pytest.mark.parametrize("name", TRAINED)
def test_a_run_was_trained_as_its_recipe_says(name):
    run, config = (
        json.loads((FOLDER / name / file).read_text()) for file in ("run.json", "config.json")
    )
    assert run["trained"] and run["sessions"]
    expected = f"python -m meta_lib train {RECIPES[name]['train']} --out results/{name}"
    assert shlex.split(run["command"]) == shlex.split(expected)
    words = shlex.split(RECIPES[name]["train"])
    assert config["iterations"] == int(words[words.index("--iterations") + 1])
    log = np.loadtxt(FOLDER / name / "log.csv.gz", delimiter=",")
    assert log[:, 0].tolist() == list(range(1, config["iterations"] + 1))
    assert np.isfinite(log).all()
    # The loss of a policy is made for its gradient, and says nothing by itself; and a training that
    # begins with learned features has little to lose.
    if config["learner"] != "policies" and not config.get("body"):
        assert log[-len(log) // 10 :, 1].mean() < log[: len(log) // 10, 1].mean()


def test_a_recipe_with_seeds_is_that_many_runs():
    assert results.trainings("siamese") == ["siamese"]
    names = results.trainings("siamese-plain")
    assert names == ["siamese-plain", "siamese-plain-seed-1", "siamese-plain-seed-2"]
    configs = [json.loads((FOLDER / name / "config.json").read_text()) for name in names]
    assert [config.pop("seed") for config in configs] == [0, 1, 2]
    assert configs[0] == configs[1] == configs[2]
    commands = [RECIPES[name]["train"].partition(" --seed ")[::2] for name in names]
    assert [seed for _, seed in commands] == ["", "1", "2"]
    assert len({command for command, _ in commands}) == 1


@pytest.mark.parametrize("name", KEPT)
def test_a_checkpoint_is_small_and_is_the_run_s(name):
    assert (FOLDER / name / "model.safetensors").stat().st_size <= 2_000_000
    learner, settings = learners.load(FOLDER / name)
    config = json.loads((FOLDER / name / "config.json").read_text())
    assert settings == config and settings.get("data_folder") is None
    assert all(weight.isfinite().all() for weight in learner.weights.values())


def test_no_alphabet_is_in_two_parts():
    dealt = json.loads((FOLDER / "alphabets.json").read_text())
    assert sum(len(part) for part in dealt.values()) == 30
    assert sum(sum(part.values()) for part in dealt.values()) == 964
    names = {
        f"{alphabet}/character{number:02d}": torch.zeros(1)
        for part in dealt.values()
        for alphabet, count in part.items()
        for number in range(1, count + 1)
    }
    for part, classes in deal(names).items():
        assert {name.partition("/")[0] for name in classes} == dealt[part].keys()


def test_no_character_is_in_two_parts():
    alphabets, characters = (
        json.loads((FOLDER / f"{split}.json").read_text()) for split in ("alphabets", "characters")
    )
    counts = {name: count for part in alphabets.values() for name, count in part.items()}
    written = {
        part: {f"{name}/character{n:02d}" for name, numbers in dealt.items() for n in numbers}
        for part, dealt in characters.items()
    }
    assert [len(names) for names in written.values()] == [617, 154, 193]
    whole = {f"{name}/character{n:02d}" for name in counts for n in range(1, counts[name] + 1)}
    assert set.union(*written.values()) == whole
    found = deal(dict.fromkeys(whole, torch.zeros(1)), together=False)
    assert {part: {*classes} for part, classes in found.items()} == written


def agree(one, other):
    """Whether two estimates of the same thing differ by no more than chance."""
    return abs(one.mean - other.mean) < 1.5 * math.hypot(one.interval, other.interval)


def test_waves_are_fitted_as_recorded_with_another_seed():
    torch.set_default_dtype(torch.float32)
    for name, steps in (("waves", 1), ("waves-multi-step", 10), ("waves-pretrained", 1)):
        learner, _ = learners.load(FOLDER / name)
        recorded = results.figure(name, "waves")["mse_by_shots_and_steps"]["5"][steps]
        found = learner.measure(500, 11)["mse_by_shots_and_steps"]["5"][steps]
        one, other = (Estimate(each["mean"], each["ci95"]) for each in (recorded, found))
        assert agree(one, other), (name, one, other)


def test_the_learned_optimizer_wins_on_other_quadratics_too():
    torch.set_default_dtype(torch.float32)
    learner, _ = learners.load(FOLDER / "optimizer-quadratics")
    race = learner.measure(200, 11)["losses"]["as in training"]
    ends = {name: seen["end"]["mean"] for name, seen in race.items() if name != "steps"}
    best, second, *_ = sorted(ends, key=ends.get)
    assert (best, second) == ("conjugate gradients", "learned"), ends


@pytest.mark.parametrize("name", ["bandits", "bandits-changing", "bandits-paired", "grids"])
def test_policies_explore_as_recorded_with_another_seed(name):
    torch.set_default_dtype(torch.float32)
    learner, settings = learners.load(FOLDER / name)
    recorded = results.figure(name, "gains")["gains"]
    assert len(recorded) == settings["policies"] == len(recurrent_policy.recorded(name)) == 5
    for one, other in zip(recorded, learner.measure(2000, 11)["gains"], strict=True):
        estimates = (Estimate(each["mean"], each["ci95"]) for each in (one, other))
        assert agree(*estimates), (name, one, other)


def test_what_is_not_recorded_is_named(monkeypatch, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no run 'parrot'; there are .*siamese"):
        results.record("parrot")
    with pytest.raises(KeyError, match="has no figure 'height'; it has official runs"):
        results.figure("siamese", "height")


@pytest.mark.parametrize("place", ["lib/results", "lib/meta_lib/recorded"])
def test_the_runs_lie_beside_the_library_or_within(place, monkeypatch, tmp_path):
    """In a clone beside it, and within where it was installed."""
    monkeypatch.setattr(results, "__file__", str(tmp_path / "lib" / "meta_lib" / "results.py"))
    results.folder.cache_clear()
    with pytest.raises(FileNotFoundError, match="the recorded runs are neither in .*lib.results"):
        results.folder()
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "recipes.toml").touch()
    assert results.folder() == tmp_path / place
    results.folder.cache_clear()


def test_a_run_is_made_by_one_command_and_goes_on(tmp_path, monkeypatch):
    make = load_make()
    words = "protonet --iterations 2 --filters 4 --size 14 --episodes 2 --tasks 1 --data glyphs"
    recipe = {"shows": "a trial", "train": words, "evaluate": {
        "few": "--episodes 2 --queries 2",
        "beside": "compare {here}/trial --episodes 2 --queries 1",
    }}  # fmt: skip
    monkeypatch.setattr(make, "HERE", tmp_path)
    monkeypatch.setattr(make, "RECIPES", {"trial": recipe})
    assert make.state("trial") == "not begun"
    asked, real = [], make.meta_lib

    def stopped(*command):
        asked.append(command[0])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(*command)

    monkeypatch.setattr(make, "meta_lib", stopped)
    with pytest.raises(KeyboardInterrupt):
        make.make("trial")
    assert "lacks few, beside" in make.state("trial")
    make.make("trial")
    assert asked == ["train", "evaluate", "evaluate", "compare"], "what was done was done again"
    run = json.loads((tmp_path / "trial" / "run.json").read_text())
    assert run["figures"]["few"]["trials"] == 2 * 5 * 2 and len(run["sessions"]) == 1
    assert run["command"] == f"python -m meta_lib train {words} --out results/trial"
    assert run["sessions"][0].keys() == {"commit", "environment", "seconds"}
    assert run["sessions"][0]["environment"]["torch"] == torch.__version__
    assert make.state("trial").startswith("made")
    assert len(np.loadtxt(tmp_path / "trial" / "log.csv.gz", delimiter=",")) == 2
