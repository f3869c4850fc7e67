"""The partitions as a grid of cells: what each of them is to the node that shows them.

Not here: which of it is true (``document.py``), where it stands (``view.py``).

Theory of operation: a state has a character of its own and a colour of its own, so that either
will do. Rows of 64 fit the smallest screen; where there is more room a cell is twice as wide,
which makes it about square.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from rich.text import Text

from grid.console.document import CellKind


class Look(NamedTuple):
    """How a kind of partition is drawn, and what it is called."""

    sign: str
    style: str
    name: str


LOOKS: dict[CellKind, Look] = {
    "lost": Look("X", "bold red", "lost"),
    "unprotected": Look("!", "yellow", "unprotected"),
    "moving": Look("»", "magenta", "moving"),
    "primary": Look("█", "green", "primary here"),
    "backup": Look("▒", "cyan", "backup here"),
    "other": Look("·", "dim", "elsewhere"),
}
"""By urgency."""


class Shape(NamedTuple):
    """How many rows of how many cells of what width."""

    rows: int
    columns: int
    cell_width: int

    @property
    def width(self) -> int:
        """In characters."""
        return self.columns * self.cell_width


LARGE, FLAT, NARROW = Shape(8, 32, 2), Shape(4, 64, 1), Shape(8, 32, 1)

LEGEND_WIDTH = 14


def choose_shape(width: int, rows_max: int, rows_to_spare: int) -> Shape | None:
    """Return the best shape for so much room, the large one only where there is plenty."""
    for shape, rows in ((LARGE, rows_to_spare), (FLAT, rows_max), (NARROW, rows_max)):
        if shape.width <= width and shape.rows <= rows:
            return shape
    return None


def grid_lines(kinds: Sequence[CellKind], shape: Shape) -> list[Text]:
    """Return the grid, one line a row."""
    lines = []
    for start in range(0, len(kinds), shape.columns):
        line = Text(no_wrap=True)
        for kind, run in groupby(kinds[start : start + shape.columns]):
            look = LOOKS[kind]
            line.append(look.sign * (shape.cell_width * len(list(run))), look.style)
        lines.append(line)
    return lines


def legend_lines(kinds: Sequence[CellKind], rows: int) -> list[Text]:
    """Return what the characters mean, of those that are shown: the most urgent `rows` of them."""
    shown = set(kinds)
    looks = [look for kind, look in LOOKS.items() if kind in shown][:rows]
    return [Text.assemble((look.sign, look.style), f" {look.name}") for look in looks]
