"""Tables of results: numbers under each other at the decimal point, with their intervals.

One table serves JupyterLab, GitHub and the book's page, where it is Markdown, and a terminal, where
it is text; the check of the notebooks compares both.
"""

import re
from collections.abc import Iterable

from IPython.display import display

from meta_lib.evaluation import Estimate

# As wide as a digit, so that what lacks one still stands under its like.
FIGURE_SPACE = "\u2007"
# What is read as a number, "8.0 % (7.1 to 9.0)": it begins with a digit, and ends as numbers do.
AS_NUMBER = re.compile(r"[−*]*\d(.*[\d%)°*⁰¹²³⁴⁵⁶⁷⁸⁹])?")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def show_table(
    head: Iterable[str], rows: Iterable[Iterable[object]], digits: int = 1, percent: bool = False
) -> None:
    """Display rows of names, numbers and estimates, mean ± 95 % interval, beneath a head.

    Numbers have `digits` digits behind the point, whole ones (int) none, and estimates with both
    their parts; with `percent` they are shares, shown times 100, except the whole ones. None is a
    dash. A column of numbers, or of texts most of which are read as such, stands at the right, any
    other at the left. From 1,000 on a comma parts the thousands.

    Raises ValueError where a row has another length than the head.
    """
    names, cells = list(head), [list(row) for row in rows]
    for row in cells:
        if len(row) != len(names):
            raise ValueError(f"a row must have {len(names)} cells, as the head, but had {row}")
    columns = [
        _column(list(column), digits, 100 if percent else 1) for column in zip(*cells, strict=True)
    ]
    right = [_at_right(column) for column in zip(*cells, strict=True)]
    markdown = [names, ["---:" if each else "---" for each in right], *zip(*columns, strict=True)]
    display(
        {
            "text/markdown": "\n".join("| " + " | ".join(line) + " |" for line in markdown),
            "text/plain": _plain(names, columns, right),
        },
        raw=True,
    )


def scientific(value: float, digits: int = 1) -> str:
    """Return a number as text with a power of ten, "2.6 · 10⁻⁸"."""
    factor, exponent = f"{value:.{digits}e}".split("e")
    return f"{factor.replace('-', '−')} · 10{str(int(exponent)).translate(RAISED)}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Estimate))


def _at_right(column: tuple[object, ...]) -> bool:
    there = [value for value in column if value is not None]
    read = [isinstance(value, str) and AS_NUMBER.fullmatch(value) for value in there]
    return any(map(_is_number, there)) or 3 * sum(map(bool, read)) >= 2 * len(there) > 0


def _column(values: list[object], digits: int, unit: int) -> list[str]:
    """Return a column's cells; where some have an interval, the others keep its place."""
    intervals = [
        f"{unit * value.interval:,.{digits}f}" if isinstance(value, Estimate) else ""
        for value in values
    ]
    width = max(map(len, intervals))
    cells = []
    for value, interval in zip(values, intervals, strict=True):
        if isinstance(value, Estimate):
            text = f"{unit * value.mean:,.{digits}f} ± {interval.rjust(width, FIGURE_SPACE)}"
        elif isinstance(value, float):
            text = f"{unit * value:,.{digits}f}" + FIGURE_SPACE * (width + 3 if width else 0)
        else:
            text = "–" if value is None else f"{value:,}" if type(value) is int else str(value)
        cells.append(text.replace("-", "−") if _is_number(value) else text)
    return cells


def _plain(names: list[str], columns: list[list[str]], right: list[bool]) -> str:
    widths = [max(map(len, [name, *cells])) for name, cells in zip(names, columns, strict=True)]
    lines = []
    for line in [names, *zip(*columns, strict=True)]:
        placed = [
            text.rjust(width) if at_right else text.ljust(width)
            for text, width, at_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(placed).rstrip())
    return "\n".join(lines)
