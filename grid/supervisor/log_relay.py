"""Lines that a node's children print or log, on their way to the console.

All children share one pipe as standard output and error: log records, a user's ``print``
in a task, a crash's traceback. Nothing is parsed beyond the level in front, and the mark of a line
that an event says better.
"""

from __future__ import annotations

import os

from grid.process.child import EVENT_MARK
from grid.wire.family import LogText

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
PRINTED = "PRINTED"
"""In place of the level of a line that has none: a task's ``print``, a crash's traceback."""

LINE_BYTES_MAX = 4096
"""A longer line is cut here; the rest of it follows as a line of its own."""


class LogRelay:
    """Reads the pipe, line by line. `write_fd` is for the children."""

    def __init__(self) -> None:
        """Create the pipe."""
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        self._partial = b""

    def read(self) -> list[LogText]:
        """Return each line that is complete now; of one without a level, that is `PRINTED`."""
        try:
            data = self._partial + os.read(self.read_fd, 65_536)
        except BlockingIOError:
            return []
        *lines, self._partial = data.split(b"\n")
        if len(self._partial) > LINE_BYTES_MAX:
            lines.append(self._partial)
            self._partial = b""
        return [_parsed(piece) for line in lines for piece in _pieces(line)]

    def rest(self) -> list[LogText]:
        """Return the line that was begun, if any: whoever could complete it has ended."""
        piece, self._partial = self._partial, b""
        return [_parsed(piece)] if piece else []

    def close(self) -> None:
        """Close both ends."""
        os.close(self.read_fd)
        os.close(self.write_fd)


def _pieces(line: bytes) -> list[bytes]:
    return [line[start : start + LINE_BYTES_MAX] for start in range(0, len(line), LINE_BYTES_MAX)]


def _parsed(piece: bytes) -> LogText:
    line = piece.decode(errors="replace")
    front, _, text = line.partition(" ")
    level = front.removesuffix(EVENT_MARK)
    if level not in LEVELS:
        return LogText(PRINTED, line)
    return LogText(level, text, has_event=front != level)
