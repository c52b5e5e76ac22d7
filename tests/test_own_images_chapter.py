"""The chapter "Your own images", from first cell to last, with other folders than its own."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from meta_lib.tasks.snapshots import write_snapshots

CHAPTER = Path(__file__).parents[1] / "book/5-practice/your-own-images.ipynb"
SIGNS = {"bar": lambda pen, x: pen.line((x, 10, x, 50), 0, 5),
         "ring": lambda pen, x: pen.ellipse((x - 18, 12, x + 18, 48), None, 0, 5)}  # fmt: skip


def clear(path):
    """Two signs that nobody confuses, six of each."""
    for name, draw in SIGNS.items():
        (path / name).mkdir(parents=True)
        for number in range(6):
            image = Image.new("L", (60, 60), 250)
            draw(ImageDraw.Draw(image), 28 + number)
            image.save(path / name / f"{number}.png")


def photographed(*counts):
    def write(path):
        write_snapshots(path, "abc"[: len(counts)], max(counts), seed=4)
        for name, count in zip("abc", counts, strict=False):
            for file in sorted((path / name).iterdir())[count:]:
                file.unlink()

    return write


def fewer(folder, names, photos=20, **how):
    """Write the chapter's own stand-ins in seconds: fewer makers, fewer photographs."""
    write_snapshots(folder, list(names)[:4], min(photos, 6), **how)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # matplotlib's, for tensors
@pytest.mark.parametrize(
    "write",
    [
        pytest.param(photographed(6, 6), id="two of six"),
        pytest.param(photographed(3, 9, 6), id="uneven"),
        pytest.param(clear, id="nothing misread"),
    ],
)
def test_every_cell_works_with_any_folder(write, tmp_path, capsys):
    write(tmp_path / "mine")
    names = {"__name__": "chapter"}
    cells = [c for c in json.loads(CHAPTER.read_text())["cells"] if c["cell_type"] == "code"]
    for cell in cells[1:]:
        source = "".join(cell["source"])
        source = source.replace("FOLDER = None", f"FOLDER = Path({str(tmp_path / 'mine')!r})")
        exec(compile(source, cell["id"], "exec"), names)
        if "write_snapshots" in names:
            names["write_snapshots"] = fewer
    said = capsys.readouterr().out
    assert "nan" not in said and "answers with p from 0.9 on" in said
    if write is clear:
        assert not len(names["wrong"])
