"""Numbers, times and curves in a few characters."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from grid.console.cells import STEPS, compact, duration, fit, percent, rate, sparkline


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9_999, "9999"),
        (10_000, "10k"),
        (12_345, "12.3k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (1_234_567, "1.23M"),
        (999_600_000, "1G"),
        (7_000_000_000_000, "7000G"),
    ],
)
def test_large_numbers_are_shortened(number: int, text: str) -> None:
    assert compact(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3_599, "59m"),
        (3_600, "1h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (86_400 * 999, "999d"),
    ],
)
def test_times_take_four_characters_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert len(text) <= 4


def test_percentages_and_rates_fit_their_columns() -> None:
    assert [percent(value) for value in (0, 49.6, 100, 6_400)] == ["0%", "50%", "100%", "999%"]
    assert [rate(value) for value in (0, 9.96, 99.94, 100.4, 12_345)] == [
        "0.0",
        "10.0",
        "99.9",
        "100",
        "12.3k",
    ]


def test_curve_shows_the_newest_values_at_the_right() -> None:
    assert sparkline([0, 50, 100], 3, 100) == STEPS[0] + STEPS[4] + STEPS[7]
    assert sparkline([100, 0, 100], 2, 100) == STEPS[0] + STEPS[7]
    assert sparkline([100], 4, 100) == "   " + STEPS[7]


def test_curve_stays_within_its_height_whatever_comes() -> None:
    assert sparkline([-5, 500], 2, 100) == STEPS[0] + STEPS[7]
    assert sparkline([0, 0], 2, 0) == STEPS[0] * 2
    assert sparkline([1, 2], 0, 2) == sparkline([], 0, 0) == ""


@pytest.mark.parametrize("text", ["", "short", "exactly 10", "much longer than it", "読書読書読書"])
@pytest.mark.parametrize("width", [0, 1, 2, 9, 10, 30])
def test_text_is_made_to_fit_exactly(text: str, width: int) -> None:
    for right in (False, True):
        assert cell_len(fit(text, width, right=right)) == width


def test_cut_text_says_so_and_padding_is_on_the_side_that_is_asked_for() -> None:
    assert fit("abcdef", 4) == "abc…"
    assert fit("ab", 4) == "ab  "
    assert fit("ab", 4, right=True) == "  ab"
