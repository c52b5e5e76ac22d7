"""The command line, as its users type it: what works, what is refused, what goes on."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from meta_lib.command_line.commands import UNASKED, meta_lib
from meta_lib.command_line.learners import VARIANTS
from meta_lib.machinery import distributed, runs
from meta_lib.machinery.cost import median_seconds
from meta_lib.results import folder
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.parts import PARTS, deal, load_part
from meta_lib.tasks.snapshots import write_snapshots

SMALL = "--iterations 2 --filters 4 --size 14 --episodes 2".split()


@pytest.fixture(autouse=True)
def as_on_the_command_line(monkeypatch):
    """32 bits as in a fresh process, few glyphs, and a device that does not outlive the test."""
    torch.set_default_dtype(torch.float32)
    monkeypatch.setenv("META_LIB_DEVICE", "cpu")
    monkeypatch.setattr("meta_lib.tasks.parts.GLYPHS", {p: (12, s) for s, p in enumerate(PARTS)})


def run(*arguments):
    return CliRunner().invoke(meta_lib, [str(argument) for argument in arguments])


def result(*arguments):
    """Run with --json, which must leave exactly one JSON object on standard output."""
    answer = run(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    (line,) = answer.stdout.splitlines()
    found = json.loads(line)
    assert found.keys() >= {"accuracy", "error_percent", "trials", "ci95"}
    return found


def drawing(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((255 * (1 - image[0].numpy())).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Train a model of each kind, small and quickly."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meta_lib.tasks.parts.GLYPHS", {p: (12, s) for s, p in enumerate(PARTS)})
        patch.setenv("META_LIB_DEVICE", "cpu")
        torch.set_default_dtype(torch.float32)
        for learner in ("siamese", "protonet", "maml", "lstm"):
            found = result("train", learner, "--out", folder / learner, *SMALL)
            assert found["model"] == str(folder / learner / "model.safetensors")
            assert found["trials"] == 2 * 25 and found["part"] == "validation"
        torch.set_default_dtype(torch.float64)
    return folder


@pytest.mark.parametrize("learner", ["siamese", "protonet", "maml", "lstm"])
def test_a_trained_model_is_evaluated(learner, models):
    found = result("evaluate", models / learner, "--episodes", 3, "--queries", 2)
    assert found["trials"] == 3 * 5 * 2 and found["ways"] == 5 and found["part"] == "test"
    assert 0 <= found["accuracy"] <= 1 and found["ci95"] >= 0
    assert found["error_percent"] == pytest.approx(100 * (1 - found["accuracy"]))
    assert len(found["right_by_task"]) == 3
    assert sum(found["right_by_task"]) == round(found["trials"] * found["accuracy"])
    again = result("evaluate", models / learner / "model.safetensors", "--episodes", 3,
                   "--queries", 2)  # fmt: skip
    assert again == found
    said = run("evaluate", models / learner, "--episodes", 3, "--queries", 2)
    assert f"accuracy {100 * found['accuracy']:.1f} ± {100 * found['ci95']:.1f} %" in said.stdout


def test_one_by_one_matters_where_a_batch_has_its_own_statistics(models):
    asked = ["--episodes", 20, "--queries", 4]
    for learner, differs in (
        ("protonet", False),
        ("siamese", False),
        ("maml", True),
        ("lstm", True),
    ):
        together = result("evaluate", models / learner, *asked)
        alone = result("evaluate", models / learner, *asked, "--one-by-one")
        assert alone.pop("one_by_one") and "one_by_one" not in together
        assert (alone["right_by_task"] != together["right_by_task"]) == differs


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_relatives_of_maml_are_trained(variant, tmp_path):
    out = tmp_path / "run"
    trained = result("train", "maml", "--variant", variant, "--out", out, *SMALL)
    assert result("evaluate", out, "--part", "validation", "--episodes", 2, "--seed", 0)[
        "accuracy"
    ] == pytest.approx(trained["accuracy"])


@pytest.mark.parametrize(
    "options",
    [
        ("pretrained",),
        ("siamese", "--measure", "cosine"),
        ("siamese", "--network", "pooled", "--size", "32", "--copies", "2"),
        ("siamese", "--loss", "softmax", "--measure", "cosine", "--tasks", "2", "--turns",
         "--distort", "1", "--bend", "0.05"),
        ("maml", "--test-steps", "3", "--decay", "--distort", "1"),
        ("maml", "--network", "pooled", "--size", "16", "--filters", "4", "--layer-rates",
         "--steps", "2", "--multi-step", "--cosine"),
        ("siamese", "--measure", "weighted-l1"),
        ("protonet", "--distance", "cosine"),
    ],
)  # fmt: skip
def test_each_kind_is_trained_and_kept(options, tmp_path):
    trained = result("train", options[0], "--out", tmp_path / "run", *SMALL, *options[1:])
    found = result("evaluate", tmp_path / "run", "--part", "validation", "--episodes", 2,
                   "--seed", 0)  # fmt: skip
    assert found["accuracy"] == pytest.approx(trained["accuracy"])


def test_maml_begins_with_the_body_of_an_embedding(tmp_path):
    small = [*SMALL, "--size", "16", "--network", "pooled", "--filters", "4"]
    result("train", "protonet", "--out", tmp_path / "body", *small)
    still = ["--iterations", "1", "--beta", "1e-30"]
    result("train", "maml", "--out", tmp_path / "run", "--body", tmp_path / "body", *small, *still)
    body, found = (runs.read_model(tmp_path / name).tensors for name in ("body", "run"))
    for name, weight in found.items():
        # The last layer begins with zeros, all others as the embedding's.
        expected = body[name].view_as(weight) if name in body else torch.zeros_like(weight)
        torch.testing.assert_close(weight, expected)
    refused = run("train", "maml", "--out", tmp_path / "other", "--body", tmp_path / "body",
                  *SMALL)  # fmt: skip
    assert refused.exit_code == 2 and "body must be of the same network" in refused.stderr


def one_shot_runs(folder, runs):
    for number, images in enumerate(runs, start=1):
        at, lines = folder / f"run{number:02d}", []
        for way, (shown, asked) in enumerate(images, start=1):
            drawing(at / "training" / f"class{way:02d}.png", shown)
            drawing(at / "test" / f"item{way:02d}.png", asked)
            name = f"run{number:02d}"
            lines.append(f"{name}/test/item{way:02d}.png {name}/training/class{way:02d}.png")
        (at / "class_labels.txt").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("zipped", [False, True])
def test_official_runs_are_evaluated(runs, zipped, models, tmp_path):
    source = glyphs(4 * runs, 2, size=14)
    pairs = [images.unbind() for images in source.values()]
    # The query is the support image itself: whoever compares images must be right every time.
    twice = [(first, first) for first, _ in pairs]
    path = one_shot_runs(tmp_path / "all_runs", [twice[4 * r : 4 * r + 4] for r in range(runs)])
    if zipped:
        with zipfile.ZipFile(tmp_path / "all_runs.zip", "w") as archive:
            for file in sorted(path.rglob("*.*")):
                archive.write(file, file.relative_to(path))
        path = tmp_path / "all_runs.zip"
    found = result("evaluate", models / "protonet", "--runs", path)
    assert found["accuracy"] == 1 and found["trials"] == 4 * runs and found["ci95"] == 0
    refused = run("evaluate", models / "maml", "--runs", path)
    assert refused.exit_code == 2 and "trained for 5 classes" in refused.stderr


def test_learners_are_compared_on_the_same_tasks(models, monkeypatch):
    comparison = "meta_lib.command_line.comparison"
    monkeypatch.setattr(f"{comparison}.FROM_SCRATCH", [(0.1, 1), (0.3, 2)])
    # Before each call the garbage is collected: among thousands of tests that takes a second.
    monkeypatch.setattr(f"{comparison}.median_seconds", partial(median_seconds, calls=1))
    named = [models / name for name in ("siamese", "maml")]
    found = result("compare", *named, "--episodes", 4, "--queries", 2)
    assert list(found["learners"]) == ["pixels", "from scratch", "siamese", "maml"]
    assert found["trials"] == 4 * 5 * 2
    for name in ("siamese", "maml"):
        row = found["learners"][name]
        alone = result("evaluate", models / name, "--episodes", 4, "--queries", 2)
        assert row["accuracy"] == pytest.approx(alone["accuracy"])
        assert row["ci95"] == pytest.approx(alone["ci95"])
        assert row["task_ms"] > 0 and row["peak_mib"] >= 0 and row["parameters"] > 0
    assert found["learners"]["pixels"]["parameters"] == 0
    assert found["learners"]["from scratch"]["choice"].keys() == {"alpha", "steps"}
    monkeypatch.setattr(f"{comparison}.peak_memory", lambda *given: 0.0)  # once is enough
    assert "pixels: accuracy" in run("compare", *named, "--episodes", 4).stdout


def test_copies_are_asked_for_when_a_model_is_used(models):
    plain, copied = (
        result("evaluate", models / "siamese", "--episodes", 40, *more)
        for more in ([], ["--copies", 4])
    )
    assert "copies" not in plain and copied["copies"] == 4
    assert plain["accuracy"] != copied["accuracy"]


def test_a_model_for_the_official_runs_is_trained_on_all_classes(tmp_path):
    trained = result("train", "pretrained", "--out", tmp_path / "run", *SMALL, "--part", "all")
    assert trained["part"] is trained["accuracy"] is None, "judged by classes that it has met"
    assert "part test among them" in run("evaluate", tmp_path / "run", "--episodes", 2).stderr
    many = [*SMALL, "--ways", 13]
    assert run("train", "pretrained", "--out", tmp_path / "x", *many).exit_code == 2
    result("train", "pretrained", "--out", tmp_path / "x", *many, "--part", "all")


@pytest.fixture
def own_images(tmp_path):
    """Three classes with two, one and one images to learn from, and two queries each."""
    return draw_own_images(tmp_path)


@pytest.fixture(scope="module")
def fuzzed_images(tmp_path_factory):
    """Draw the same ones, for many command lines."""
    return draw_own_images(tmp_path_factory.mktemp("own"))


def draw_own_images(tmp_path):
    for (name, images), shots in zip(glyphs(3, 4, size=20).items(), (2, 1, 1), strict=True):
        for number in range(shots):
            drawing(tmp_path / "shown" / name / f"{number}.png", images[number])
        for number in (2, 3):
            drawing(tmp_path / "new" / name / f"{number}.png", images[number])
            drawing(tmp_path / "flat" / f"{name} {number}.png", images[number])
    return tmp_path


def test_own_images_are_classified(models, own_images):
    judged = result("classify", models / "protonet", "--support", own_images / "shown",
                    "--query", own_images / "new")  # fmt: skip
    answers = {line["file"]: line["class"] for line in judged["predictions"]}
    assert set(answers) == {f"glyph {c}/{n}.png" for c in range(3) for n in (2, 3)}
    right = sum(file.startswith(f"{name}/") for file, name in answers.items())
    assert judged["accuracy"] == pytest.approx(right / 6) and judged["trials"] == 6

    flat = result("classify", models / "protonet", "--support", own_images / "shown",
                  "--query", own_images / "flat")  # fmt: skip
    assert flat["accuracy"] is flat["error_percent"] is flat["ci95"] is None
    same = {line["file"].replace(" ", "/", 2).replace("/", " ", 1): line["class"]
            for line in flat["predictions"]}  # fmt: skip
    assert same == answers
    said = run("classify", models / "protonet", "--support", own_images / "shown",
               "--query", own_images / "flat")  # fmt: skip
    first = flat["predictions"][0]
    assert said.stdout.splitlines()[0].startswith(f"{first['file']}: {first['class']} (p ")


@pytest.mark.parametrize("learner", ["siamese", "maml", "lstm"])
def test_images_without_a_label_are_classified(learner, models, tmp_path):
    for name, images in glyphs(5, 2, size=20).items():
        drawing(tmp_path / "shown" / name / "0.png", images[0])
        drawing(tmp_path / "new" / f"{name}.png", images[1])
    found = result("classify", models / learner, "--support", tmp_path / "shown",
                   "--query", tmp_path / "new")  # fmt: skip
    assert found["accuracy"] is None and found["trials"] == len(found["predictions"]) == 5


def test_cleaning_reaches_both_folders(models, tmp_path):
    """The signs are small on their sheets: what is read at all depends on being cut out."""
    write_snapshots(tmp_path / "wide", ["a", "b", "c"], photos=4, margin=100)
    for place, numbers in (("shown", (0, 1)), ("new", (2, 3))):
        for name in "abc":
            for number in numbers:
                target = tmp_path / place / name / f"{number}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "wide" / name / f"0{number}.png").rename(target)
    folders = ["--support", tmp_path / "shown", "--query", tmp_path / "new"]
    plain, clean = (
        result("classify", models / "protonet", *folders, *more) for more in ([], ["--clean"])
    )
    assert [each["class"] for each in plain["predictions"]] != [
        each["class"] for each in clean["predictions"]
    ]


def test_a_class_that_was_not_shown_is_refused(models, own_images):
    drawing(own_images / "new" / "stranger" / "1.png", torch.zeros(1, 9, 9))
    answer = run("classify", models / "protonet", "--support", own_images / "shown",
                 "--query", own_images / "new")  # fmt: skip
    assert answer.exit_code == 2 and "class folder stranger, which --support lacks" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("", 2, "Usage"),
        ("dance", 2, "No such command 'dance'"),
        ("train", 2, "Usage"),
        ("train maml", 2, "Missing option '--out'"),
        ("train maml --out {tmp}/x --ways 0", 2, "0 is not in the range x>=2"),
        ("train maml --out {tmp}/x --ways 1", 2, "1 is not in the range x>=2"),
        ("train maml --out {tmp}/x --ways five", 2, "'five' is not a valid integer"),
        ("train maml --out {tmp}/x --ways 13", 2, "ways must be at most 12"),
        ("train maml --out {tmp}/x --shots 18", 2, "shots + queries must be at most 20"),
        ("train maml --out {tmp}/x --alpha nan", 2, "must be a finite number larger than 0"),
        ("train maml --out {tmp}/x --alpha -1", 2, "must be a finite number larger than 0"),
        ("train maml --out {tmp}/x --beta inf", 2, "must be a finite number larger than 0"),
        ("train maml --out {tmp}/x --beta one", 2, "'one' is not a number"),
        ("train maml --out {tmp}/x --seed -1", 2, "-1 is not in the range 0<=x<="),
        (f"train maml --out {{tmp}}/x --seed {2**63}", 2, "is not in the range 0<=x<="),
        ("train maml --out {tmp}/x --device toaster", 2, "Allowed: cpu, cuda"),
        ("train maml --out {tmp}/x --variant anil --layer-rates", 2, "layer_rates must be left"),
        ("train maml --out {tmp}/x --body-alpha 0.1", 2, "body_alpha must be left out without"),
        ("train maml --out {tmp}/x --variant best", 2, "'best' is not one of 'second-order'"),
        ("train maml --out {tmp}/x --data moon", 2, "'moon' is not one of 'glyphs', 'omniglot'"),
        ("train maml --out {tmp}/x --data folder", 2, "folder must name the folder"),
        ("train maml --out {tmp}/x --data omniglot --data-folder {tmp}", 1, "holds neither"),
        ("train maml --out {tmp}/file.txt", 2, "is a file"),
        ("train maml --out {tmp}/x --alpha 1e30 --steps 2 --filters 4 --size 14", 1,
         "In task 1 of 8 the support loss is nan after"),
        ("train siamese --out {tmp}/x --pairs 3", 2, "must be an even number"),
        ("train siamese --out {tmp}/x --loss softmax", 2, "measure must be cosine for the loss"),
        ("train siamese --out {tmp}/x --distort -1", 2, "must be a finite number of at least 0"),
        ("train siamese --out {tmp}/x --within 1.1", 2, "must be a number from 0 to 1"),
        ("train siamese --out {tmp}/x --network pooled --filters 5", 2, "filters must be even"),
        ("train protonet --out {tmp}/x --within 1", 2, "ways must be at most 1, the number of cl"),
        ("evaluate {models}/siamese --within", 2, "ways must be at most 1, the number of classes"),
        ("compare", 2, "Missing argument 'CHECKPOINTS...'"),
        ("compare {models}/siamese {models}/maml --ways 4", 2, "cannot tell 4 apart"),
        ("compare {models}/siamese {recorded}/optimizer-quadratics", 2, "but holds optimizer"),
        ("evaluate", 2, "name either a CHECKPOINT or an --embedding"),
        ("evaluate {tmp}/nothing", 2, "does not exist"),
        ("evaluate {tmp}/file.txt", 1, "is damaged, or not a safetensors file"),
        ("evaluate {tmp}/foreign.safetensors", 1, "was not written by this library"),
        ("evaluate {models}/maml --ways 4", 2, "cannot tell 4 apart; train one with --ways 4"),
        ("evaluate {models}/siamese --ways 13", 2, "ways must be at most 12"),
        ("evaluate {models}/siamese --episodes 1", 2, "1 is not in the range x>=2"),
        ("evaluate {models}/siamese --runs {tmp}/file.txt", 1, "damaged or not a zip archive"),
        ("classify {models}/siamese --support {tmp}", 2, "Missing option '--query'"),
        ("classify {models}/siamese --support {tmp}/empty --query {tmp}", 2, "must hold one fold"),
        ("classify {models}/siamese --support {tmp}/file.txt --query {tmp}", 1, "is damaged, or"),
        ("classify {models}/siamese --support {tmp} --query {tmp}/nothing", 2, "does not exist"),
        ("classify {recorded}/optimizer-quadratics --support {tmp} --query {tmp}", 2,
         "must hold one of siamese, protonet, pretrained, maml, lstm"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_a_reason(arguments, code, message, models, tmp_path):
    (tmp_path / "file.txt").write_text("not a checkpoint")
    (tmp_path / "empty").mkdir()
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    answer = run(*arguments.format(tmp=tmp_path, models=models, recorded=folder()).split())
    assert answer.exit_code == code, answer.output
    assert message in " ".join(answer.output.split())
    assert answer.stdout == "" or code == 2 and not arguments
    assert "Traceback" not in answer.output


def options_of(*path):
    command = meta_lib
    for name in path:
        command = command.commands[name]
    options = [o for o in command.params if o.opts[0].startswith("--") and not o.is_flag]
    return [(path, option.opts[0], option.name) for option in options]


COMMANDS = [("train", name) for name in meta_lib.commands["train"].commands]
OTHERS = [("evaluate",), ("compare",), ("classify",)]
OPTIONS = [o for path in [*COMMANDS, *OTHERS] for o in options_of(*path)]
NEEDED = {
    "evaluate": ["."], "compare": ["."], "classify": [".", "--support", ".", "--query", "."]
}  # fmt: skip
NONSENSE = st.one_of(
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=8),
    st.integers().map(str),
    st.floats().map(str),
)


@settings(max_examples=300, deadline=None)
@given(option=st.sampled_from(OPTIONS), text=NONSENSE)
def test_no_option_takes_anything(option, text):
    """Either it is refused in words, or the number that arrives can be computed with."""
    path, written, name = option
    arrived = {}
    with pytest.MonkeyPatch.context() as patch:
        for train in ("_train", "_train_experiment"):
            patch.setattr(
                f"meta_lib.command_line.commands.{train}",
                lambda learner, **given: arrived.update(given),
            )
        for command in ("evaluate", "compare", "classify"):
            patch.setattr(meta_lib.commands[command], "callback", arrived.update)
        answer = run(*path, *NEEDED.get(path[0], ["--out", "."]), written, text)
    if answer.exit_code == 0:
        value = arrived[name]
        assert not isinstance(value, int | float) or 0 <= value < float("inf")
    else:
        assert answer.exit_code == 2 and isinstance(answer.exception, SystemExit)
        assert answer.stderr.startswith("Usage:") and f"'{written}'" in answer.stderr


TINY = {"iterations": 1, "filters": 4, "size": 14, "episodes": 2, "tasks": 1, "ways": 2,
        "queries": 1, "hidden": 2, "horizon": 4, "truncation": 2}  # fmt: skip
USUAL = {"device": ["cpu"], "size": ["14", "32"], "episodes": ["2", "3"], "data_folder": ["{own}"],
         "support": ["{own}/shown"], "query": ["{own}/new"], "out": ["x"],
         "runs_path": ["{own}/new"], "embedding": ["no:where"], "mean": ["0"], "deviation": ["1"],
         "saved": ["s"], "table": ["t"], "page": ["p"], "to": ["e.pt2"]}  # fmt: skip
ENDLESS = {"iterations", "episodes", "tasks", "copies", "steps", "test_steps", "horizon"}
"""Of these a huge number is no mistake, and takes as long as it says."""
SILLY = ["", "0", "-1", "nan", "inf", "-inf", "1e400", "0.5", "1e-320", "é", "-", "--", "--json",
         "--out", "nowhere", "\n", "²"]  # fmt: skip
HUGE = [str(2**63), str(10**30)]


@st.composite
def command_lines(draw):
    """A command with small numbers, some of its options with others, and one with anything."""
    path = draw(st.sampled_from([*COMMANDS, *OTHERS]))
    command = meta_lib
    for name in path:
        command = command.commands[name]
    given = {o.name: o for o in command.params if o.opts[0].startswith("--")}
    words = {f"--{name}": [str(value)] for name, value in TINY.items() if name in given}
    chosen = draw(st.lists(st.sampled_from(sorted(given)), max_size=4, unique=True))
    odd = draw(st.sampled_from([*chosen, None]))
    for option in (given[name] for name in chosen):
        values = [*getattr(option.type, "choices", USUAL.get(option.name, ["1", "2", "4"]))]
        if option.name == odd:
            values += SILLY if odd in ENDLESS else SILLY + HUGE
        values = [] if option.is_flag else [draw(st.sampled_from(values))]
        words[option.opts[0]] = ["{tmp}/" + values[0]] if option.name == "out" else values
    named = {"train": ["--out", "{tmp}/run"], "classify": ["--query", "{own}/flat"]}
    named["classify"] += ["--support", "{own}/shown"]
    models = ["{models}/" + name for name in ("siamese", "protonet", "maml", "lstm", "nothing")]
    start = [*path] + ([] if path[0] == "train" else [draw(st.sampled_from(models))])
    return start + named.get(path[0], []) + [word for w in words.items() for word in [w[0], *w[1]]]


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(words=command_lines(), as_json=st.booleans())
def test_whatever_is_typed_is_answered_or_refused_in_words(words, as_json, models, fuzzed_images):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("META_LIB_DEVICE", "cpu")
        # What takes seconds, and has tests of its own.
        commands = "meta_lib.command_line.commands"
        patch.setattr(f"{commands}.comparison.compare", lambda *given: {})
        patch.chdir(folder)
        patch.setattr(f"{commands}._measured", lambda *given: {"learner": "", **UNASKED})
        places = {"tmp": folder, "own": fuzzed_images, "models": models}
        typed = [word.format(**places) for word in words] + ["--json"] * as_json
        answer = run(*typed)
    said = f"{typed}: {answer.output}"
    assert answer.exception is None or isinstance(answer.exception, SystemExit), said
    assert answer.exit_code in (0, 1, 2) and "Traceback" not in answer.output, said
    if answer.exit_code:
        assert answer.stdout == "" and len(answer.stderr) > 20, said
    elif "--json" in typed:
        json.loads(answer.stdout, parse_constant=lambda constant: pytest.fail(said))


@pytest.mark.parametrize(
    "option", [("--features", 10**14), ("--size", 10**30), ("--pairs", 10**30)]
)
def test_what_does_not_fit_into_memory_fails_in_words(option, tmp_path):
    answer = run("train", "siamese", "--out", tmp_path / "run", *SMALL, *option)
    assert answer.exit_code == 1 and "PyTorch cannot compute this" in answer.stderr


@pytest.mark.parametrize("folder", ["shown", "new"])
def test_an_image_that_cannot_be_read_is_named(folder, models, own_images):
    broken = own_images / folder / "glyph 0" / "3.png"
    broken.write_bytes(b"no image")
    answer = run("classify", models / "protonet", "--support", own_images / "shown",
                 "--query", own_images / "new", "--json")  # fmt: skip
    assert answer.exit_code == 1 and answer.stdout == ""
    assert f"{broken} cannot be read as an image" in " ".join(answer.stderr.split())


def test_a_damaged_checkpoint_is_refused(models, tmp_path):
    content = bytearray((models / "lstm" / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "bent.safetensors").write_bytes(content)
    answer = run("evaluate", tmp_path / "bent.safetensors", "--json")
    assert answer.exit_code == 1 and "is damaged: it is not what was written" in answer.stderr
    assert answer.stdout == ""


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "images_background.zip").write_bytes(b"half a download")
    answer = run("train", "maml", "--out", tmp_path / "run", "--data", "omniglot",
                 "--data-folder", tmp_path)  # fmt: skip
    assert answer.exit_code == 1 and "damaged or not a zip archive" in answer.stderr
    assert not (tmp_path / "run").exists(), "a training began"


def test_a_learner_of_own_images_knows_where_they_are(tmp_path):
    """13 classes with 3 images each: 8 to train on, 2 to validate, 3 to test."""
    for name, images in glyphs(13, 3, size=16).items():
        for number, image in enumerate(images):
            drawing(tmp_path / "mine" / name / f"{number}.png", image)
    shape = ["--ways", 2, "--shots", 1, "--queries", 2, "--episodes", 2]
    small = ["--iterations", 2, "--filters", 4, "--size", 14, "--tasks", 2]
    result("train", "protonet", "--out", tmp_path / "run", "--data", "folder",
           "--data-folder", tmp_path / "mine", *shape, *small)  # fmt: skip
    found = result("evaluate", tmp_path / "run", "--queries", 2, "--episodes", 2)
    assert (found["data"], found["ways"], found["trials"]) == ("folder", 2, 2 * 2 * 2)
    assert found["held_out"] == "classes"
    too_many = run("evaluate", tmp_path / "run", "--queries", 2, "--ways", 4)
    assert too_many.exit_code == 2 and "ways must be at most 3" in too_many.stderr
    whole = result("evaluate", tmp_path / "run", "--queries", 2, "--ways", 13, "--part", "all")
    assert whole["trials"] == 600 * 13 * 2
    other = result("evaluate", tmp_path / "run", "--queries", 2, "--data", "glyphs")
    assert other["data"] == "glyphs"


def test_progress_goes_to_standard_error(tmp_path, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    answer = run("train", "protonet", "--out", tmp_path / "run", *SMALL, "--json")
    assert "prototypes: 100%" in answer.stderr
    assert json.loads(answer.stdout)["learner"] == "protonet" and answer.stdout.count("\n") == 1


def test_the_real_command_says_what_failed_and_exits_with_1(tmp_path):
    (tmp_path / "model").write_bytes(b"no model")
    answer = subprocess.run(
        [sys.executable, "-m", "meta_lib", "evaluate", str(tmp_path / "model"), "--json"],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("Error: ") and "is damaged, or not a" in answer.stderr


@pytest.mark.parametrize("learner", ["siamese", "protonet", "maml", "lstm"])
def test_a_stopped_training_goes_on_to_the_same_bytes(learner, models, tmp_path, monkeypatch):
    """Ctrl-C in the first of two iterations; the second is done by the same command."""
    command = ["train", learner, "--out", tmp_path / "run", *SMALL]
    average = distributed.average
    with monkeypatch.context() as patch:
        patch.setattr(
            distributed,
            "average",
            lambda tensors: average(tensors) or signal.raise_signal(signal.SIGINT),
        )
        answer = run(*command)
    assert answer.exit_code == 1 and "give the same command again" in answer.stderr
    assert not (tmp_path / "run" / "model.safetensors").exists()
    result(*command)
    whole = models / learner / "model.safetensors"
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == whole.read_bytes()


def test_a_training_goes_on_with_the_same_command_and_no_other(tmp_path):
    out = tmp_path / "run"
    arguments = ["train", "protonet", "--out", out, "--filters", 4, "--size", 14, "--episodes", 2]
    whole = result(*arguments, "--iterations", 3)
    assert result(*arguments, "--iterations", 3) == whole, "a finished training began anew"
    answer = run(*arguments, "--iterations", 3, "--beta", 0.5)
    assert answer.exit_code == 2 and "beta was 0.001, and is now 0.5" in answer.stderr


def test_an_unfinished_training_is_not_evaluated_unasked(models, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(
        (models / "maml" / "checkpoint.safetensors").read_bytes()
    )
    answer = run("evaluate", tmp_path)
    assert answer.exit_code == 1 and "name its checkpoint.safetensors" in answer.stderr
    assert result("evaluate", tmp_path / "checkpoint.safetensors", "--episodes", 2)["trials"] == 50


def test_a_model_whose_weights_are_not_its_own_is_refused(models, tmp_path):
    saved = runs.read_model(models / "maml")
    file = tmp_path / "mixed.safetensors"
    file.write_bytes(runs.pack(saved._replace(config={**saved.config, "filters": 5})))
    answer = run("evaluate", file)
    assert answer.exit_code == 1 and "other weights than its own settings" in answer.stderr
    file.write_bytes(runs.pack(saved._replace(config={"learner": "parrot"})))
    answer = run("evaluate", file)
    assert answer.exit_code == 1 and "holds no learner of this library" in answer.stderr


def test_two_processes_end_with_the_weights_of_one(tmp_path):
    # Eight tasks are two chunks of four, one for each process, so that both trainings multiply the
    # same numbers. Of other stacks the sums are rounded otherwise, and where a ReLU is just at 0
    # that can change a whole step: 4e-4 after 20, seen with four tasks on one of two processors.
    training = ["-m", "meta_lib", "train", "maml", "--iterations", "20", "--filters", "4"]
    training += ["--episodes", "2", "--queries", "2", "--tasks", "8", "--json"]
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    for name, start in (("alone", []), ("together", together)):
        answer = subprocess.run(
            [sys.executable, *start, *training, "--out", str(tmp_path / name)],
            env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[1],
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["trials"] == 20, "more than one process has answered"
    one, two = (
        safetensors.torch.load_file(tmp_path / name / "model.safetensors")
        for name in ("alone", "together")
    )
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=0, atol=1e-5)


def test_the_parts_of_a_data_set_share_no_class():
    letters = {
        f"{alphabet}/{letter}": torch.zeros(2, 1, 4, 4)
        for alphabet in ("Greek", "Latin", "Runes", "Ogham", "Kanji", "Tifinagh", "Korean")
        for letter in "abc"
    }
    parts = deal(letters)
    assert [*parts] == ["train", "validation", "test"]
    assert sorted(name for part in parts.values() for name in part) == sorted(letters)
    alphabets = [{name.partition("/")[0] for name in part} for part in parts.values()]
    assert [len(a) for a in alphabets] == [5, 1, 1], "an alphabet was torn apart"
    assert deal(dict(reversed(letters.items()))).keys() == parts.keys()
    assert alphabets[1:] == [{"Tifinagh"}, {"Kanji"}], "another machine would deal otherwise"


def test_the_split_by_characters_tears_alphabets_apart():
    letters = {
        f"{a}/{n:02d}": torch.zeros(2, 1, 4, 4) for a in ("Greek", "Latin") for n in range(9)
    }
    parts = deal(letters, together=False)
    assert [len(part) for part in parts.values()] == [11, 3, 4]
    assert sorted(name for part in parts.values() for name in part) == sorted(letters)
    assert {name.partition("/")[0] for name in parts["train"]} == {"Greek", "Latin"}


def test_a_checkpoint_is_measured_on_the_split_that_it_was_trained_with(tmp_path, monkeypatch):
    letters = {
        f"{a}/{n:02d}": glyphs(1, 6, 14, seed=n)["glyph 0"] for a in "abcde" for n in range(8)
    }
    monkeypatch.setattr("meta_lib.tasks.parts.omniglot", lambda **_: letters)
    for split in ("alphabets", "characters"):
        result("train", "protonet", "--out", tmp_path / split, "--data", "omniglot", "--split",
               split, "--shots", 1, *SMALL)  # fmt: skip
    asked = ["--ways", 8, "--episodes", 2, "--within"]
    assert result("evaluate", tmp_path / "alphabets", *asked)["ways"] == 8
    torn = run("evaluate", tmp_path / "characters", *asked)
    assert torn.exit_code == 2 and "the largest group, for tasks within a group" in torn.stderr
    mixed = run("compare", tmp_path / "alphabets", tmp_path / "characters")
    assert mixed.exit_code == 2 and "trained with the same --split" in mixed.stderr


def test_glyphs_have_parts_of_their_own():
    whole = load_part("glyphs", "all", size=8)
    assert len(whole) == 36 and all(
        torch.equal(images, whole[name])
        for part in PARTS
        for name, images in load_part("glyphs", part, size=8).items()
    )
    with pytest.raises(ValueError, match="part must be one of train, validation, test or all, but"):
        load_part("glyphs", "exam")
    with pytest.raises(ValueError, match="split must be alphabets for glyphs; only omniglot has"):
        load_part("glyphs", "train", split="characters")
    with pytest.raises(ValueError, match="split must be one of alphabets, characters, but was 'x'"):
        load_part("omniglot", "train", split="x")
    with pytest.raises(ValueError, match="data must be one of glyphs, omniglot, folder, but was"):
        load_part("moon", "train")
