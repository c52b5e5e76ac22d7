"""Omniglot's archives: read from a zip or folder, downloaded whole or not at all, refused clearly.

The archives here are made on the spot; nothing comes from the network.
"""

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
ROOT = Path(__file__).parents[1]


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


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_anywhere_is_refused_or_harmless(tmp_path, compression):
    path = tmp_path / "all_runs.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in ONE.items():
            archive.writestr(name, content)
    check_runs(one_shot_runs(path), [3])
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
    with pytest.raises(NotOmniglot, match=f"{tmp_path.name}/run01/test/item01.png would unpack"):
        one_shot_runs(tmp_path)


def test_runs_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no archive or folder .*all_runs.zip"):
        one_shot_runs(tmp_path / "all_runs.zip")
    with pytest.raises(ValueError, match="size must be at least 4, but was 1"):
        one_shot_runs(tmp_path, size=1)


class Site:
    """This machine, in place of the official repository; a test can choose how it `sends`."""

    def __init__(self, archive):
        self.archive, self.send = archive, self.whole

    @property
    def content(self):
        return self.archive.read_bytes()

    def whole(self, out):
        out.write(self.content)

    def half(self, out):
        out.write(self.content[: len(self.content) // 2])


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Serve an archive, and let the checksum be its own."""
    (tmp_path / "site").mkdir()
    site = Site(write_zip(tmp_path / "site" / f"{PART}.zip", drawings()))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if not site.archive.exists():
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(site.content)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                site.send(self.wfile)

        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setattr(module, "URL", f"http://127.0.0.1:{httpd.server_port}/")
    monkeypatch.setitem(module.MD5, PART, hashlib.md5(site.content).hexdigest())
    yield site
    httpd.shutdown()
    httpd.server_close()


def kept(tmp_path):
    """List what is in the cache folder."""
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_downloads_once_and_keeps_it(site, tmp_path):
    check(omniglot(), 28)
    site.archive.unlink()
    check(omniglot(), 28)
    assert kept(tmp_path) == [f"{PART}.zip"]


def test_a_download_that_is_not_the_official_archive_is_not_kept(site, tmp_path):
    write_zip(site.archive, drawings(size=90))
    with pytest.raises(NotOmniglot, match="is not the official archive.*not kept"):
        omniglot()
    assert kept(tmp_path) == []


def test_without_a_network_the_error_says_what_to_do(tmp_path):
    with pytest.raises(ConnectionError, match="(?s)could not be downloaded.*META_LIB_DATA.*glyphs"):
        omniglot()
    assert kept(tmp_path) == []


def test_where_the_archive_is_gone_the_error_says_what_to_do(site, tmp_path):
    site.archive.unlink()
    with pytest.raises(ConnectionError, match="(?s)could not be downloaded.*404.*META_LIB_DATA"):
        omniglot()
    assert kept(tmp_path) == []


def test_a_download_that_was_cut_off_is_made_anew(site, tmp_path):
    site.send = site.half
    with pytest.raises(ConnectionError, match="(?s)could not be downloaded.*try again"):
        omniglot()
    assert kept(tmp_path) == []
    site.send = site.whole
    check(omniglot(), 28)


def test_a_download_that_was_interrupted_is_made_anew(site, tmp_path):
    reader = threading.get_ident()

    def interrupted(out):
        site.half(out)
        signal.pthread_kill(reader, signal.SIGINT)

    site.send = interrupted
    with pytest.raises(KeyboardInterrupt):
        omniglot()
    assert kept(tmp_path) == []
    site.send = site.whole
    check(omniglot(), 28)


@pytest.mark.parametrize("damage", [lambda whole: whole[:-100], lambda whole: b""])
def test_a_kept_archive_that_was_damaged_is_fetched_anew(damage, site, tmp_path):
    omniglot()
    archive = tmp_path / "cache" / f"{PART}.zip"
    archive.write_bytes(damage(site.content))
    check(omniglot(), 28)
    assert archive.read_bytes() == site.content


CACHED = "Omniglot could not be kept in the cache folder .*cache.*Make room.*META_LIB_DATA"


def test_a_disk_that_is_full_is_named(site, tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow further, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(site.content) // 2, before[1]))
    try:
        with pytest.raises(OSError, match=f"(?s){CACHED}"):
            omniglot()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kept(tmp_path) == []
    check(omniglot(), 28)


def test_a_cache_folder_that_may_not_be_written_is_named(site, tmp_path, monkeypatch):
    def denied(path, **options):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "makedirs", denied)
        with pytest.raises(OSError, match=f"(?s){CACHED}"):
            omniglot()
    (tmp_path / "cache").write_text("a file, where the folder should be")
    with pytest.raises(OSError, match=f"(?s){CACHED}"):
        omniglot()
    assert (tmp_path / "cache").read_text() == "a file, where the folder should be"


DOWNLOAD = """
import sys, pooch
from pathlib import Path
from meta_lib.tasks import omniglot
omniglot.URL, omniglot.MD5["images_background"], cache = sys.argv[1:]
pooch.os_cache = lambda name: Path(cache)
print(*omniglot.omniglot())
"""


@pytest.fixture
def download(site, tmp_path):
    """Start a process that downloads into the cache folder; end it with the test."""
    started = []

    def start():
        arguments = [module.URL, module.MD5[PART], tmp_path / "cache"]
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", DOWNLOAD, *arguments], cwd=ROOT, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_that_download_at_once_both_get_it(site, tmp_path, download):
    both = threading.Barrier(2, timeout=120)

    def together(out):
        site.half(out)
        both.wait()
        out.write(site.content[len(site.content) // 2 :])

    site.send = together
    for process in [download(), download()]:
        said, errors = process.communicate()
        assert process.returncode == 0, errors
        assert said.split() == [*omniglot()]
    assert not both.broken, "one has waited for the other, or found what it had kept"
    assert kept(tmp_path) == [f"{PART}.zip"]
    assert (tmp_path / "cache" / f"{PART}.zip").read_bytes() == site.content


def test_what_a_killed_download_has_left_is_in_nobody_s_way(site, tmp_path, download):
    def killed(out):
        site.half(out)
        process.kill()

    site.send = killed
    process = download()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert f"{PART}.zip" not in kept(tmp_path)
    site.send = site.whole
    check(omniglot(), 28)


def test_unknown_parts_and_sizes_are_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="part must be one of images_background, .*'cats'"):
        omniglot("cats")
    with pytest.raises(ValueError, match="size must be at least 4, but was 0"):
        omniglot(size=0)
