"""Who watches a node: a console (``console/observer.py``), or the launcher of several nodes.

And what a person types there.
"""

from __future__ import annotations

import select
from multiprocessing.connection import Connection
from typing import Protocol

from grid.wire.catalog import encode
from grid.wire.family import LogText, NodeNews, SupervisorToLauncher


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
    """Passes everything on to the launcher that started this supervisor."""

    def __init__(self, pipe: Connection) -> None:
        """Write to `pipe`; the launcher reads it all the time."""
        self._pipe = pipe

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
        try:
            _, writable, _ = select.select([], [self._pipe], [], 0)
            if writable:  # A stopped launcher must not stop its nodes.
                self._pipe.send_bytes(encode(message))
        except OSError:
            return  # The launcher is gone; the supervisor sees the pipe's EOF and stops.
