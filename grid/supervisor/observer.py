"""Who watches a node: a console (``console/observer.py``), or the launcher of several nodes.

And what a person types there.
"""

from __future__ import annotations

import select
from multiprocessing.connection import Connection
from typing import Protocol

from grid.wire.catalog import encode
from grid.wire.family import LogText, NodeNews, SupervisorToLauncher

MOMENT_S = 0.5
"""So long a launcher that reads may keep one message waiting."""


class Observer(Protocol):
    """What a supervisor tells of its node."""

    def event(self, level: str, text: str) -> None:
        """Something a person should read."""

    def log(self, line: LogText) -> None:
        """A line that a process of the node has logged; or printed, then its level is `PRINTED`."""

    def report(self, message: NodeNews) -> None:
        """A step of the node's life, or of the cluster's, as its network process reports it."""


class Keys(Protocol):
    """What a person types where the node is watched (``console/keyboard.py``)."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when something was typed."""

    def wants_stop(self) -> bool:
        """Read what was typed; return whether it asks to leave."""


class PipeObserver:
    """Passes everything on to the launcher that started this supervisor.

    It reads all the time, but not always as fast as tasks print: it is waited for, a moment. A
    stopped launcher must not stop its nodes: it costs that moment once, then lines, and hears how
    many once it reads again.
    """

    def __init__(self, pipe: Connection) -> None:
        """Write to `pipe`."""
        self._pipe = pipe
        self._is_read = True
        self._dropped_count = 0

    def event(self, level: str, text: str) -> None:
        """Pass an event on."""
        self._send(LogText(level, text))

    def log(self, line: LogText) -> None:
        """Pass a line on."""
        self._send(line)

    def report(self, message: NodeNews) -> None:
        """Pass a step on."""
        self._send(message)

    def _send(self, message: SupervisorToLauncher) -> None:
        _, writable, _ = select.select([], [self._pipe], [], MOMENT_S if self._is_read else 0)
        self._is_read = bool(writable)
        if not self._is_read:
            self._dropped_count += isinstance(message, LogText)
            return
        try:
            if self._dropped_count:
                text = f"{self._dropped_count} lines were dropped: nobody read them"
                self._pipe.send_bytes(encode(LogText("WARNING", text)))
                self._dropped_count = 0
            self._pipe.send_bytes(encode(message))
        except OSError:
            return  # The launcher is gone; the supervisor sees the pipe's EOF and stops.
