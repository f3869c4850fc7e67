"""What the commands print for people."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from grid.console.tables import (
    event_line,
    members_table,
    partitions_picture,
    ranges,
    status_table,
    tasks_table,
)
from grid.wire.control import Event

from .samples import MEMBER_COUNTS, member, partition_map, partitions, status, workers
from .screens import assert_snapshot, screen


@pytest.mark.parametrize("member_count", MEMBER_COUNTS)
def test_status_table_looks_as_stored(member_count: int) -> None:
    lines = screen(status_table(status(member_count)), 80)
    assert max(cell_len(line) for line in lines) <= 80
    assert_snapshot(f"status_{member_count}", lines)


def test_members_partitions_and_tasks_look_as_stored() -> None:
    shown = status(
        4,
        members=[member(1), member(2), member(3), member(4, state="dead", state_s=75)],
        partitions=partitions(9, 2, moving=3),
        partition_map=partition_map(3, unprotected=9, lost=2, moving=3),
        workers=workers(0.4, None, 75.0),
    )
    parts = (members_table(shown), partitions_picture(shown, 80), tasks_table(shown))
    lines = [line for part in parts for line in [*screen(part, 80), ""]]
    assert max(cell_len(line) for line in lines) <= 80
    assert_snapshot("commands", lines)


def test_partitions_in_trouble_are_named() -> None:
    shown = status(2, partition_map=partition_map(2, lost=2, unprotected=1))
    text = "\n".join(screen(partitions_picture(shown, 80), 80))
    assert "lost: 0-1" in text
    assert "unprotected: 2" in text
    assert "moving:" not in text


def test_node_without_a_table_has_no_grid() -> None:
    text = "\n".join(screen(partitions_picture(status(1, partition_map=None), 80), 80))
    assert "█" not in text
    assert "n1" in text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([7], "7"), ([1, 2, 3, 7], "1-3, 7"), ([0, 2, 3, 5], "0, 2-3, 5")],
)
def test_neighbours_are_put_together(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_event_is_one_harmless_line_with_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    event = Event(1, 0.0, "desk-1", "dead", "desk-2\x1b[2J is\ndead", {})
    assert event_line(event, "desk-1, desk-3").plain.endswith(
        " dead      desk-1, desk-3: desk-2 [2J is dead"
    )
