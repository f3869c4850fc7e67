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


def test_raises_in_a_row_are_larger_up_to_a_bound_or_what_is_wanted() -> None:
    assert grown(3).size == 6
    assert grown(3, 1, 1).size == 96
    assert grown(*[1] * 20).size == MARGIN_MAX
    assert grown(*[1] * 20, MARGIN_MAX).size == 2 * MARGIN_MAX


@pytest.mark.parametrize(("receipts", "size"), [(0, 24), (1, 24), (2, 12), (9, 12)])
def test_raise_that_was_enough_for_a_while_is_followed_by_a_smaller_one(
    receipts: int, size: int
) -> None:
    margin = grown(3)
    for _ in range(receipts):
        margin.follow(5, 1, is_filling=False)
    assert margin.size == 6 + 2 * bool(receipts)
    margin.size = 6
    margin.grow(1)
    assert margin.size == size


def test_it_is_more_than_was_written_in_a_round_trip_and_shrinks_slowly() -> None:
    assert followed(1, 2, 9) == [1, 3, 13]
    assert followed(73, 0, 0, 163, 163) == [85, 74, 64, 181, 181]


def test_it_has_room_for_another_large_request() -> None:
    margin = Margin()
    margin.follow(73, 50, is_filling=False)
    assert margin.size == 135


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
