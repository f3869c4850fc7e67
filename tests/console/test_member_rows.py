"""The table of members: which columns there is room for, and what is said of the gone."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from grid.console.document import MemberStatus
from grid.console.member_rows import CURVE_WIDTH_MAX, Curve, layout, member_lines
from grid.console.model import Sample

from .samples import member, status


def members(*changes: dict[str, Any]) -> list[MemberStatus]:
    entries = [member(number, **change) for number, change in enumerate(changes, start=1)]
    return list(status(1, members=entries).members)


def lines(shown: list[MemberStatus], width: int, *samples: Sample) -> list[str]:
    return [line.plain for line in member_lines(shown, lambda member: samples, width)]


def test_what_everybody_needs_is_there_in_eighty_columns() -> None:
    headings = lines(members({}), 80)[0].split()
    assert headings[:7] == ["member", "state", "age", "load", "cpu", "mem", "ops/s"]
    assert {"parts", "risk", "queue", "run"} <= set(headings)
    assert "address" not in headings


def test_wide_screen_has_everything_and_two_curves() -> None:
    headings = lines(members({}), 200)[0].split()
    assert {"address", "entries", "traffic", "done", "retried"} <= set(headings)


@pytest.mark.parametrize("width", range(60, 260, 7))
def test_rows_are_exactly_as_wide_as_the_screen_unless_all_is_shown(width: int) -> None:
    shown = members({}, {"name": "読書" * 20}, {"state": "dead"})
    widths = {cell_len(line) for line in lines(shown, width, Sample(1, 1))}
    curves = [size for column, size in layout(shown, width) if isinstance(column, Curve)]
    assert widths == {width} or set(curves) == {CURVE_WIDTH_MAX}


def test_curves_of_traffic_share_a_scale() -> None:
    """Else an idle member would look as busy as the busiest."""
    first, second = members({}, {})
    histories = {first: [Sample(0, 10)], second: [Sample(0, 1_000)]}
    rows = [line.plain for line in member_lines([first, second], histories.__getitem__, 200)]
    assert "█" not in rows[1]
    assert "█" in rows[2]


def test_member_that_is_gone_has_a_time_and_no_figures() -> None:
    (dead,) = members({"state": "dead", "state_s": 65, "age_s": 9_000, "cpu_percent": 77.0})
    row = lines([dead], 80)[1].split()
    assert row == ["n1", "dead", "1m"]


def test_running_tasks_are_shown_beside_the_workers_where_these_are_known() -> None:
    busy, older = members({"workers": 4}, {"workers": 0})
    rows = lines([busy, older], 80)
    assert "1/4" in rows[1]
    assert "/" not in rows[2]
