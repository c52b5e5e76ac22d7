"""A folder of one's own: what is held out of it, and whether it is the same one later."""

import json

import pytest
import torch
from test_command_line import SMALL, as_on_the_command_line, drawing, result, run

from meta_lib.command_line import comparison
from meta_lib.tasks.episodes import check_episode
from meta_lib.tasks.folders import labelled
from meta_lib.tasks.glyphs import glyphs
from meta_lib.tasks.held_out import deal_again, deal_folder, identity, most_queries, other_images

as_on_the_command_line = as_on_the_command_line  # a fixture


def folder(path, classes=6, images=20):
    for name, drawn in glyphs(classes, images, size=14).items():
        for number, image in enumerate(drawn):
            drawing(path / name / f"{number:02}.png", image)
    return path


@pytest.mark.parametrize(
    ("classes", "images", "ways", "held_out", "sizes"),
    [
        (13, 6, 2, "classes", (8, 2, 3)),
        (6, 20, 2, "images", (10, 5, 5)),
        (6, 20, 6, "images", (10, 5, 5)),
        (2, 9, 2, "images", (7, 1, 1)),
        (2, 6, 2, "nothing", (6, 0, 0)),
    ],
)
def test_what_is_held_out_follows_from_what_there_is(
    classes, images, ways, held_out, sizes, tmp_path
):
    found = labelled(folder(tmp_path, classes, images), 14)
    parts, known = deal_folder(found, ways, 1, 5)
    assert known["held_out"] == held_out
    count = {p: {n: len(x) for n, x in part.items()} for p, part in parts.items()}
    assert known["parts"] == count and known["classes"] == {n: images for n in found}
    if held_out == "classes":
        assert tuple(map(len, parts.values())) == sizes
    else:
        assert all(
            set(part.values()) in ({size}, set())
            for part, size in zip(count.values(), sizes, strict=True)
        )
    kept = torch.cat([x for part in parts.values() for x in part.values()])
    assert len(kept) == classes * images == len(kept.unique(dim=0)), "each image once"
    check_episode(parts["train"], ways, 1, 5)
    again = deal_again(found, json.loads(json.dumps(known)))
    for part, of in parts.items():
        assert of.keys() == again.parts[part].keys()
        assert all(torch.equal(images, again.parts[part][name]) for name, images in of.items())


def test_more_than_there_is_is_refused(tmp_path):
    found = labelled(folder(tmp_path, 3, 6), 14)
    for asked, message in (
        ((1, 1, 5), "ways must be at least 2, but was 1"),
        ((4, 1, 5), "ways must be at most 3"),
        ((2, 2, 5), r"shots \+ queries must be at most 6"),
    ):
        with pytest.raises(ValueError, match=message):
            deal_folder(found, *asked)


def test_what_is_asked_was_held_out(generator):
    known = {name: torch.full((4, 1, 2, 2), float(k)) for k, name in enumerate("abc")}
    fresh = {name: images + 10 for name, images in known.items()}
    draw = other_images(known, fresh, 2, 3, 4, generator)
    for _ in range(5):
        episode = draw()
        support, query = episode.support_x[:, 0, 0, 0], episode.query_x[:, 0, 0, 0]
        assert support.max() < 10 <= query.min()
        assert torch.equal(query[::4] - 10, support[::3]), "of the same classes"
        assert episode.support_y.tolist() == [0] * 3 + [1] * 3
        assert episode.query_y.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("learner", ["siamese", "protonet", "maml"])
@pytest.mark.parametrize("ways", [2, 6])
def test_six_classes_are_enough(learner, ways, tmp_path):
    own = folder(tmp_path / "own")
    where = ["--data", "folder", "--data-folder", own]
    trained = result("train", learner, "--out", tmp_path / "run", *SMALL, *where, "--ways", ways)
    assert trained["held_out"] == "images" and trained["trials"] == 2 * ways * 5
    own.rename(tmp_path / "moved")
    lost = run("evaluate", tmp_path / "run")
    assert lost.exit_code == 1 and "there is no folder" in lost.stderr
    where[-1] = tmp_path / "moved"
    asked = ["evaluate", tmp_path / "run", "--data-folder", tmp_path / "moved", "--episodes", 2]
    found = result(*asked)
    assert found["held_out"] == "images" and found["queries"] == 5
    assert "images that were held out" in run(*asked).stdout
    went_on = run("train", learner, "--out", tmp_path / "run", *SMALL, *where, "--ways", ways)
    assert went_on.exit_code == 0, went_on.output


def test_what_has_changed_is_said(tmp_path):
    own = folder(tmp_path / "own", 13, 6)
    train = ["train", "protonet", "--out", tmp_path / "run", *SMALL, "--data", "folder",
             "--data-folder", own, "--ways", 2]  # fmt: skip
    result(*train)
    asked = ["evaluate", tmp_path / "run", "--episodes", 2]
    before = result(*asked)
    drawing(own / "a new one" / "1.png", torch.zeros(1, 9, 9))
    added = run(*asked, "--json")
    assert json.loads(added.stdout) == before, "the parts stay what they were"
    assert "since the training the class 'a new one' is new" in added.stderr
    resumed = run(*train, "--iterations", 3)
    assert resumed.exit_code == 2 and "the class 'a new one' is new" in resumed.stderr
    (own / "glyph 3").rename(own / "another name")
    renamed = run(*asked)
    assert renamed.exit_code == 2 and renamed.stdout == ""
    for change in ("'another name' is new", "'glyph 3' is missing"):
        assert change in " ".join(renamed.stderr.split())
    compared = run("compare", tmp_path / "run", "--ways", 2)
    assert compared.exit_code == 2 and "'glyph 3' is missing" in compared.stderr


def test_an_image_more_moves_held_out_images(tmp_path):
    own = folder(tmp_path / "own", 2, 12)
    found = labelled(own, 14)
    _, known = deal_folder(found, 2, 1, 5)
    for name, said in (("more.png", "had 12 images, and has 13"), (None, "have other names")):
        if name:
            drawing(own / "glyph 0" / name, torch.zeros(1, 9, 9))
        else:
            (own / "glyph 0" / "more.png").unlink()
            (own / "glyph 0" / "00.png").rename(own / "glyph 0" / "zz.png")
        with pytest.raises(ValueError, match=said):
            deal_again(labelled(own, 14), known)
    assert identity("", {}, found)["digest"] == known["digest"]


def test_nothing_held_out_is_said(tmp_path):
    own = folder(tmp_path / "own", 2, 6)
    train = ["train", "protonet", "--out", tmp_path / "run", *SMALL, "--data", "folder",
             "--data-folder", own, "--ways", 2]  # fmt: skip
    train += ["--queries", 5]
    trained = result(*train)
    assert trained["held_out"] == "nothing" and trained["accuracy"] is None
    assert "nothing was held out" in run(*train).stdout
    refused = run("evaluate", tmp_path / "run")
    assert refused.exit_code == 2 and "nothing was held out of this training" in refused.stderr
    assert result("evaluate", tmp_path / "run", "--part", "all", "--episodes", 2)["trials"] == 20


def test_six_images_of_each_are_enough_for_a_number(tmp_path):
    own = folder(tmp_path / "own", 2, 6)
    train = ["train", "protonet", "--out", tmp_path / "run", *SMALL, "--data", "folder",
             "--data-folder", own, "--ways", 2]  # fmt: skip
    trained = result(*train)
    assert trained["held_out"] == "images" and trained["of"] == [2, 2] and trained["trials"] == 4
    said = run("evaluate", tmp_path / "run", "--episodes", 2).stdout
    assert "on 2 images that were held out" in said and "the ± counts no others" in said


@pytest.mark.parametrize(
    ("classes", "images", "shots", "queries"),
    [(2, 6, 1, 3), (2, 20, 1, 5), (13, 6, 1, 5), (2, 3, 1, 1), (2, 7, 3, 2)],
)
def test_few_images_ask_for_few_queries(classes, images, shots, queries, tmp_path):
    found = labelled(folder(tmp_path, classes, images), 14)
    assert most_queries(found, 2, shots) == queries
    deal_folder(found, 2, shots, queries)


def test_a_folder_that_was_not_trained_on_is_one_part(tmp_path):
    own = folder(tmp_path / "own", 3, 6)
    result("train", "protonet", "--out", tmp_path / "run", *SMALL)
    found = result("evaluate", tmp_path / "run", "--data", "folder", "--data-folder", own,
                   "--ways", 3, "--episodes", 2)  # fmt: skip
    assert found["part"] == "all" and found["trials"] == 2 * 3 * 5


def test_runs_of_one_name_are_told_apart(tmp_path):
    def named(*paths):
        return list(comparison.names([tmp_path / path for path in paths]))

    assert named("a/run", "b/run", "c/other") == ["a/run", "b/run", "other"]
    assert named("a/model.safetensors", "b/model.safetensors") == [
        "a/model.safetensors", "b/model.safetensors"
    ]  # fmt: skip
    assert named("a/pixels", "from scratch") == ["a/pixels", f"{tmp_path.name}/from scratch"]
    assert named("a/x/run", "b/x/run") == ["a/x/run", "b/x/run"]
    assert named("run", "a/../run") == ["run"], "one run, named twice"


def test_each_learner_is_compared_at_its_own_size(tmp_path, monkeypatch):
    monkeypatch.setattr("meta_lib.command_line.comparison.FROM_SCRATCH", [(0.1, 1)])
    monkeypatch.setattr("meta_lib.command_line.comparison.median_seconds", lambda *_: 0.0)
    monkeypatch.setattr("meta_lib.command_line.comparison.peak_memory", lambda *_: 0.0)
    for place, size in (("a", 14), ("b", 24)):
        result("train", "protonet", "--out", tmp_path / place / "run", *SMALL, "--size", size)
    both = [tmp_path / place / "run" for place in "ab"]
    asked = ["--episodes", 10, "--queries", 2]
    alone = [result("evaluate", path, *asked)["right_by_task"] for path in both]
    for order in ([0, 1], [1, 0]):
        found = result("compare", *[both[i] for i in order], *asked)["learners"]
        assert [found[f"{place}/run"]["right_by_task"] for place in "ab"] == alone
