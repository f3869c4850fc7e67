"""Events as a console shows them: a line each, however many nodes tell of one.

Pure. Each node tells the events that it has seen itself, so one death has several tellers; what
they say alike at about the same time has happened once. What a node tells of itself has not,
however alike the words: two that took over as many partitions took over twice as many.

Not here: what is an event (``process/events.py``), who asks for them (``watching.py``), who is told
them unasked (``observer.py``), what ``grid events`` prints (``tables.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from grid.wire.control import Event

SAME_MOMENT_S = 5.0
"""What several nodes tell alike within this time has happened once."""

TOLD_MAX = 256
"""Events of the last moment that are known again when another node tells them."""

OF_THE_TELLER = frozenset({"promoted", "retried"})
"""Kinds of events that happen to the node that tells them, and to no other."""

LEVELS = {"suspect": "WARNING", "dead": "WARNING", "retried": "WARNING", "lost": "ERROR"}
"""Of kinds of events; others are INFO, but for a promotion that may have cost something."""


class Line(NamedTuple):
    """An event to show."""

    time_s: float
    level: str
    text: str


class EventLines:
    """Turns the events that the nodes know now into lines for those that are new."""

    def __init__(self) -> None:
        """Start with none known."""
        self._known: set[tuple[str, int, float]] = set()

    def new(self, events: Iterable[Event]) -> list[Line]:
        """Return lines for those not seen before, oldest first; several tellers are named."""
        now_known = {(event.node, event.number, event.time_s): event for event in events}
        fresh = [event for key, event in now_known.items() if key not in self._known]
        self._known = set(now_known)
        return [line_of(event, tellers) for event, tellers in told_alike(fresh)]


class FirstTellers:
    """Knows of events that come one by one which of them another node has told already."""

    def __init__(self) -> None:
        """Start with none known."""
        self._told: dict[tuple[str, str], tuple[float, set[str]]] = {}

    def is_first(self, event: Event) -> bool:
        """Take note of an event; return whether it is news. What one node repeats is."""
        if event.kind in OF_THE_TELLER:
            return True
        key = event.kind, event.text
        first_s, tellers = self._told.get(key, (event.time_s, {event.node}))
        if event.node not in tellers and abs(event.time_s - first_s) <= SAME_MOMENT_S:
            tellers.add(event.node)
            return False
        self._told.pop(key, None)
        self._told[key] = event.time_s, {event.node}
        if len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
        return True


def told_alike(events: Iterable[Event]) -> list[tuple[Event, str]]:
    """Return what has happened, oldest first, each with the nodes that tell it."""
    told: list[tuple[Event, list[str]]] = []
    for event in sorted(events, key=lambda event: event.time_s):
        for first, nodes in reversed(told):
            if event.kind in OF_THE_TELLER or event.time_s - first.time_s > SAME_MOMENT_S:
                told.append((event, [event.node]))
                break
            if (first.kind, first.text) == (event.kind, event.text):
                nodes.append(event.node)
                break
        else:
            told.append((event, [event.node]))
    return [(event, ", ".join(sorted(set(nodes)))) for event, nodes in told]


def line_of(event: Event, tellers: str) -> Line:
    """Return the line for an event, with who tells it in front if that is of interest."""
    text = f"{tellers}: {event.text}" if tellers else event.text
    return Line(event.time_s, level_of(event), text)


def level_of(event: Event) -> str:
    """Return how urgent an event is."""
    if event.kind == "promoted" and event.fields.get("lost_at_most"):
        return "WARNING"
    return LEVELS.get(event.kind, "INFO")
