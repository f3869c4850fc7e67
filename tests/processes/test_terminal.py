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
from collections.abc import Iterator, Sequence
from pathlib import Path
from select import select

import pytest

from grid.hosts.node_process import DEADLINE_S
from tests.processes.nodes import node, write_config

NORMAL_SCREEN = b"\x1b[?1049l"
PICTURE_START = re.compile(rb"\x1b\[H|\x1b\[\?1049l")
"""Each begins in the upper left corner, the last one on the normal screen."""

READ_BYTES = 1 << 16
GRID = (sys.executable, "-m", "grid")


class Screen:
    """A process in a pseudo-terminal, read by its other end."""

    def __init__(self, program: Sequence[str]) -> None:
        """Start it, as the first program of a new terminal."""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            size = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
            os.execve(program[0], list(program), {**os.environ, **size})
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


@contextlib.contextmanager
def opened(*command: str, program: Sequence[str] = GRID) -> Iterator[Screen]:
    """Run a command in a terminal for the length of a ``with`` block."""
    screen = Screen([*program, *command])
    try:
        yield screen
    finally:
        screen.close()


@pytest.fixture(name="screen")
def fixture_screen(tmp_path: Path) -> Iterator[Screen]:
    with opened("up", "--config", str(write_config(tmp_path)), "--name", "solo") as screen:
        yield screen


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


def test_events_are_told_once_and_as_sentences(tmp_path: Path) -> None:
    """Both nodes know that they share the partitions, and each that the other has joined."""
    command = ("up", "--config", str(write_config(tmp_path)), "--name", "desk", "--nodes", "2")
    with opened(*command) as screen:
        for event in (rb"desk-1: desk-2 \(", rb"desk-2: desk-1 \(", rb": 2 nodes share"):
            screen.wait_for(event)
        screen.type(b"q")
        assert screen.end() == 0
    pictures = PICTURE_START.split(screen.shown)
    assert max(picture.count(b"nodes share") for picture in pictures) == 1
    assert b"joined member=" not in screen.shown


def test_suspended_node_gives_the_terminal_to_the_shell_until_it_goes_on(tmp_path: Path) -> None:
    command = f"{sys.executable} -m grid up --config {write_config(tmp_path)} --name solo"
    with opened(program=("/bin/sh", "-i")) as shell:
        shell.type(f"{command}\n".encode())
        shell.wait_for(rb"solo.*alive")
        shell.type(b"\x1a")
        shell.wait_for(rb"\x1b\[\?1049l(?s:.*)Stopped")
        shell.shown = b""
        shell.type(b"fg\n")
        shell.wait_for(rb"\x1b\[\?1049h(?s:.*)solo.*alive")
        shell.type(b"q")
        shell.wait_for(re.escape(NORMAL_SCREEN))
        shell.wait_for(b"q: leaving")
        shell.type(b"exit\n")
        assert shell.end() == 0


def test_console_from_elsewhere_goes_on_through_another_node(tmp_path: Path) -> None:
    """The one it asks is killed; the others have the same view."""
    config = str(write_config(tmp_path, secret="a secret of this test"))
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(node("--config", config, "--name", "ann"))
        port = first.wait_until_ready()
        seeded = tmp_path / "seeded"
        seeded.mkdir()
        others = seeded / "cluster.toml"
        seeds = f'seeds = ["127.0.0.1:{port}"]'
        others.write_text(Path(config).read_text() + f"\n        {seeds}\n")
        second = stack.enter_context(node("--config", str(others), "--name", "ben"))
        second.wait_until_ready()
        connect = ("--config", config, "--connect", f"127.0.0.1:{port}")
        watched = stack.enter_context(opened("console", *connect))
        watched.wait_for(rb"2 members alive; all 256 partitions are safe")
        os.killpg(first.process.pid, signal.SIGKILL)
        watched.wait_for(rb"now watching through ben")
        watched.wait_for(rb"ann .*is dead")
        watched.type(b"q")
        assert watched.end() == 0
        assert NORMAL_SCREEN in watched.shown
