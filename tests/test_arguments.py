"""Arguments outside their bounds are refused in one sentence."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from grid.arguments import number_within, time_span, whole_within, writable_file


@pytest.mark.parametrize("text", ["0.5", "2", "1e0"])
def test_number_within_its_bounds_is_taken(text: str) -> None:
    assert number_within(0.5, 2)(text) == float(text)


@pytest.mark.parametrize("text", ["0.4", "2.1", "nan", "inf", "two", ""])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a number from 0\.5 to 2$"):
        number_within(0.5, 2)(text)


def test_whole_number_within_its_bounds_is_taken() -> None:
    assert [whole_within(2, 32)(text) for text in ("2", "32")] == [2, 32]


@pytest.mark.parametrize("text", ["1", "33", "2.0", "-2", "²", ""])
def test_other_whole_numbers_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a whole number from 2 to 32$"):
        whole_within(2, 32)(text)


def test_file_is_refused_where_none_can_be_written(tmp_path: Path) -> None:
    assert writable_file(str(tmp_path / "new.json")) == tmp_path / "new.json"
    for text in (str(tmp_path), str(tmp_path / "missing" / "new.json")):
        with pytest.raises(argparse.ArgumentTypeError, match="cannot be written"):
            writable_file(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("10m", 600), ("2h", 7_200), ("1d", 86_400)]
)
def test_time_span_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert time_span(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1", "1w", "1 m", "1e3", "²", "9" * 400])
def test_other_time_spans_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time span; examples: 90"):
        time_span(text)
