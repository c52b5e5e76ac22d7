"""The table of results: what is aligned, what is compared, what is refused."""

import pytest

from meta_lib.evaluation import Estimate
from meta_lib.figures import tables


@pytest.fixture
def shown(monkeypatch):
    """Catch what would be displayed."""
    caught = []
    monkeypatch.setattr(tables, "display", lambda data, raw: caught.append(data))
    return caught


def test_numbers_stand_under_each_other_at_the_point(shown):
    tables.show_table(
        ["", "labels", "accuracy, %"],
        [["network", 1, Estimate(0.605, 0.022)], ["nearest", 100, Estimate(0.9564, 0.111)]],
        percent=True,
    )
    (table,) = shown
    assert table["text/plain"].splitlines() == [
        "         labels  accuracy, %",
        "network       1  60.5 ± \u20072.2",
        "nearest     100  95.6 ± 11.1",
    ]
    assert table["text/markdown"].splitlines()[:3] == [
        "|  | labels | accuracy, % |",
        "| --- | ---: | ---: |",
        "| network | 1 | 60.5 ± \u20072.2 |",
    ]
    points = [line.rindex(".") for line in table["text/plain"].splitlines()[1:]]
    assert len(set(points)) == 1


def test_what_has_no_interval_keeps_its_place(shown):
    tables.show_table(["", "loss"], [["ours", Estimate(-0.25, 0.5)], ["theirs", 2.0], ["x", None]])
    first, second, third = shown[0]["text/plain"].splitlines()[1:]
    assert first == "ours    −0.2 ± 0.5" and third.endswith("–")
    assert second.rstrip("\u2007").endswith("2.0") and second.index(".") == first.index(".")


def test_texts_that_are_read_as_numbers_stand_at_the_right(shown):
    texts = ["0.67", "0.62 ± 0.03; median 0.36", "not finite", None, "**8.0 %**", "2.1 · 10⁻⁷"]
    tables.show_table(["", "ours"], [[f"{i}-way", text] for i, text in enumerate(texts)])
    assert shown[0]["text/markdown"].splitlines()[1] == "| --- | ---: |"


def test_a_comma_parts_the_thousands(shown):
    tables.show_table(["a", "b"], [[-12345, 22026.47], [999, Estimate(1000.0, 1234.56)]])
    assert shown[0]["text/plain"].splitlines()[1:] == [
        "−12,345  22,026.5",
        "    999   1,000.0 ± 1,234.6",
    ]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="3 cells"):
        tables.show_table(["a", "b", "c"], [[1, 2]])


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.63e-8, "2.6 · 10⁻⁸"), (-9.99e9, "−1.0 · 10¹⁰"), (1.25, "1.2 · 10⁰"), (0.0, "0.0 · 10⁰")],
)
def test_a_power_of_ten(value, text):
    assert tables.scientific(value) == text
