"""Who watches a node: the console of this terminal, or the launcher of several nodes."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Protocol

from grid.console.model import ConsoleModel, decode
from grid.console.terminal import NodeConsole
from grid.errors import ProtocolError
from grid.wire.catalog import encode
from grid.wire.family import (
    Admitted,
    Listening,
    LogText,
    StartFailed,
    StatusSnapshot,
    SupervisorToLauncher,
)


class Observer(Protocol):
    """What a supervisor tells of its node."""

    def event(self, level: str, text: str) -> None:
        """Something a person should read."""

    def report(self, message: Listening | Admitted | StatusSnapshot | StartFailed) -> None:
        """A step of the node's life, as its network process reports it."""


class ConsoleObserver:
    """Shows one node on this terminal."""

    def __init__(self, console: NodeConsole) -> None:
        """Show on `console`, which is started and stopped elsewhere."""
        self._console = console
        self.model = ConsoleModel("")

    def event(self, level: str, text: str) -> None:
        """Add an event line."""
        self._console.event(self.model.add_event(time.strftime("%H:%M:%S"), level, text))

    def report(self, message: Listening | Admitted | StatusSnapshot | StartFailed) -> None:
        """Show the latest status; other steps are event lines already."""
        match message:
            case Listening(host=host, port=port):
                self.model.own_address = f"{host}:{port}"
                self.event("INFO", f"listening on {host}:{port}, TCP and UDP")
            case StatusSnapshot(document=document):
                self.show(document)
            case StartFailed(reason=reason):
                self.event("ERROR", reason)
            case Admitted():
                self.event("INFO", "ready: this node serves its partitions")

    def show(self, document: bytes) -> None:
        """Show a status document."""
        try:
            status = decode(document)
        except ProtocolError as error:
            self.event("ERROR", f"a status could not be shown: {error}")
            return
        self.model.update(status, time.monotonic())
        self._console.refresh(self.model)


class PipeObserver:
    """Passes everything on to the launcher that started this supervisor."""

    def __init__(self, pipe: Connection) -> None:
        """Write to `pipe`; the launcher reads it all the time."""
        self._pipe = pipe

    def event(self, level: str, text: str) -> None:
        """Pass an event on."""
        self._send(LogText(level, text))

    def report(self, message: Listening | Admitted | StatusSnapshot | StartFailed) -> None:
        """Pass a step on."""
        self._send(message)

    def _send(self, message: SupervisorToLauncher) -> None:
        try:
            self._pipe.send_bytes(encode(message))
        except OSError:
            return  # The launcher is gone; the supervisor sees the pipe's EOF and stops.
