"""What a supervisor or launcher reports, shown on this terminal.

Not here: how it looks (``view.py``), what is kept of it (``model.py``).

Theory of operation. What happens to the cluster is said twice: in the log, for programs and for
whoever searches it later, and as an event, for who watches. A live console shows the events and
whatever else is logged or printed; without one the log is printed, and nothing but it.
"""

from __future__ import annotations

import time

from grid.console.document import decode
from grid.console.event_lines import FirstTellers, line_of
from grid.console.model import ConsoleModel
from grid.console.model import Event as EventLine
from grid.console.terminal import NodeConsole, PlainConsole
from grid.errors import ProtocolError
from grid.supervisor.log_relay import PRINTED
from grid.wire.control import Event
from grid.wire.family import (
    Admitted,
    EventSeen,
    Listening,
    LogText,
    NodeNews,
    StartFailed,
    StatusSnapshot,
)

HINT = "Ctrl-C leaves the cluster; twice ends the node at once"
HINT_KEYS = "q leaves the cluster (Ctrl-C as well; twice ends the node at once)"


class QuietObserver:
    """Shows what tasks print and what went wrong: a program's own nodes, beside its own output."""

    def __init__(self, console: PlainConsole) -> None:
        """Show on `console`, the program's standard error."""
        self._console = console

    def event(self, level: str, text: str) -> None:
        """Show warnings and worse."""
        if level in ("WARNING", "ERROR", "CRITICAL"):
            self._console.event(EventLine(time.strftime("%H:%M:%S"), level, text))

    def log(self, line: LogText) -> None:
        """Show the same of the log; of what was printed, the text."""
        if line.level == PRINTED:
            self._console.print(line.text)
        else:
            self.event(line.level, line.text)

    def report(self, message: NodeNews) -> None:
        """Show nothing of it."""


class ConsoleObserver:
    """Shows one node, or several that a launcher has started, on this terminal."""

    def __init__(self, console: NodeConsole, *, names_tellers: bool = False) -> None:
        """Show on `console`, which is started and stopped elsewhere.

        `names_tellers`: say which node tells an event, for there are several.
        """
        self._console = console
        self._names_tellers = names_tellers
        self._tellers = FirstTellers()
        self.model = ConsoleModel("")
        self.model.hint = HINT_KEYS if console.keys is not None else HINT

    def event(self, level: str, text: str) -> None:
        """Add an event line."""
        self._add(level, text)

    def log(self, line: LogText) -> None:
        """Add a line of the log, unless it is shown as an event."""
        if not (line.has_event and self._console.is_live):
            self._add("INFO" if line.level == PRINTED else line.level, line.text)

    def report(self, message: NodeNews) -> None:
        """Show the latest status, and what has happened; other steps are event lines already."""
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
            case EventSeen(event=event):
                self._happened(event)

    def show(self, document: bytes) -> None:
        """Show a status document."""
        try:
            status = decode(document)
        except ProtocolError as error:
            self.event("ERROR", f"a status could not be shown: {error}")
            return
        self.model.update(status, time.monotonic())
        self._console.refresh(self.model)

    def _happened(self, event: Event) -> None:
        if self._console.is_live and self._tellers.is_first(event):
            line = line_of(event, event.node if self._names_tellers else "")
            self._add(line.level, line.text, line.time_s)

    def _add(self, level: str, text: str, time_s: float | None = None) -> None:
        when = time.strftime("%H:%M:%S", time.localtime(time_s))
        self._console.event(self.model.add_event(when, level, text))
