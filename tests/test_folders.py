"""A user's own images: any size, shade and kind become ink on paper, and errors name the file."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from meta_lib.tasks.folders import (
    flat_folder,
    image_folder,
    labelled,
    read_colours,
    read_ink,
    unlabelled,
)


def drawing(height=40, width=40, ink=0, paper=255):
    """Draw a bar of ink, a quarter of each side thick and wide, in the middle of paper."""
    pixels = np.full((height, width), paper, dtype=np.uint8)
    pixels[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8] = ink
    return Image.fromarray(pixels)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


EXPECTED = np.zeros((8, 8))
EXPECTED[3:5, 3:5] = 1


def check(content, tolerance=1e-12):
    """Check that it reads as the drawing, of 40 × 40 made 8 × 8 with soft edges."""
    ink = read_ink(content, 8, "file")
    assert ink.shape == (8, 8) and ink.dtype == np.float64
    assert ink[3:5, 3:5].min() > 0.75 and ink[3:5, 3:5].max() <= 1
    assert ink[[0, 1, 6, 7]].max() <= tolerance and ink[:, [0, 1, 6, 7]].max() <= tolerance
    assert ink.min() >= 0


def test_one_folder_is_one_class(tmp_path):
    write(tmp_path / "b" / "2.png", encoded(drawing(50, 50)))
    write(tmp_path / "b" / "1.JPG", encoded(drawing(), "JPEG"))
    write(tmp_path / "a" / "only.bmp", encoded(drawing(), "BMP"))
    write(tmp_path / "README.txt", b"beside the classes")
    write(tmp_path / ".hidden" / "x.png", b"nothing")
    write(tmp_path / "a" / ".DS_Store", b"nothing")
    image_set = image_folder(tmp_path, size=12)
    assert {name: tuple(images.shape) for name, images in image_set.items()} == {
        "a": (1, 1, 12, 12),
        "b": (2, 1, 12, 12),
    }
    assert list(image_set) == ["a", "b"]
    assert image_set["a"].dtype == torch.get_default_dtype() == torch.float64
    assert image_folder(str(tmp_path))["a"].shape == (1, 1, 28, 28)


def test_a_flat_folder_is_read_by_name(tmp_path):
    tall, wide = drawing(40, 10), drawing(10, 40)
    write(tmp_path / "wide.png", encoded(wide))
    write(tmp_path / "tall.png", encoded(tall))
    names, images = flat_folder(tmp_path, size=8)
    assert names == ["tall.png", "wide.png"] and images.shape == (2, 1, 8, 8)
    assert flat_folder(tmp_path)[1].shape == (2, 1, 28, 28)
    for name, image in zip(names, images, strict=True):
        expected = read_ink((tmp_path / name).read_bytes(), 8, name)
        assert torch.equal(image[0], torch.from_numpy(expected))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, "L") for kind in ("PNG", "BMP", "TIFF", "WEBP")]
    + [("GIF", "P"), ("PNG", "1"), ("PNG", "P"), ("PNG", "RGB"), ("TIFF", "CMYK")],
)
def test_every_kind_of_file_reads_alike(kind, mode):
    options = {"lossless": True} if kind == "WEBP" else {}
    check(encoded(drawing().convert(mode), kind, **options))


def test_a_jpeg_reads_alike_but_for_its_noise():
    check(encoded(drawing(), "JPEG", quality=95), tolerance=0.02)


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (0, 180), (255, 60), (0, 128)])
def test_any_paper_becomes_0_and_the_strongest_ink_1(ink, paper):
    check(encoded(drawing(ink=ink, paper=paper)))
    ink = read_ink(encoded(drawing(ink=ink, paper=paper)), 40, "file")
    assert set(ink.flatten()) == {0.0, 1.0}


def test_pale_ink_stays_pale_on_either_side_of_the_paper():
    dark = read_ink(encoded(drawing(ink=100, paper=200)), 40, "file")
    light = read_ink(encoded(drawing(ink=155, paper=55)), 40, "file")
    assert dark.max() == light.max() == 0.5
    lighter_than_paper = read_ink(encoded(drawing(ink=250, paper=200)), 40, "file")
    assert lighter_than_paper.min() == lighter_than_paper.max() == 0


def test_the_border_tells_the_paper_even_when_ink_covers_most():
    pixels = np.zeros((20, 20), dtype=np.uint8)
    pixels[[0, -1]] = pixels[:, [0, -1]] = 255
    pixels[0, :8] = 0  # ink may touch the border
    ink = read_ink(encoded(Image.fromarray(pixels)), 20, "file")
    assert ink[5, 5] == 1 and ink[0, 12] == 0 and ink[0, 3] == 1
    assert ink[19, 3] == ink[3, 19] == ink[3, 0] == 0


@pytest.mark.parametrize("turns", range(4))
def test_all_four_sides_tell_the_paper(turns):
    # Paper only along two opposite sides and at a few places of a third: just more than half.
    pixels = np.zeros((20, 20), dtype=np.uint8)
    pixels[[0, -1]] = pixels[:5, 0] = 255
    ink = read_ink(encoded(Image.fromarray(np.rot90(pixels, turns).copy())), 20, "file")
    assert ink[10, 10] == 1 and ink[0, 0] == ink[-1, -1] == 0


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (0, 190)])
def test_an_oblong_image_is_padded_and_not_distorted(ink, paper):
    image = drawing(40, 80, ink, paper)
    ink = read_ink(encoded(image), 80, "file")
    rows, columns = ink.nonzero()
    assert (rows.min(), rows.max()) == (20 + 15, 20 + 24), "40 rows, 20 rows down"
    assert (columns.min(), columns.max()) == (30, 49)
    upright = read_ink(encoded(image.transpose(Image.Transpose.ROTATE_90)), 80, "file")
    assert np.array_equal(upright, np.rot90(ink))


def test_small_images_are_enlarged():
    check(encoded(Image.fromarray((255 * (1 - EXPECTED)).astype(np.uint8))))


def test_what_is_transparent_is_paper():
    ink = drawing(ink=255, paper=0)
    drawn = Image.new("LA", ink.size, (0, 0))
    drawn.putalpha(ink)
    for mode in ("LA", "RGBA"):
        check(encoded(drawn.convert(mode)))
    black_on_black = Image.fromarray((np.asarray(drawing()) == 0).astype(np.uint8)).convert("P")
    black_on_black.putpalette([0, 0, 0] * 256)
    for kind in ("PNG", "GIF"):
        check(encoded(black_on_black, kind, transparency=0))


def test_deep_pixels_keep_their_shade():
    deep = np.asarray(drawing(ink=10, paper=200)).astype(np.uint16) * 257
    for kind in ("PNG", "TIFF"):
        ink = read_ink(encoded(Image.fromarray(deep), kind), 40, "file")
        assert sorted(set(ink.flatten())) == [0, pytest.approx(0.95)]


@pytest.mark.parametrize("read", [read_ink, read_colours])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_32_bits_are_refused_in_grey_and_in_colour(read, dtype):
    deep = np.asarray(drawing(ink=10, paper=200)).astype(dtype) * 257
    with pytest.raises(ValueError, match=r"file cannot be .*\(its pixels have 32 bits; 8 or"):
        read(encoded(Image.fromarray(deep), "TIFF"), 40, "file")


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_deep_file_may_hold_fewer_bits(bits):
    paper = np.asarray(drawing(ink=0, paper=250)).astype(np.uint16)
    deep = np.right_shift(paper * 257, 16 - bits).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        ink = read_ink(encoded(Image.fromarray(deep), kind), 40, "file")
        assert set(ink.flatten()) == {0.0, 1.0}


def test_a_long_and_thin_image_is_never_a_blank_sheet():
    pixels = np.full((50, 3000), 255, dtype=np.uint8)
    pixels[10:40, 1480:1510] = 0
    for turned in (pixels, pixels.T.copy()):
        content = encoded(Image.fromarray(turned))
        with pytest.raises(ValueError, match="file cannot be read.*too unequal for a square of 28"):
            read_ink(content, 28, "file")
        assert read_ink(content, 28, "file", clean=True).max() > 0.9
    assert read_ink(encoded(Image.fromarray(pixels[:, 800:2200])), 28, "file").max() > 0


def test_colours_are_kept():
    image = Image.new("RGB", (40, 20), (200, 100, 0))
    image.paste((0, 0, 255), (15, 5, 25, 15))
    read = read_colours(encoded(image), 40, "file")
    assert read.shape == (3, 40, 40) and read.min() >= 0 and read.max() <= 1
    assert read[:, 20, 20].tolist() == [0, 0, 1]
    assert read[:, 1, 1].tolist() == read[:, 12, 2].tolist() == [200 / 255, 100 / 255, 0]
    for mode in ("L", "P", "LA", "CMYK"):
        kind = "TIFF" if mode == "CMYK" else "PNG"
        assert read_colours(encoded(drawing().convert(mode), kind), 8, "file").shape == (3, 8, 8)
    deep = np.asarray(drawing(ink=0, paper=250)).astype(np.uint16) * 16
    assert set(read_colours(encoded(Image.fromarray(deep)), 40, "file").flatten()) == {0, 250 / 255}


def test_a_folder_may_be_read_in_colour(tmp_path):
    write(tmp_path / "a" / "1.png", encoded(drawing().convert("RGB")))
    assert image_folder(tmp_path, 8, channels=3)["a"].shape == (1, 3, 8, 8)
    for wrong in ({"channels": 2}, {"channels": 3, "clean": True}):
        with pytest.raises(ValueError, match="channels"):
            image_folder(tmp_path, 8, **wrong)


def test_names_are_compared_as_people_read_them(tmp_path):
    apart, together = "Cle\u0301", "Cl\u00e9"
    write(tmp_path / "mac" / apart / "1.png", encoded(drawing()))
    write(tmp_path / "pc" / together / "1.png", encoded(drawing()))
    assert list(image_folder(tmp_path / "mac")) == list(image_folder(tmp_path / "pc")) == [together]
    write(tmp_path / "mac" / together / "1.png", encoded(drawing()))
    with pytest.raises(ValueError, match="each class once, but holds two folders"):
        image_folder(tmp_path / "mac")


def test_what_systems_leave_behind_is_passed_over(tmp_path):
    write(tmp_path / "a" / "1.png", encoded(drawing()))
    for left in ("Thumbs.db", "desktop.ini", ".DS_Store", "@eaDir/1.png/x", "__MACOSX/a/._1.png"):
        write(tmp_path / "a" / left, b"nothing")
        write(tmp_path / left, b"nothing")
    assert {name: len(found.files) for name, found in labelled(tmp_path).items()} == {"a": 1}
    assert flat_folder(tmp_path / "a")[0] == ["1.png"]


def test_what_cannot_be_read_is_told_in_one_list(tmp_path):
    for name in "ab":
        write(tmp_path / name / "good.png", encoded(drawing()))
        write(tmp_path / name / "bad.HEIC", b"\0\0\0 ftypheic")
    with pytest.raises(ValueError) as caught:
        labelled(tmp_path)
    said = str(caught.value)
    assert "2 files cannot be read:" in said and said.count("pillow-heif") == 2
    assert all(f"{name}/bad.HEIC cannot be read as an image" in said for name in "ab")
    unread = []
    found = labelled(tmp_path, unread=unread)
    assert len(unread) == 2 and [len(one.images) for one in found.values()] == [1, 1]
    assert len(unlabelled(tmp_path / "a", unread=unread).files) == 1 and len(unread) == 3
    if hasattr(os, "mkfifo"):  # what would be waited for, what leads nowhere, what is a folder
        os.mkfifo(tmp_path / "a" / "pipe.png")
        os.symlink(tmp_path / "nowhere.png", tmp_path / "a" / "link.png")
        (tmp_path / "a" / "more").mkdir()
        unread = []
        labelled(tmp_path, unread=unread)
        for said in ("link.png", "more cannot be read as an image (it is a folder)", "no ordinary"):
            assert sum(said in line for line in unread) == 1
    write(tmp_path / "c" / "bad.png", b"nothing")
    with pytest.raises(ValueError, match="c must hold images, but holds none that can be read"):
        labelled(tmp_path, unread=unread)


def test_a_photograph_is_turned_as_its_camera_was():
    image = drawing()
    image.paste(0, (0, 8, 5, 30))  # ink at the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    ink = read_ink(encoded(image, "PNG", exif=exif), 40, "file")
    expected = read_ink(encoded(image.transpose(Image.Transpose.ROTATE_270)), 40, "file")
    assert np.array_equal(ink, expected)


def test_a_file_that_is_no_image_is_named(tmp_path):
    for name, content in (
        ("notes.txt", b"no image"),
        ("empty.png", b""),
        ("cut.png", encoded(drawing())[:-40]),
        ("cut.jpg", encoded(drawing(), "JPEG")[:300]),
        ("program.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        ("whole.ppm", encoded(drawing(), "PPM")),  # of a kind that is not on the list
    ):
        write(tmp_path / name[:3] / "cats" / name, content)
        with pytest.raises(ValueError, match=f"cats/{name} cannot be read as an image"):
            image_folder(tmp_path / name[:3])


def test_an_image_of_too_many_pixels_is_refused_before_it_is_unpacked(monkeypatch):
    content = encoded(drawing())
    assert read_ink(content, 8, "photo", max_pixels=40 * 40).shape == (8, 8)
    with pytest.raises(ValueError, match="photo cannot be read.*more than 1,599 pixels"):
        read_ink(content, 8, "photo", max_pixels=40 * 40 - 1)
    # Pillow's own alarm, of which the first stage is only a warning.
    for limit in (1000, 10):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match="photo cannot be read.*decompression bomb"):
            read_ink(content, 8, "photo")


def test_damage_of_any_kind_is_a_value_error():
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        content = encoded(drawing(), kind)
        for _ in range(60):
            damaged = bytearray(content)
            for place in rng.integers(len(damaged), size=3):
                damaged[place] = rng.integers(256)
            try:
                assert read_ink(bytes(damaged), 8, "file").shape == (8, 8)
            except ValueError as error:
                assert "file cannot be read as an image" in str(error)


@pytest.mark.parametrize("read", [image_folder, flat_folder])
def test_what_is_no_folder_is_refused(read, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        read(tmp_path / "nowhere")
    write(tmp_path / "file.png", encoded(drawing()))
    with pytest.raises(NotADirectoryError, match="file.png must be a folder of images"):
        read(tmp_path / "file.png")
    with pytest.raises(ValueError, match="size must be at least 4, but was 3"):
        read(tmp_path, size=3)
    with pytest.raises(TypeError, match="size must be a whole number, but was '28'"):
        read(tmp_path, size="28")


def test_folders_of_another_layout_are_refused(tmp_path):
    write(tmp_path / "flat" / "1.png", encoded(drawing()))
    with pytest.raises(ValueError, match="flat must hold one folder of images for each class"):
        image_folder(tmp_path / "flat")
    (tmp_path / "empty" / "cats").mkdir(parents=True)
    with pytest.raises(ValueError, match="cats must hold images, but is empty"):
        image_folder(tmp_path / "empty")
    write(tmp_path / "deep" / "Latin" / "character01" / "1.png", encoded(drawing()))
    with pytest.raises(ValueError, match=r"Latin/character01 cannot be read .*\(it is a folder"):
        image_folder(tmp_path / "deep")


def photographed(shadow, margin=20, shift=0):
    """A slanted stroke on paper whose light falls off from the left to the right."""
    height, width = 80 + 2 * margin, 80 + 4 * margin
    pixels = np.full((height, width), 230.0)
    for step in range(60):
        row, column = margin + 10 + step, margin + 10 + step // 2 + shift
        pixels[row : row + 6, column : column + 6] = 40
    return Image.fromarray((pixels * np.linspace(1, 1 - shadow, width)).astype(np.uint8))


def cleaned(image):
    return read_ink(encoded(image), 32, "photo", clean=True)


def test_cleaning_takes_a_shadow_for_paper():
    dark = read_ink(encoded(photographed(0.5)), 32, "photo")
    assert dark[:, -4:].mean() > 0.2, "without it, the dark side is ink"
    assert cleaned(photographed(0.5))[:, -6:].max() < 0.05
    assert np.abs(cleaned(photographed(0.5)) - cleaned(photographed(0.0))).mean() < 0.02


@pytest.mark.parametrize(("margin", "shift"), [(20, 30), (60, 0), (60, 100)])
def test_cleaning_finds_the_sign_on_its_sheet(margin, shift):
    found, expected = cleaned(photographed(0.1, margin, shift)), cleaned(photographed(0.1))
    assert np.abs(found - expected).mean() < 0.03
    rows = np.nonzero(found.max(axis=1) > 0.3)[0]
    assert 32 - 1 - rows.max() - rows.min() in (-1, 0, 1), "in the middle"
    assert 0.6 < (rows.max() - rows.min() + 1) / 32 < 0.75


def test_cleaning_knows_light_ink_and_blank_paper():
    image = photographed(0.0)
    negative = Image.fromarray(255 - np.asarray(image))
    assert np.abs(cleaned(negative) - cleaned(image)).mean() < 0.05
    assert cleaned(Image.new("L", (30, 20), 255)).max() == 0
