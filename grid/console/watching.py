"""``grid console``: the console of a cluster, from anywhere, fed by a client's questions.

Responsible for: asking once a second in a thread of its own, so that a node that does not answer
stops neither keys nor picture; what is shown while nobody answers; when another node does.

Not responsible for: finding a node, and going to another (``client/requests/connections.py``), the
picture (``view.py``), what several nodes tell alike (``event_lines.py``).

Theory of operation. Every question to the cluster gives one `News`.

Runs in: the command, which never forks.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from grid.console.document import decode
from grid.console.event_lines import EventLines
from grid.console.model import ConsoleModel
from grid.console.terminal import NodeConsole
from grid.errors import GridError
from grid.supervisor.signals import SignalQueue
from grid.wire.control import Event

INTERVAL_S = 1.0
NEWS_MAX = 4
"""Answers that wait to be shown; then nothing is asked."""

HINT = "Ctrl-C quits; the cluster goes on"
HINT_KEYS = "q quits; the cluster goes on"


class News(NamedTuple):
    """The answer to one question: a status and all events that are known, or why there is none."""

    document: dict[str, Any] | None
    events: list[Event]
    failure: str = ""


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
