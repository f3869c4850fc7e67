"""``grid console``: the console of a cluster, from anywhere, fed by a client's questions.

Responsible for: asking once a second in a thread of its own, so that a node that does not answer
stops neither keys nor picture; what is shown while nobody answers; when another node does.

Not responsible for: finding a node, and going to another (``client/requests/connections.py``), the
picture (``view.py``).

Theory of operation. Every question to the cluster gives one `News`. Each node tells the events that
it has seen itself, so one death has several tellers; what they say alike at about the same time
is shown as one line.

Runs in: the command, which never forks.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from grid.console.document import decode
from grid.console.model import ConsoleModel
from grid.console.terminal import NodeConsole
from grid.errors import GridError
from grid.supervisor.signals import SignalQueue
from grid.wire.control import Event

INTERVAL_S = 1.0
NEWS_MAX = 4
"""Answers that wait to be shown; then nothing is asked."""

SAME_MOMENT_S = 5.0
"""What several nodes tell alike within this time has happened once."""

HINT = "Ctrl-C quits; the cluster goes on"
HINT_KEYS = "q quits; the cluster goes on"

LEVELS = {"suspect": "WARNING", "dead": "WARNING", "retried": "WARNING", "lost": "ERROR"}
"""Of kinds of events; others are INFO, but for a promotion that may have cost something."""


class News(NamedTuple):
    """The answer to one question: a status and all events that are known, or why there is none."""

    document: dict[str, Any] | None
    events: list[Event]
    failure: str = ""


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
        return [
            Line(event.time_s, level_of(event), f"{tellers}: {event.text}")
            for event, tellers in told_alike(fresh)
        ]


def told_alike(events: Iterable[Event]) -> list[tuple[Event, str]]:
    """Return what has happened, oldest first, each with the nodes that tell it."""
    told: list[tuple[Event, list[str]]] = []
    for event in sorted(events, key=lambda event: event.time_s):
        for first, nodes in reversed(told):
            if event.time_s - first.time_s > SAME_MOMENT_S:
                told.append((event, [event.node]))
                break
            if (first.kind, first.text) == (event.kind, event.text):
                nodes.append(event.node)
                break
        else:
            told.append((event, [event.node]))
    return [(event, ", ".join(sorted(set(nodes)))) for event, nodes in told]


def level_of(event: Event) -> str:
    """Return how urgent an event is."""
    if event.kind == "promoted" and event.fields.get("lost_at_most"):
        return "WARNING"
    return LEVELS.get(event.kind, "INFO")


class Poller:
    """Asks again and again, in a thread that ends with the program."""

    def __init__(self, ask: Callable[[], News], interval_s: float = INTERVAL_S) -> None:
        """`ask` may take its time, and must not raise."""
        self._ask = ask
        self._interval_s = interval_s
        self._news: queue.Queue[News] = queue.Queue(NEWS_MAX)
        self._is_over = threading.Event()
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is news."""
        return self._reader

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._run, name="watching", daemon=True).start()

    def take(self) -> News:
        """Return the next news; there is some when `fileno` is readable."""
        os.read(self._reader, 1)
        return self._news.get()

    def stop(self) -> None:
        """Ask no more; what is being asked is not waited for."""
        self._is_over.set()
        os.close(self._reader)
        with contextlib.suppress(queue.Empty):
            while True:  # Or the thread would wait for ever for room.
                self._news.get_nowait()

    def _run(self) -> None:
        with open(self._writer, "wb", buffering=0) as writer, contextlib.suppress(BrokenPipeError):
            while not self._is_over.is_set():
                self._news.put(self._ask())
                writer.write(b"!")
                self._is_over.wait(self._interval_s)


class Watch:
    """A console, and what it is fed with."""

    def __init__(self, console: NodeConsole, monotonic_s: Callable[[], float] = time.monotonic):
        """Show on `console`, which is started and stopped elsewhere."""
        self._console = console
        self._monotonic_s = monotonic_s
        self._lines = EventLines()
        self._is_silent = False
        self.model = ConsoleModel("")
        self.model.hint = HINT if console.keys is None else HINT_KEYS

    def show(self, news: News) -> None:
        """Take note of an answer, or of none, and draw."""
        for line in self._lines.new(news.events) if news.document is not None else []:
            self._event(line.level, line.text, line.time_s)
        if news.document is None:
            if not self._is_silent:
                self._event("ERROR", f"{news.failure}; asking again")
            self._is_silent = True
            self.model.silence = "No node answers; this is the state before."
        else:
            self._take(news.document)
        self._console.refresh(self.model)

    def _take(self, document: dict[str, Any]) -> None:
        try:
            status = decode(document)
        except GridError as error:
            self._event("ERROR", f"a status could not be shown: {error}")
            return
        former = self.model.status
        is_other = former is not None and former.node != status.node
        if self._is_silent or is_other:
            verb = "now watching through" if is_other else "answered again by"
            self._event("WARNING", f"{verb} {status.name_of(status.node)}")
        self._is_silent = False
        self.model.silence = ""
        self.model.update(status, self._monotonic_s())

    def _event(self, level: str, text: str, time_s: float | None = None) -> None:
        when = time.strftime("%H:%M:%S", time.localtime(time_s))
        self._console.event(self.model.add_event(when, level, text))


def run(console: NodeConsole, ask: Callable[[], News], interval_s: float = INTERVAL_S) -> None:
    """Show the cluster until a person or a signal ends it; the terminal is given back."""
    signals = SignalQueue()
    poller = Poller(ask, interval_s)
    watch = Watch(console)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(signals.reader, selectors.EVENT_READ)
            selector.register(poller, selectors.EVENT_READ)
            if console.keys is not None:
                selector.register(console.keys.fileno(), selectors.EVENT_READ)
            console.start()
            poller.start()
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if signals.reader in ready and signals.take():
                    return
                if console.keys is not None and console.keys.wants_stop():
                    return
                if poller in ready:
                    watch.show(poller.take())
    finally:
        poller.stop()
        console.stop()
        signals.close()
