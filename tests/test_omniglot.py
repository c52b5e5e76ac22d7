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
from meta_lib.tasks.omniglot import NotOmniglot, omniglot

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


def test_nothing_in_an_archive_is_ever_unpacked(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    hostile = {f"../../{PART}/Latin/character01/0001_01.png": png(1)}
    write_zip(folder / f"{PART}.zip", hostile | drawings())
    omniglot(folder=folder)
    assert [path.name for path in tmp_path.rglob("*.png")] == []


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
