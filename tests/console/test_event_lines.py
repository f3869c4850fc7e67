"""Events that several nodes tell: a line each, with all who tell it or the first of them."""

from __future__ import annotations

import pytest

from grid.console.event_lines import (
    SAME_MOMENT_S,
    TOLD_MAX,
    EventLines,
    FirstTellers,
    level_of,
)
from grid.wire.control import Event

from .samples import event


def texts(lines: EventLines, *events: Event) -> list[str]:
    return [line.text for line in lines.new(events)]


def test_what_several_nodes_tell_at_one_moment_is_one_line() -> None:
    told = [
        event("a", "c is dead", 10.0),
        event("b", "c is dead", 10.4),
        event("b", "b took over", 10.5, number=2),
    ]
    assert texts(EventLines(), *reversed(told)) == ["a, b: c is dead", "b: b took over"]


@pytest.mark.parametrize("kind", ["promoted", "retried"])
def test_what_nodes_tell_of_themselves_is_a_line_each(kind: str) -> None:
    tellers = [("a", 1), ("a", 2), ("b", 1)]  # Two storage processes of a, one of b.
    told = [event(node, "took over", 10.0, number=n, kind=kind) for node, n in tellers]
    assert texts(EventLines(), *told) == ["a: took over", "a: took over", "b: took over"]
    assert firsts(*told) == ["a: took over", "a: took over", "b: took over"]


def test_what_happens_again_later_is_another_line() -> None:
    told = [event("a", "c joined", 10.0), event("a", "c joined", 10.1 + SAME_MOMENT_S, number=2)]
    assert texts(EventLines(), *told) == ["a: c joined"] * 2


def test_events_are_shown_once_and_new_ones_as_they_come() -> None:
    lines = EventLines()
    first, second = event("a", "one", 1.0), event("a", "two", 2.0, number=2)
    assert texts(lines, first) == ["a: one"]
    assert texts(lines, first, second) == ["a: two"]
    assert texts(lines, first, second) == []


def test_node_of_the_same_name_that_counts_anew_is_listened_to() -> None:
    lines = EventLines()
    texts(lines, event("a", "one", 1.0))
    assert texts(lines, event("a", "one", 50.0)) == ["a: one"]


@pytest.mark.parametrize(
    ("kind", "cost", "level"),
    [
        ("joined", 0, "INFO"),
        ("dead", 0, "WARNING"),
        ("promoted", 0, "INFO"),
        ("promoted", 3, "WARNING"),
        ("lost", 0, "ERROR"),
        ("a kind of a newer node", 0, "INFO"),
    ],
)
def test_level_says_how_urgent_it_is(kind: str, cost: int, level: str) -> None:
    assert level_of(event("a", "text", 1.0, kind=kind, lost_at_most=cost)) == level


def firsts(*events: Event) -> list[str]:
    tellers = FirstTellers()
    return [f"{told.node}: {told.text}" for told in events if tellers.is_first(told)]


def test_of_what_comes_one_by_one_the_first_teller_is_heard() -> None:
    told = [
        event("a", "c is dead", 10.0),
        event("b", "c is dead", 10.4),
        event("b", "b took over", 10.5),
        event("d", "c is dead", 9.9),
    ]
    assert firsts(*told) == ["a: c is dead", "b: b took over"]


def test_what_one_node_tells_again_has_happened_again() -> None:
    told = [event(node, "c is suspected", time_s) for time_s in (1.0, 2.0) for node in ("a", "b")]
    assert firsts(*told) == ["a: c is suspected"] * 2


def test_what_another_node_tells_later_is_news() -> None:
    told = [event("a", "c joined", 10.0), event("b", "c joined", 10.1 + SAME_MOMENT_S)]
    assert firsts(*told) == ["a: c joined", "b: c joined"]


def test_only_so_many_events_are_known_again() -> None:
    crowd = [event("a", f"n{number} joined", 1.0) for number in range(TOLD_MAX + 1)]
    again = [event("b", text, 1.0) for text in ("n1 joined", "n0 joined")]
    assert firsts(*crowd, *again)[TOLD_MAX + 1 :] == ["b: n0 joined"]
