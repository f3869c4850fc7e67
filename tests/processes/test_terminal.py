"""``grid up`` in a terminal of its own: what is typed there, and how it is left."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from select import select

import pytest

from tests.processes.nodes import DEADLINE_S, write_config

NORMAL_SCREEN = b"\x1b[?1049l"
READ_BYTES = 1 << 16


class Screen:
    """A process in a pseudo-terminal, read by its other end."""

    def __init__(self, *command: str) -> None:
        """Start it, as a shell in a new terminal would."""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execve(
                sys.executable,
                [sys.executable, "-m", "grid", *command],
                {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
            )
        self.former = termios.tcgetattr(self.fd)
        self.shown = b""
        self.status: int | None = None

    def wait_for(self, pattern: bytes) -> None:
        """Read until `pattern` was drawn."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not re.search(pattern, self.shown):
            assert time.monotonic() < deadline_s, f"no {pattern!r} in {self.shown[-3000:]!r}"
            assert self._read(), f"ended without {pattern!r}: {self.shown[-3000:]!r}"

    def type(self, text: bytes) -> None:
        """Type."""
        os.write(self.fd, text)

    def end(self) -> int:
        """Read to the end; return the exit code."""
        deadline_s = time.monotonic() + DEADLINE_S
        while self.status is None:
            assert time.monotonic() < deadline_s, f"it goes on: {self.shown[-3000:]!r}"
            if not self._read():
                _, self.status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(self.status)

    def _read(self) -> bool:
        """Take what was drawn; return False at its end."""
        if select([self.fd], [], [], 0.5)[0]:
            try:
                data = os.read(self.fd, READ_BYTES)
            except OSError:  # How Linux tells that nobody has the other end any more.
                return False
            self.shown += data
            return bool(data)
        return True

    def close(self) -> None:
        """Leave nothing behind."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture(name="screen")
def fixture_screen(tmp_path: Path) -> Iterator[Screen]:
    config = write_config(tmp_path)
    screen = Screen("up", "--config", str(config), "--name", "solo")
    yield screen
    screen.close()


@pytest.mark.parametrize("way", ["q", "ctrl-c", "sigterm"])
def test_node_leaves_and_gives_the_terminal_back(screen: Screen, way: str) -> None:
    screen.wait_for(rb"solo.*alive")
    assert termios.tcgetattr(screen.fd) != screen.former
    screen.type(b"xyz\r")  # Other keys do nothing.
    if way == "sigterm":
        os.kill(screen.pid, signal.SIGTERM)
    else:
        screen.type(b"q" if way == "q" else b"\x03")
    modes_after = None
    screen.wait_for(re.escape(NORMAL_SCREEN))
    with contextlib.suppress(termios.error):
        modes_after = termios.tcgetattr(screen.fd)
    assert screen.end() == 0
    assert modes_after == screen.former
    _, _, after = screen.shown.partition(NORMAL_SCREEN)
    said = {"q": b"q: leaving", "ctrl-c": b"SIGINT: leaving", "sigterm": b"SIGTERM: leaving"}
    assert said[way] in after
