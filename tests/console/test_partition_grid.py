"""The partitions as a grid: shapes for any room, and signs that need no colour."""

from __future__ import annotations

import pytest

from grid.console.document import CellKind
from grid.console.partition_grid import (
    FLAT,
    LARGE,
    LEGEND_WIDTH,
    LOOKS,
    NARROW,
    Shape,
    choose_shape,
    grid_lines,
    legend_lines,
)

ALL: list[CellKind] = list(LOOKS)


def test_states_differ_by_character_as_well_as_by_colour() -> None:
    assert len({look.sign for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.style for look in LOOKS.values()}) == len(LOOKS)


@pytest.mark.parametrize(
    ("width", "rows", "to_spare", "shape"),
    [
        (200, 40, 30, LARGE),
        (64, 8, 8, LARGE),
        (80, 12, 7, FLAT),
        (64, 4, 0, FLAT),
        (63, 8, 8, NARROW),
        (63, 7, 7, None),
        (80, 3, 3, None),
        (31, 40, 40, None),
        (80, -1, -9, None),
    ],
)
def test_shape_follows_the_room(width: int, rows: int, to_spare: int, shape: Shape | None) -> None:
    assert choose_shape(width, rows, to_spare) == shape


@pytest.mark.parametrize("shape", [LARGE, FLAT, NARROW])
def test_every_partition_has_its_cell_in_order(shape: Shape) -> None:
    kinds: list[CellKind] = [ALL[p % len(ALL)] for p in range(256)]
    lines = [line.plain for line in grid_lines(kinds, shape)]
    assert len(lines) == shape.rows
    assert {len(line) for line in lines} == {shape.width}
    cells = "".join(lines)[:: shape.cell_width]
    assert cells == "".join(LOOKS[kind].sign for kind in kinds)


def test_legend_explains_what_is_shown_and_begins_with_what_is_urgent() -> None:
    shown = [line.plain for line in legend_lines(["other", "lost", "primary", "other"], 8)]
    assert shown == ["X lost", "█ primary here", "· elsewhere"]
    assert [line.plain[0] for line in legend_lines(ALL, 2)] == ["X", "!"]
    assert max(line.cell_len for line in legend_lines(ALL, 8)) <= LEGEND_WIDTH
