"""A command on a terminal of its own, and everything it shows there in a file: ``cat`` replays it.

Not here: what a console shows (``console/``).
"""

from __future__ import annotations

import os
import pty
import termios
import threading
from pathlib import Path

from grid.hosts.host import Host

COLUMNS = 100
LINES = 30
RECORDING_BYTES_MAX = 64 << 20
"""Hours of a console; what comes later is read, and dropped."""

END_DEADLINE_S = 10.0
_READ_BYTES = 64 * 1024


class RecordedCommand:
    """A program on a host with its screen recorded, after what the file holds already."""

    def __init__(self, host: Host, path: Path, *command: str) -> None:
        """Start it."""
        screen, terminal = pty.openpty()
        try:
            termios.tcsetwinsize(terminal, (LINES, COLUMNS))
            self.process = host.program(*command, terminal=terminal)
        except BaseException:
            os.close(screen)
            raise
        finally:
            os.close(terminal)
        self._reader = threading.Thread(target=_record, args=(screen, path), daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Kill it if it still runs, and wait for the end of its recording."""
        self.process.kill()
        self.process.wait(timeout=END_DEADLINE_S)
        # Others that hold the terminal are killed with their host.
        self._reader.join(timeout=END_DEADLINE_S)


def _record(screen: int, path: Path) -> None:
    with os.fdopen(screen, "rb", buffering=0) as source, path.open("ab", buffering=0) as target:
        room_bytes = RECORDING_BYTES_MAX - target.tell()
        while True:
            try:
                data = source.read(_READ_BYTES)
            except OSError:  # How a terminal says that nobody has it open any more.
                return
            if not data:
                return
            target.write(data[: max(0, room_bytes)])
            room_bytes -= len(data)
