"""What a supervisor or launcher reports, shown on this terminal.

Not here: how it looks (``view.py``), what is kept of it (``model.py``).
"""

from __future__ import annotations

import time

from grid.console.document import decode
from grid.console.model import ConsoleModel
from grid.console.terminal import NodeConsole
from grid.errors import ProtocolError
from grid.wire.family import Admitted, Listening, StartFailed, StatusSnapshot

HINT = "Ctrl-C leaves the cluster; twice ends the node at once"
HINT_KEYS = "q leaves the cluster (Ctrl-C as well; twice ends the node at once)"


class ConsoleObserver:
    """Shows one node on this terminal."""

    def __init__(self, console: NodeConsole) -> None:
        """Show on `console`, which is started and stopped elsewhere."""
        self._console = console
        self.model = ConsoleModel("")
        self.model.hint = HINT_KEYS if console.keys is not None else HINT

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
