"""Omniglot's archives: read from a zip or folder, downloaded whole or not at all, refused clearly.

The archives here are made on the spot; nothing comes from the network.
"""

import hashlib
import io
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pooch
import pytest
import torch
from PIL import Image

from meta_lib.tasks import omniglot as module
from meta_lib.tasks.episodes import sample_episode
from meta_lib.tasks.folders import flat_folder
from meta_lib.tasks.omniglot import NotOmniglot, omniglot, one_shot_runs

PART = "images_background"


def png(ink_row, size=105, mode="1"):
    """Draw a black line across white paper, as the official files do."""
    pixels = np.full((size, size), 255, dtype=np.uint8)
    pixels[ink_row] = 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format="PNG")
    return buffer.getvalue()


def drawings(size=105, mode="1"):
    """Name and content of 2 alphabets of 2 and 1 characters; one drawing is missing."""
    return {
        f"{PART}/{alphabet}/character{c:02}/{100 + c:04}_{d:02}.png": png(10 * d, size, mode)
        for alphabet, c, drawers in (("Latin", 1, 3), ("Latin", 2, 3), ("Cyrillic_(old)", 1, 2))
        for d in range(1, drawers + 1)
    }


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """Keep every test away from the user's data, cache and network."""
    monkeypatch.delenv("META_LIB_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setattr(module, "URL", "http://127.0.0.1:9/")


def check(image_set, size):
    assert list(image_set) == [
        "Cyrillic_(old)/character01",
        "Latin/character01",
        "Latin/character02",
    ]
    assert [len(images) for images in image_set.values()] == [2, 3, 3]
    for images in image_set.values():
        assert images.shape[1:] == (1, size, size) and images.dtype == torch.float64
        assert images.min() == 0, "paper must be 0"
        # The line is one pixel of 105; its ink is spread over size/105 rows of the smaller image.
        assert images.sum(dim=(2, 3)).flatten().tolist() == pytest.approx(
            [size * size / 105] * len(images), rel=0.05
        )
    rows = image_set["Latin/character01"].sum(dim=(1, 3)).argmax(dim=1).tolist()
    assert rows == sorted(rows) and len(set(rows)) == 3, "the drawings are out of order"


@pytest.mark.parametrize("size", [28, 105])
def test_reads_the_official_archive(tmp_path, size):
    write_zip(tmp_path / f"{PART}.zip", drawings())
    check(omniglot(size=size, folder=tmp_path), size)


def test_reads_an_unpacked_folder(tmp_path, monkeypatch):
    for name, content in drawings().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.setenv("META_LIB_DATA", str(tmp_path))
    check(omniglot(), 28)


def test_reads_other_sizes_and_shades(tmp_path):
    write_zip(tmp_path / f"{PART}.zip", drawings(size=56, mode="L"))
    image_set = omniglot(folder=tmp_path)
    assert image_set["Latin/character01"][0].sum().item() == pytest.approx(28 * 28 / 56, rel=0.05)
    episode = sample_episode(image_set, 3, 1, 1, torch.Generator().manual_seed(0))
    assert episode.support_x.shape == (3, 1, 28, 28)


def test_a_folder_without_the_archive_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither images_background.zip nor a folder"):
        omniglot(folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="META_LIB_DATA"):
        omniglot(folder=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "not Omniglot in its official layout"),
        ({"cats/1.png": png(1)}, "not Omniglot in its official layout"),
        (
            {f"{PART}/Latin/character01/0001_01.png": b"no image"},
            "0001_01.png cannot be read as an image",
        ),
        (
            {f"{PART}/Latin/character01/0001_01.png": png(1)[:60]},
            "0001_01.png cannot be read as an image",
        ),
        (
            {f"{PART}/Latin/character01/0001_01.png": bytes(2_000_000)},
            "would unpack to 2,000,000 bytes",
        ),
    ],
)
def test_an_archive_of_something_else_is_refused(tmp_path, files, message):
    write_zip(tmp_path / f"{PART}.zip", files)
    with pytest.raises(NotOmniglot, match=message):
        omniglot(folder=tmp_path)


def test_a_truncated_archive_is_refused(tmp_path):
    path = write_zip(tmp_path / f"{PART}.zip", drawings())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(NotOmniglot, match="is damaged or not a zip archive"):
        omniglot(folder=tmp_path)


def test_a_corrupt_archive_is_refused(tmp_path):
    path = write_zip(tmp_path / f"{PART}.zip", drawings())
    content = bytearray(path.read_bytes())
    content[120] ^= 0xFF  # inside the first drawing's data
    path.write_bytes(bytes(content))
    with pytest.raises(NotOmniglot):
        omniglot(folder=tmp_path)


@pytest.mark.parametrize("name", ["../../out", "/out", "..\\out", f"{PART}/../out"])
def test_names_outside_the_archive_are_refused(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    write_zip(folder / f"{PART}.zip", {f"{name}/character01/0001_01.png": png(1)} | drawings())
    with pytest.raises(NotOmniglot, match="out/character01.* is a place outside the archive"):
        omniglot(folder=folder)
    assert [path.name for path in tmp_path.rglob("*.png")] == []


def one_shot_run(run, ways=3):
    """Make a run's files: class n has its line in row 10 n, and item n is of the class before n."""
    order = [ways, *range(1, ways)]
    files = {f"{run}/training/class{c:02}.png": png(10 * c) for c in range(1, ways + 1)}
    files |= {f"{run}/test/item{i:02}.png": png(10 * c) for i, c in enumerate(order, start=1)}
    lines = [
        f"{run}/test/item{i:02}.png {run}/training/class{c:02}.png\n"
        for i, c in enumerate(order, start=1)
    ]
    return files | {f"{run}/class_labels.txt": "".join(lines).encode()}


def check_runs(runs, ways, size=28):
    assert [len(run.support_x) for run in runs] == ways
    for run, n in zip(runs, ways, strict=True):
        assert run.support_x.shape == run.query_x.shape == (n, 1, size, size)
        assert run.support_y.tolist() == list(range(n))
        assert run.query_y.tolist() == [n - 1, *range(n - 1)]
        # A query's drawing is that of its class, so the labels can be read off the images.
        assert torch.equal(run.query_x, run.support_x[run.query_y])
        assert run.support_x.dtype == torch.float64 and run.support_x.min() == 0
        rows = run.support_x.sum(dim=(1, 3)).argmax(dim=1)
        assert rows.tolist() == sorted(set(rows.tolist()))


RUNS = one_shot_run("run10", ways=2) | one_shot_run("run01") | one_shot_run("run2", ways=5)


def below(folder, files):
    """Put the files into a folder; the labels still name them as seen from there."""
    return {f"{folder}/{name}": content for name, content in files.items()}


@pytest.mark.parametrize("folder", [None, "all_runs", "a/b/all_runs"])
def test_reads_the_official_one_shot_runs(tmp_path, folder):
    files = below(folder, RUNS) if folder else RUNS
    path = write_zip(tmp_path / "all_runs.zip", files)
    check_runs(one_shot_runs(path), [3, 5, 2])
    check_runs(one_shot_runs(str(path), size=12), [3, 5, 2], size=12)
    assert not any(entry.is_dir() for entry in tmp_path.iterdir()), "something was unpacked"


def test_reads_an_unpacked_folder_of_runs(tmp_path, monkeypatch):
    for name, content in below("all_runs", RUNS).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "all_runs" / "run01" / "test" / "folder.png").mkdir()
    check_runs(one_shot_runs(tmp_path), [3, 5, 2])
    check_runs(one_shot_runs(tmp_path / "all_runs"), [3, 5, 2])
    check_runs(one_shot_runs(tmp_path / "all_runs" / "run2"), [5])
    monkeypatch.chdir(tmp_path / "all_runs" / "run10")
    check_runs(one_shot_runs("."), [2])


def test_a_drawing_reads_alike_wherever_it_lies(tmp_path):
    name = f"{PART}/Latin/character01/0101_02.png"
    write_zip(tmp_path / f"{PART}.zip", drawings())
    write_zip(tmp_path / "all_runs.zip", one_shot_run("run01"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "drawing.png").write_bytes(drawings()[name])
    as_omniglot = omniglot(folder=tmp_path)["Latin/character01"][1]
    with Image.open(io.BytesIO(drawings()[name])) as image:
        small = image.convert("L").resize((28, 28), Image.Resampling.BILINEAR)
    assert torch.equal(as_omniglot[0], 1 - torch.from_numpy(np.asarray(small, np.float64)) / 255)
    assert torch.equal(one_shot_runs(tmp_path / "all_runs.zip")[0].support_x[1], as_omniglot)
    assert torch.equal(flat_folder(tmp_path / "mine")[1][0], as_omniglot)


def test_what_a_computer_adds_to_an_archive_is_passed_over(tmp_path):
    added = {
        "__MACOSX/run01/test/._item01.png": b"no image",
        "__MACOSX/run01/._class_labels.txt": b"\xff",
        "run01/notes.txt": b"",
        "run01/test/thumbnail.png": b"no image",
    }
    labels = RUNS["run01/class_labels.txt"].replace(b"\n", b"\r\n")
    files = one_shot_run("run01") | added | {"run01/class_labels.txt": labels}
    check_runs(one_shot_runs(write_zip(tmp_path / "all_runs.zip", files)), [3])


def jpeg():
    buffer = io.BytesIO()
    Image.new("L", (105, 105)).save(buffer, format="JPEG")
    return buffer.getvalue()


ONE = one_shot_run("run01")
LABELS = ONE["run01/class_labels.txt"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no file named like runNN/training/classNN.png"),
        (drawings(), "not the one-shot runs in their official layout"),
        # More digits than Python makes a number of.
        (one_shot_run("run" + 5000 * "9"), "not the one-shot runs in their official layout"),
        (
            {name: content for name, content in ONE.items() if not name.endswith(".txt")},
            "run01/class_labels.txt must give each image of run01/test .* missing or does not",
        ),
        *(
            (ONE | {"run01/class_labels.txt": labels}, "run01/class_labels.txt must give each")
            for labels in (
                b"",
                b"\xff\xfe\x00",
                LABELS[:-40],
                LABELS + LABELS,
                LABELS + b"run01/test/item04.png run01/training/class01.png",
                LABELS + b"odd",
                LABELS.replace(b"class01", b"class09"),
                LABELS.replace(b"class01.png", b"class01.png extra"),
                LABELS.replace(b"run01/training/class01.png", b"../../etc/passwd"),
                LABELS.replace(b"run01/", b"run02/"),
            )
        ),
        (ONE | {"run01/test/item04.png": png(1)}, "run01/class_labels.txt must give each"),
        (
            {"run01/class_labels.txt": b"", "run02/training/class01.png": png(1)},
            "run01/class_labels.txt must give each",
        ),
        ({"run01/training/class01.png": png(1)}, "run01/class_labels.txt must give each"),
        (ONE | {"run01/test/item01.png": b"no image"}, "zip: run01/test/item01.png cannot be read"),
        (ONE | {"run01/test/item01.png": jpeg()}, "run01/test/item01.png cannot be read"),
        (
            ONE | {"run01/test/item01.png": bytes(2_000_000)},
            "zip: run01/test/item01.png would unpack to 2,000,000 bytes",
        ),
        (ONE | {"run01/class_labels.txt": b" " * 1_000_001}, "unpack to 1,000,001 bytes"),
        (ONE | {"run01/test/../../item01.png": png(1)}, "is a place outside the archive"),
    ],
)
def test_runs_of_another_kind_are_refused(tmp_path, files, message):
    with pytest.raises(NotOmniglot, match=message):
        one_shot_runs(write_zip(tmp_path / "all_runs.zip", files))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_anywhere_is_refused_or_harmless(tmp_path, compression):
    path = tmp_path / "all_runs.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in ONE.items():
            archive.writestr(name, content)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content), size=150):
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            check_runs(one_shot_runs(path), [3])
        except NotOmniglot as error:
            assert "all_runs.zip" in str(error)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(NotOmniglot, match="is damaged or not a zip archive"):
        one_shot_runs(path)


def test_large_files_in_a_folder_are_refused_as_in_an_archive(tmp_path):
    for name, content in (ONE | {"run01/test/item01.png": bytes(1_000_001)}).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(NotOmniglot, match=f"{tmp_path.name}: item01.png would unpack"):
        one_shot_runs(tmp_path)


def test_runs_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no archive or folder .*all_runs.zip"):
        one_shot_runs(tmp_path / "all_runs.zip")
    with pytest.raises(ValueError, match="size must be at least 4, but was 1"):
        one_shot_runs(tmp_path, size=1)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve tmp_path/site from this machine, in place of the official repository."""
    site = tmp_path / "site"
    site.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{httpd.server_port}/")
    yield site
    httpd.shutdown()
    httpd.server_close()


def test_downloads_once_and_keeps_it(server, tmp_path, monkeypatch):
    archive = write_zip(server / f"{PART}.zip", drawings())
    monkeypatch.setitem(module.MD5, PART, hashlib.md5(archive.read_bytes()).hexdigest())
    check(omniglot(), 28)
    archive.unlink()
    check(omniglot(), 28)


def test_a_download_that_is_not_the_official_archive_is_not_kept(server, tmp_path):
    write_zip(server / f"{PART}.zip", drawings())
    with pytest.raises(NotOmniglot, match="is not the official archive.*not kept"):
        omniglot()
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def test_without_a_network_the_error_says_what_to_do(tmp_path):
    with pytest.raises(ConnectionError, match="(?s)could not be downloaded.*META_LIB_DATA.*glyphs"):
        omniglot()
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def test_unknown_parts_and_sizes_are_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="part must be one of images_background, .*'cats'"):
        omniglot("cats")
    with pytest.raises(ValueError, match="size must be at least 4, but was 0"):
        omniglot(size=0)
