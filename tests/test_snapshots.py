"""The stand-in for a reader's own folder: picture files of invented signs."""

import numpy as np
import pytest
from PIL import Image

from meta_lib.tasks.folders import image_folder
from meta_lib.tasks.snapshots import write_snapshots


def test_a_folder_for_each_name(tmp_path):
    write_snapshots(tmp_path, ["moon", "star"], photos=3, margin=10)
    found = image_folder(tmp_path, 32)
    assert {name: tuple(images.shape) for name, images in found.items()} == {
        "moon": (3, 1, 32, 32),
        "star": (3, 1, 32, 32),
    }
    with Image.open(tmp_path / "moon" / "02.png") as picture:
        assert picture.mode == "RGB" and picture.size == (100, 90)


def test_a_seed_makes_the_same_pictures(tmp_path):
    def pixels(seed, name="a"):
        write_snapshots(tmp_path / f"{seed}", ["a", "b"], photos=2, seed=seed)
        with Image.open(tmp_path / f"{seed}" / name / "00.png") as picture:
            return np.asarray(picture)

    assert np.array_equal(pixels(1), pixels(1))
    assert not np.array_equal(pixels(1), pixels(2))
    assert not np.array_equal(pixels(1), pixels(1, "b"))


def test_the_light_falls_off(tmp_path):
    write_snapshots(tmp_path, ["a"], photos=4, shadow=0.5)
    for number in range(4):
        with Image.open(tmp_path / "a" / f"0{number}.png") as picture:
            columns = np.asarray(picture.convert("L"), dtype=float).max(axis=0)
        ends = sorted([columns[:5].mean(), columns[-5:].mean()])
        assert ends[0] / ends[1] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"photos": 0}, "photos"), ({"margin": -1}, "margin"), ({"shadow": 1.5}, "shadow")],
)
def test_bad_settings_are_named(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        write_snapshots(tmp_path / "new", ["a"], **settings)
    assert not (tmp_path / "new").exists()
