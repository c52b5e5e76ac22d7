"""Classifying one's own images from the command line: answers, tables, pages, frozen features."""

import csv
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import torch
from test_command_line import SMALL, as_on_the_command_line, drawing, result, run
from torch import nn

from meta_lib import confidence, results
from meta_lib.command_line import answers, learners, own_images, report
from meta_lib.machinery import features
from meta_lib.siamese import cosine_distance, euclidean_distance
from meta_lib.tasks.folders import image_folder
from meta_lib.tasks.glyphs import glyphs

as_on_the_command_line = as_on_the_command_line  # a fixture
NAMES = ["Café", "ключ", "鍵", "مفتاح"]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Four classes named in four scripts: three labelled images and two queries each."""
    place = tmp_path_factory.mktemp("own")
    torch.set_default_dtype(torch.float32)
    for name, images in zip(NAMES, glyphs(4, 5, size=20).values(), strict=True):
        for number in range(5):
            kind = "shown" if number < 3 else "new"
            drawing(place / kind / name / f"{name} {number}.png", images[number])
    for learner in ("siamese", "protonet"):
        trained = run("train", learner, "--out", place / learner, *SMALL, "--iterations", 20)
        assert trained.exit_code == 0
    torch.set_default_dtype(torch.float64)
    return place


def asked(own, learner="siamese", *more):
    return ["classify", own / learner, "--support", own / "shown", "--query", own / "new", *more]


def test_answers_are_those_of_the_chapter(own):
    found = result(*asked(own))
    learner, settings = learners.load(own / "siamese")
    known, new = (image_folder(own / place, settings["size"]) for place in ("shown", "new"))
    x, y = torch.cat(list(known.values())), torch.arange(4).repeat_interleave(3)
    query = torch.cat(list(new.values()))
    D = confidence.class_distances(learner.embed, x, y, query, euclidean_distance)
    without = confidence.leave_one_out(learner.embed, x, y, euclidean_distance)
    scale = confidence.fit_scale(without, y)
    assert found["scale"] == pytest.approx(scale, rel=1e-3) and found["left_out"] == 12
    p = confidence.probabilities(D, scale).amax(dim=1)
    lines = found["predictions"]
    assert [line["class"] for line in lines] == [list(known)[k] for k in D.argmin(dim=1)]
    assert [line["probability"] for line in lines] == pytest.approx(p.tolist(), rel=1e-3)
    assert [line["distance"] for line in lines] == pytest.approx(D.amin(dim=1).tolist(), rel=1e-3)
    assert all(line["nearest"].startswith(line["class"] + "/") for line in lines)
    assert [line["truth"] for line in lines] == [name for name in sorted(NAMES) for _ in range(2)]


def test_without_two_of_a_class_there_is_no_probability(own, tmp_path):
    for name in NAMES:
        (tmp_path / name).mkdir()
        os.link(own / "shown" / name / f"{name} 0.png", tmp_path / name / "0.png")
    command = asked(own)
    command[3] = tmp_path
    found = result(*command)
    assert found["scale"] is None and found["predictions"][0]["probability"] is None
    refused = run(*command, "--threshold", 0.5)
    assert refused.exit_code == 2 and "no class has two labelled images" in refused.stderr


def test_what_is_not_sure_enough_is_unknown(own):
    features = torch.zeros(2, 3)
    support = answers.Support(["a", "b"], ["a/1", "b/1"], torch.arange(2), features, features)
    labels = torch.tensor([0, 1, 0])
    p, distance = torch.tensor([0.9, 0.6, 0.7]), torch.tensor([0.1, 0.2, 0.4])
    found = answers.Asked(labels, p, distance, labels, {})

    def named(*limits):
        return [line["class"] for line in answers.lines(found, support, "xyz", *limits)]

    assert named() == ["a", "b", "a"]
    assert named(0.65) == ["a", "unknown", "a"]
    assert named(None, 0.4) == ["a", "b", "unknown"]
    assert named(0.65, 0.4) == ["a", "unknown", "unknown"]
    with pytest.raises(ValueError, match="no class may be named unknown"):
        answers.lines(found, support._replace(classes=["a", "unknown"]), "xyz", 0.5)
    none = result(*asked(own, "siamese", "--farthest", 1e-9))
    assert none["unknown"] == 8 and none["accuracy"] is None


@pytest.mark.parametrize("head", ["nearest", "prototypes"])
def test_what_is_left_out_is_asked_with_the_others(head, generator):
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    features = torch.randn(6, 5, generator=generator)
    metric = answers.Metric(nn.Flatten(), cosine_distance, head, "")
    support = answers.Support(list("abc"), list("uvwxyz"), labels, features, features)
    found, known = answers.left_out(support, metric)
    assert known.tolist() == [0, 0, 1, 1, 1], "the last is the only one of its class"
    for i in range(5):
        others = torch.arange(6) != i
        alone = support._replace(labels=labels[others], features=features[others])
        assert torch.allclose(found[i], answers.class_distances(alone, features[[i]], metric)[0])


def test_answers_are_written_as_a_table(own, tmp_path):
    found = result(*asked(own, "siamese", "--csv", tmp_path / "answers.csv"))
    with open(tmp_path / "answers.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [line["class"] for line in found["predictions"]]
    assert [row["truth"] for row in rows] == [line["truth"] for line in found["predictions"]]


@pytest.mark.parametrize("learner", ["siamese", "protonet"])
def test_a_support_set_may_be_saved(learner, own, tmp_path):
    file = tmp_path / "prototypes.safetensors"
    found = result(*asked(own, learner, "--save", file))
    command = asked(own, learner, "--report", tmp_path / "page.html")
    command[3] = file
    assert result(*command) == found
    for more, message in ((["--clean"], "images read as"), ([], "another network")):
        if not more:
            command[1] = own / {"siamese": "protonet", "protonet": "siamese"}[learner]
        refused = run(*command, *more)
        assert refused.exit_code == 2 and message in " ".join(refused.stderr.split())


class Outside(HTMLParser):
    """Collects what a page would fetch from elsewhere, and counts its pictures."""

    def __init__(self):
        super().__init__()
        self.fetched, self.pictures = [], 0

    def handle_starttag(self, tag, attrs):
        self.pictures += tag == "img"
        for name, value in attrs:
            if name in ("src", "href") and not value.startswith("data:"):
                self.fetched.append(value)


def test_a_page_stands_alone(own, tmp_path):
    page = tmp_path / "page.html"
    found = result(*asked(own, "siamese", "--threshold", 0.5, "--report", page))
    text = page.read_text(encoding="utf-8")
    reader = Outside()
    reader.feed(text)
    assert reader.fetched == [] and "url(" not in text and reader.pictures >= 3 * 8
    assert all(name in text for name in NAMES) and "Who was taken for whom" in text
    wrong = sum(line["class"] != line["truth"] for line in found["predictions"])
    assert f"Mistakes and refusals: {wrong} of 8" in text
    counts = re.search(r'<table class="counts">.*?</table>', text)[0]
    right = sum(int(n) for n in re.findall(r'class="right">(\d+)<', counts))
    assert right == 8 - wrong


def test_a_page_shows_no_more_than_can_be_looked_at(own, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MOST", 3)
    result(*asked(own, "siamese", "--report", tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "3 of 8 answers, the least sure first" in text
    assert text.split("the least sure first")[1].count("<tr class") == 3


def test_names_cannot_break_a_page():
    line = {"file": "<b>&\udcff", "class": "<i>", "probability": None, "distance": None,
            "nearest": None}  # fmt: skip
    text = report.page("<u>", ["<s>"], [line], [None], [""], {}, ["<i>"])
    assert not re.search("<[bius]>", text) and "&lt;b&gt;&amp;\\udcff" in text
    assert "<h2>Mistakes" not in text, "no class is known"


def test_files_that_cannot_be_read_are_passed_over_if_asked(own, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    for number, name in enumerate(NAMES):
        os.link(own / "new" / name / f"{name} 3.png", new / f"{number}.png")
    (new / "photo.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (new / "notes.txt").write_text("no image")
    (new / "Thumbs.db").write_text("no image")
    command = ["classify", own / "siamese", "--support", own / "shown", "--query", new]
    refused = run(*command)
    assert refused.exit_code == 1 and refused.stdout == ""
    for said in ("2 files cannot be read", "photo.HEIC", "notes.txt", "--skip-unreadable"):
        assert said in refused.stderr
    answer = run(*command, "--skip-unreadable", "--json")
    lines = json.loads(answer.stdout)["predictions"]
    assert [line["file"] for line in lines] == [f"{n}.png" for n in range(4)]
    assert answer.stderr.count("passed over") == 2


def test_any_console_will_do(own):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "META_LIB_DEVICE": "cpu"}
    for more in ([], ["--json"]):
        command = [str(word) for word in asked(own, "siamese", *more)]
        done = subprocess.run(
            [sys.executable, "-m", "meta_lib", *command], capture_output=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode("ascii").count("\\u") >= 8


def small_network(images):
    """Stand in for features of one's own."""
    assert images.shape[1:] == (3, 12, 12)
    return images.flatten(1) @ torch.randn(432, 16, generator=torch.Generator().manual_seed(0))


def sized(images):
    """Stand in for a network that takes images of its own size only."""
    raise AssertionError("Guard failed")


def nonsense(images):
    return "no features"


@pytest.mark.parametrize("head", answers.HEADS)
def test_frozen_features_answer(head, own, tmp_path):
    command = asked(own, "siamese", "--embedding", "test_own_images:small_network", "--size", 12,
                    "--mean", "0.5", "--deviation", "0.2,0.2,0.3", "--head", head)  # fmt: skip
    del command[1]
    found = result(*command, "--report", tmp_path / "page.html")
    assert found["learner"] == "frozen features" and found["trials"] == 8
    assert found["accuracy"] >= 0.5
    assert all(0 <= line["probability"] <= 1 for line in found["predictions"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--embedding", "test_own_images:sized", "--channels", 1], "images of 1 × 12 × 12"),
        (
            ["--head", "nearest", "--embedding", "test_own_images:small_network", "--deviation", 0],
            "no deviation 0",
        ),
        (["--embedding", "nowhere"], "must be module:function or a .pt2 file"),
        (["--embedding", "nowhere:at_all"], "cannot be imported"),
        (["--embedding", "test_own_images:NAMES"], "must be a function or a network"),
        (["--embedding", "test_own_images:nonsense"], "network must return a tensor"),
        (["--embedding", "test_own_images:small_network", "--mean", "a"], "must be finite numbers"),
        (["--embedding", "test_own_images:small_network", "--mean", "1,2"], "must be one number"),
    ],
)
def test_features_that_are_none_are_refused(given, message, own):
    command = asked(own)
    del command[1]
    refused = run(*command, "--size", 12, *given)
    assert refused.exit_code == 2 and message in " ".join(refused.stderr.split())


@pytest.mark.parametrize("head", answers.HEADS)
def test_frozen_features_are_measured(head, own):
    asked = ["--embedding", "test_own_images:small_network", "--size", 12, "--data-folder",
             own / "shown", "--ways", 4, "--shots", 2, "--queries", 1, "--head", head]  # fmt: skip
    found = result("evaluate", *asked, "--episodes", 20)
    assert found["learner"] == "frozen features" and found["trials"] == 80
    assert found["accuracy"] > 0.4, "guessing is 0.25"
    for wrong in (["--copies", 2], ["--test-steps", 2]):
        refused = run("evaluate", *asked, *wrong)
        assert refused.exit_code == 2 and "must be left out with --embedding" in refused.stderr
    for wrong in (["--size", 12], ["--head", "nearest"]):
        refused = run("evaluate", own / "siamese", *wrong)
        assert refused.exit_code == 2 and "left out without --embedding" in refused.stderr


def test_without_a_checkpoint_the_recorded_one_answers(own):
    shown = ["--support", own / "shown", "--query", own / "new"]
    recorded = results.folder() / "siamese-pooled"
    assert result("classify", *shown) == result("classify", recorded, *shown)


@pytest.mark.parametrize("learner", ["siamese", "protonet", "maml"])
def test_colour_is_learned_from(learner, tmp_path):
    colour = [*SMALL, "--channels", 3, "--size", 20]
    trained = result("train", learner, "--out", tmp_path / "run", *colour)
    assert result("evaluate", tmp_path / "run", "--episodes", 2)["trials"] == 50
    assert trained["trials"] == 50
    refused = run("train", learner, "--out", tmp_path / "x", *colour, "--distort", 1)
    assert refused.exit_code == 2 and "distort must be left out" in refused.stderr


def test_an_export_is_the_same_network(own, tmp_path):
    file = tmp_path / "embedding.pt2"
    assert result("export", own / "siamese", "--to", file)["difference"] < 1e-5
    plain = result(*asked(own))
    command = asked(own, "siamese", "--embedding", file, "--size", 14, "--channels", 1)
    del command[1]
    found = result(*command, "--head", "nearest")
    assert len(found["predictions"]) == len(plain["predictions"])
    wrong = run("export", own / "siamese", "--to", tmp_path / "x.bin")
    assert wrong.exit_code == 2 and "must end with .pt2 or .onnx" in wrong.stderr
    said = run("export", own / "siamese", "--to", file).stdout
    assert "its features are the network's own, up to" in said


@pytest.mark.parametrize("learner", ["siamese", "protonet"])
def test_onnx_is_the_same_network(learner, own, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnx.reference")
    file = tmp_path / "embedding.onnx"
    assert result("export", own / learner, "--to", file)["difference"] < 1e-5
    trained, settings = learners.load(own / learner)
    x = torch.rand(4, 1, settings["size"], settings["size"])
    again = runtime.ReferenceEvaluator(str(file)).run(None, {"images": x.numpy()})[0]
    assert torch.allclose(torch.from_numpy(again), trained.embed(x), atol=1e-5)


def test_onnx_is_refused_without_its_packages(own, tmp_path, monkeypatch):
    monkeypatch.setattr("meta_lib.command_line.exporting.find_spec", lambda _: None)
    refused = run("export", own / "siamese", "--to", tmp_path / "x.onnx")
    assert refused.exit_code == 2 and "install onnx and onnxscript" in refused.stderr


def test_ten_thousand_queries_fit_into_a_gigabyte():
    """All differences at once would be 10,000 × 500 × 512 numbers of 4 bytes, 10 GB."""
    code = """
import resource, torch
from meta_lib import confidence
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
confidence.all_distances(torch.rand(600, 512), torch.rand(500, 512), confidence.cosine_distance)
D = torch.rand(10_000, 500)
confidence.nearest(D, torch.arange(500) % 50)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000, "in KiB"


def test_queries_are_read_and_embedded_in_blocks(own, tmp_path, monkeypatch):
    found = result(*asked(own, "siamese", "--report", tmp_path / "page.html"))
    most = []
    embedded = answers.embedded
    monkeypatch.setattr(answers, "embedded", lambda m, x: most.append(len(x)) or embedded(m, x))
    monkeypatch.setattr(features, "IMAGES_AT_ONCE", 3)
    again = result(*asked(own, "siamese", "--report", tmp_path / "again.html"))
    assert most == [12, 3, 3, 2], "the labelled ones, then the queries"
    pages = [(tmp_path / name).read_text(encoding="utf-8") for name in ("page.html", "again.html")]
    assert pages[0] == pages[1]
    for line, other in zip(found["predictions"], again["predictions"], strict=True):
        assert line["class"] == other["class"]


def test_a_learner_that_adapts_answers_in_blocks(own, tmp_path, monkeypatch):
    trained = run("train", "maml", "--out", tmp_path / "maml", *SMALL, "--ways", 4)
    assert trained.exit_code == 0, trained.output
    asked_of = []
    labels = own_images._labels
    monkeypatch.setattr(
        own_images, "_labels", lambda *given: asked_of.append(len(given[2])) or labels(*given)
    )
    monkeypatch.setattr(features, "IMAGES_AT_ONCE", 3)
    command = asked(own)
    command[1] = tmp_path / "maml"
    assert len(result(*command)["predictions"]) == 8 and asked_of == [3, 3, 2]


@pytest.mark.parametrize(("side", "most"), [(32, 256), (84, 37), (224, 5), (2000, 1)])
def test_of_large_images_fewer_are_embedded_at_once(side, most):
    seen = []
    confidence.embed_all(
        lambda x: seen.append(len(x)) or x[:, :1, :1, 0].flatten(1), torch.zeros(7, 1, side, side)
    )
    assert features.at_once(side) == most and max(seen) == min(7, most) and sum(seen) == 7
