"""Files made to do harm, or damaged by chance: refused in words, and never unpacked.

What hypothesis draws here is the same in every run.
"""

import io
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from meta_lib.machinery import runs
from meta_lib.machinery.runs import NotACheckpoint, Run
from meta_lib.tasks import omniglot as module
from meta_lib.tasks.folders import FORMATS, NotAnImage, read_ink
from meta_lib.tasks.omniglot import NotOmniglot, omniglot, one_shot_runs
from meta_lib.training import minimise

PART = "images_background"
A_NAME = f"{PART}/Latin/character01/0001_01.png"
MEMORY = 30_000_000


def encoded(kind="PNG", size=(12, 12), mode="L"):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, format=kind)
    return buffer.getvalue()


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def read(tmp_path):
    """Read an archive's bytes as Omniglot, and see that no more memory is taken than it may."""

    def read(content):
        (tmp_path / f"{PART}.zip").write_bytes(content)
        tracemalloc.start()
        try:
            return omniglot(folder=tmp_path, size=8)
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < MEMORY
            assert [path.name for path in tmp_path.rglob("*")] == [f"{PART}.zip"], "unpacked"

    return read


def test_a_bomb_that_says_its_size_is_refused(read):
    with pytest.raises(NotOmniglot, match="would unpack to 100,000,000 bytes"):
        read(zipped([(A_NAME, bytes(100_000_000))]))


@pytest.mark.parametrize(
    ("compression", "size", "said"),
    [
        (zipfile.ZIP_STORED, 20_000_000, 10),
        (zipfile.ZIP_DEFLATED, 100_000_000, 0),
        (zipfile.ZIP_DEFLATED, 100_000_000, 10),
        (zipfile.ZIP_DEFLATED, 100_000_000, 1_000_000),
        (zipfile.ZIP_BZIP2, 60_000_000, 10),
        (zipfile.ZIP_LZMA, 60_000_000, 10),
    ],
)
def test_a_bomb_that_lies_about_its_size_is_not_unpacked(compression, size, said, read):
    bomb = zipped([(A_NAME, bytes(size))], compression)
    # Its size stands in the file's own header and in the directory at the end.
    assert bomb.count(struct.pack("<L", size)) >= 2
    bomb = bomb.replace(struct.pack("<L", size), struct.pack("<L", said))
    with pytest.raises(NotOmniglot, match=f"{PART}"):
        read(bomb)


def test_a_bomb_of_many_small_files_is_refused(read):
    files = [(A_NAME.replace("0001", f"{i:04}"), bytes(999_999)) for i in range(201)]
    with pytest.raises(NotOmniglot, match="201 files, which would unpack to 200,999,799 bytes"):
        read(zipped(files))


def test_too_many_files_are_refused(read, monkeypatch):
    files = [(A_NAME.replace("0001", f"{i:04}"), encoded()) for i in range(9)]
    monkeypatch.setattr(module, "MAX_FILES", 9)
    assert len(read(zipped(files))["Latin/character01"]) == 9
    monkeypatch.setattr(module, "MAX_FILES", 8)
    with pytest.raises(NotOmniglot, match="holds 9 files.*less than 8 files"):
        read(zipped(files))


def test_the_official_archives_are_far_below_the_limits():
    assert module.MAX_FILES > 2 * 20 * 1623 and module.MAX_BYTES > 2 * 1000 * 20 * 1623
    assert module.MAX_PIXELS > 2 * 105 * 105


def png_of(width, height):
    """A PNG of few bytes that says to be that large."""

    def chunk(kind, content):
        end = struct.pack(">L", zlib.crc32(kind + content))
        return struct.pack(">L", len(content)) + kind + content + end

    head = struct.pack(">LLBBBBB", width, height, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(min(height * (width // 8 + 1), 100_000_000)), 9)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side", [1001, 7000, 30_000, 2**31 - 1])
def test_a_small_file_of_a_huge_picture_is_refused(side, read):
    small = zlib.compress(png_of(side, side), 9)
    assert len(small) < 1_000_000
    with pytest.raises(NotOmniglot, match="0001_01.png cannot be read as an image"):
        read(zipped([(A_NAME, png_of(side, side))]))


@pytest.mark.parametrize("size", [(1, 900_000), (900_000, 1)])
def test_a_picture_as_thin_as_a_thread_is_refused_by_name(size, read):
    with pytest.raises(NotOmniglot, match="too unequal for a square of 8"):
        read(zipped([(A_NAME, png_of(*size))]))


@pytest.mark.parametrize(
    "start",
    [
        "/",
        "//",
        "../",
        "a/../../",
        "\\",
        "..\\",
        "a\\..\\..\\",
        "C:\\",
        "c:/",
        "C:",
        "\\\\host\\x\\",
    ],
)
@pytest.mark.parametrize("name", [A_NAME, "README"])
def test_a_name_that_leads_out_is_refused(start, name, read):
    with pytest.raises(NotOmniglot, match="is a place outside the archive"):
        read(zipped([(A_NAME, encoded()), (start + name, encoded())]))


def test_a_link_is_read_as_what_it_is(read):
    link = zipfile.ZipInfo(A_NAME)
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with pytest.raises(NotOmniglot, match="cannot be read as an image"):
        read(zipped([(link, b"/etc/passwd")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(read):
    """Else a drawing could be in the support set and, once more, among the queries."""
    with pytest.raises(NotOmniglot, match="0001_01.png twice"):
        read(zipped([(A_NAME, encoded()), (A_NAME, encoded())]))


def test_files_that_lie_over_one_another_are_refused(read):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(A_NAME, encoded())
        other = zipfile.ZipInfo(A_NAME.replace("_01", "_02"))
        for place in ("header_offset", "compress_size", "file_size", "CRC", "external_attr"):
            setattr(other, place, getattr(archive.filelist[0], place))
        archive.filelist.append(other)
    with pytest.raises(NotOmniglot, match="is damaged or not a zip archive"):
        read(buffer.getvalue())


def test_a_file_under_a_password_is_refused(read):
    content = bytearray(zipped([(A_NAME, encoded())]))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(NotOmniglot, match="password required"):
        read(bytes(content))


def test_names_in_other_letters(read):
    name = A_NAME.replace("Latin", "Ελληνικά")
    content = zipped([(name, encoded())])
    assert [*read(content)] == ["Ελληνικά/character01"]
    with pytest.raises(NotOmniglot, match="is damaged or not a zip archive"):
        read(content.replace("Ελ".encode(), b"\xff\xff\xff\xff"))
    old = zipped([(A_NAME, encoded())]).replace(b"Latin", b"L\x84tin")
    assert [*read(old)] == ["Lätin/character01"]


def test_an_archive_for_large_files_is_read(read):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        with archive.open(A_NAME, "w", force_zip64=True) as file:
            file.write(encoded())
    assert [*read(buffer.getvalue())] == ["Latin/character01"]


BYTES = st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\xff" * 8, b"\x7f"])
EDITS = st.lists(st.tuples(st.integers(0), st.integers(0, 40), BYTES), min_size=1, max_size=6)
"""Where bytes are taken out, how many, and what is put in their place."""


def edited(content, edits):
    """Return the content with some places changed, cut out or filled in."""
    for place, out, put in edits:
        place %= len(content) + 1
        content = content[:place] + put + content[place + out :]
    return content


def fuzzed(examples):
    """Decorate a test so that it gets a number of edits, the same ones in each run."""

    def decorate(test):
        bounded = settings(max_examples=examples, deadline=None, derandomize=True, database=None)
        return bounded(given(edits=EDITS)(test))

    return decorate


DRAWINGS = [(A_NAME.replace("_01", f"_{d:02}"), encoded()) for d in (1, 2)]
LABELS = b"run01/test/item01.png run01/training/class01.png\n"
ONE_RUN = [
    ("run01/training/class01.png", encoded()),
    ("run01/test/item01.png", encoded()),
    ("run01/class_labels.txt", LABELS),
]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_whatever_an_archive_holds_it_is_omniglot_or_not(compression):
    whole = zipped(DRAWINGS, compression)

    @fuzzed(250)
    def check(edits):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, f"{PART}.zip").write_bytes(edited(whole, edits))
            try:
                images = omniglot(folder=folder, size=8)
            except NotOmniglot as error:
                assert f"{PART}.zip" in str(error)
            else:
                assert images and all(one.shape[1:] == (1, 8, 8) for one in images.values())

    check()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_whatever_an_archive_holds_it_is_the_one_shot_runs_or_not(compression):
    whole = zipped(ONE_RUN, compression)

    @fuzzed(250)
    def check(edits):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "all_runs.zip")
            file.write_bytes(edited(whole, edits))
            try:
                episodes = one_shot_runs(file, size=8)
            except NotOmniglot as error:
                assert "all_runs.zip" in str(error)
            else:
                assert all(len(e.query_x) == len(e.query_y) > 0 for e in episodes)

    check()


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
def test_whatever_a_file_holds_it_is_an_image_or_not(kind, clean):
    whole = encoded(kind, (20, 14), "RGB")

    @fuzzed(60)
    def check(edits):
        try:
            ink = read_ink(edited(whole, edits), 8, "photo", clean=clean)
        except NotAnImage as error:
            assert "photo cannot be read as an image" in str(error)
        else:
            assert ink.shape == (8, 8) and 0 <= ink.min() <= ink.max() <= 1

    check()


def trained(folder):
    """Train two numbers for four iterations, or go on."""
    generator = torch.Generator().manual_seed(0)
    weights = {"w": torch.zeros(2, requires_grad=True)}

    def loss():
        return (weights["w"] - torch.randn(2, generator=generator)).square().sum()

    run = Run(folder, {"alpha": 0.4}, every=2, generators={"tasks": generator})
    return minimise(weights.items(), loss, 4, 0.1, run=run)


@pytest.mark.parametrize("name", [runs.CHECKPOINT, runs.LOG, runs.CONFIG, runs.MODEL])
def test_whatever_the_files_of_a_run_hold_it_goes_on_or_is_refused(name, tmp_path):
    losses = trained(tmp_path / "whole")
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}

    @fuzzed(60)
    def check(edits):
        with tempfile.TemporaryDirectory() as folder:
            for other, content in files.items():
                changed = edited(content, edits) if other == name else content
                Path(folder, other).write_bytes(changed)
            try:
                found = trained(folder)
            except NotACheckpoint as error:
                assert name in str(error)
            else:
                # A log in which a digit was changed is still a log.
                assert len(found) == 4 if name == runs.LOG else found == losses
                assert Path(folder, runs.CONFIG).read_bytes() == files[runs.CONFIG]
            try:
                runs.read_model(Path(folder, name) if name != runs.CONFIG else folder)
            except NotACheckpoint as error:
                assert name in str(error)

    check()


@pytest.mark.parametrize(
    "line",
    ['{"iteration": 1, "loss": 1' + 400 * "0" + "}", "[" * 100_000, 5000 * "9", '{"loss": []}'],
    ids=["too large a number", "too deep", "too long a number", "no number"],
)
def test_a_log_that_python_cannot_read_is_refused(line, tmp_path):
    trained(tmp_path)
    (tmp_path / runs.LOG).write_text(4 * (line + "\n"))
    with pytest.raises(NotACheckpoint, match="log.jsonl is damaged, or not the log"):
        trained(tmp_path)


def test_a_checkpoint_with_the_numbers_of_another_library_is_refused():
    content = save({"a": torch.zeros(4, dtype=torch.uint8)}).replace(b'"U8"', b'"F4"')
    content = content.replace(b'"shape":[4]', b'"shape":[8]')
    with pytest.raises(NotACheckpoint, match="file is damaged, or not a safetensors file"):
        runs.unpack(content, Path("file"))
    header = b'{"__metadata__":null,"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    with pytest.raises(NotACheckpoint, match="was not written by this library"):
        runs.unpack(struct.pack("<Q", len(header)) + header, Path("file"))
