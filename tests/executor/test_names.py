"""Names of functions: short and harmless in a terminal, whoever has chosen them."""

from __future__ import annotations

import pytest

from grid.executor.names import NAME_MAX, cleaned


@pytest.mark.parametrize("name", ["", "crunch", "Shelf.count", "<lambda>", "x" * NAME_MAX])
def test_usual_name_stays_as_it_is(name: str) -> None:
    assert cleaned(name) == name


def test_local_function_goes_by_the_names_around_it() -> None:
    assert cleaned("main.<locals>.Shelf.count.<locals>.<lambda>") == "main.Shelf.count.<lambda>"


def test_of_a_long_name_the_end_is_kept() -> None:
    shown = cleaned("x" * 100 + ".crunch")
    assert len(shown) == NAME_MAX
    assert shown.startswith("...x")
    assert shown.endswith("x.crunch")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[2Jcrunch", "?[2Jcrunch"),
        ("a\nb\tc\x7f\x00", "a?b?c??"),
        ("gr\u00f6\u00dfe", "gr??e"),
        ("\u202ecrunch\ud800", "?crunch?"),
    ],
)
def test_what_is_not_printable_ascii_is_replaced(name: str, shown: str) -> None:
    assert cleaned(name) == shown


def test_name_that_is_clean_is_not_changed_again() -> None:
    for name in ("x" * 100, "\x1b" * 50, "a.<locals>.b"):
        assert cleaned(cleaned(name)) == cleaned(name)
