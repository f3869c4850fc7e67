"""How much a channel allows itself: what it follows, and how it comes back."""

from __future__ import annotations

import pytest

from grid.replication.margin import MARGIN_FILLING, MARGIN_MAX, MARGIN_RESUMED_MAX, Margin


def grown(*wanted: int) -> Margin:
    margin = Margin()
    for count in wanted:
        margin.grow(count)
    return margin


def followed(*used: int) -> list[int]:
    """Return what is allowed after each of these round trips."""
    margin, sizes = Margin(), []
    for count in used:
        margin.follow(count, 0, is_filling=False)
        sizes.append(margin.size)
    return sizes


def test_it_grows_by_much_where_somebody_waits_up_to_a_bound_or_what_is_wanted() -> None:
    assert grown(3).size == 6
    assert grown(3, 1, 1).size == 96
    assert grown(*[1] * 20).size == MARGIN_MAX
    assert grown(*[1] * 20, MARGIN_MAX).size == 2 * MARGIN_MAX


def test_it_is_more_than_was_written_in_a_round_trip_and_shrinks_slowly() -> None:
    assert followed(80, 0, 0, 160, 160) == [90, 78, 68, 180, 180]


def test_it_has_room_for_another_large_request() -> None:
    margin = Margin()
    margin.follow(80, 50, is_filling=False)
    assert margin.size == 140


def test_it_is_not_nothing_before_it_is_taken_back() -> None:
    assert followed(*[0] * 5) == [0] * 5
    assert followed(8, *[0] * 50)[-1] == 1


def test_round_trip_during_a_fill_is_given_more() -> None:
    margin = Margin()
    margin.follow(1, 0, is_filling=True)
    assert margin.size == MARGIN_FILLING


@pytest.mark.parametrize(
    ("before", "is_idle", "after"),
    [(20, False, 40), (40_000, False, MARGIN_RESUMED_MAX), (40, True, 2)],
)
def test_taken_back_it_comes_back_in_part_unless_nobody_wrote(
    before: int, is_idle: bool, after: int
) -> None:
    margin = grown(before)
    margin.take_back(is_idle=is_idle)
    assert margin.size == 0
    margin.grow(1)
    assert margin.size == after
    margin.take_back(is_idle=True)
    margin.grow(1)
    assert margin.size == 2
