"""The keys of the terminal that a console owns: ``q`` leaves, and no other key does anything.

Responsible for: having keys come one by one and unseen while the console is up, and putting the
terminal back as it was.

Not responsible for: what leaving is (``supervisor/``), Ctrl-C (a signal as ever).

Theory of operation. The supervisor waits for many things in one loop, so keys are a descriptor like
the others. It is an epoll of its own around the terminal, edge-triggered: input that belongs to
somebody else (this process is in the background) must neither be read, which would stop the
process, nor keep the loop awake. For the same reason modes are changed in the foreground only.
Shells restore modes of their own when a job is stopped, hence `keep`.

Runs in: supervisor, launcher, or the command that watches from elsewhere; starts no thread.
"""

from __future__ import annotations

import os
import select
import termios
import tty
from collections.abc import Callable
from typing import Any, TextIO

QUIT_KEYS = b"qQ"
READ_BYTES = 1024
_LOCAL_FLAGS = 3
"""Index into what ``tcgetattr`` returns."""


class Keyboard:
    """The keys of one terminal, between `start` and `stop`."""

    def __init__(self, fd: int) -> None:
        """`fd` is a terminal, usually standard input; it is not touched yet."""
        self._fd = fd
        self._epoll = select.epoll()
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        self._former: list[Any] | None = None

    def fileno(self) -> int:
        """Return a descriptor that is readable when something was typed."""
        return self._epoll.fileno()

    def start(self) -> None:
        """Have keys come one by one and without echo."""
        self._guarded(self._take_terminal)

    def keep(self) -> None:
        """Do so again if somebody has changed it meanwhile; called now and then."""
        self._guarded(self._take_terminal)

    def wants_stop(self) -> bool:
        """Read what was typed; return whether it asks to leave."""
        self._epoll.poll(0)
        typed = b""
        try:
            if self._is_ours() and select.select([self._fd], [], [], 0)[0]:
                typed = os.read(self._fd, READ_BYTES)
        except OSError:
            return False  # The terminal has gone; a signal tells it as well.
        return any(key in QUIT_KEYS for key in typed)

    def stop(self) -> None:
        """Put the terminal back as it was; idempotent."""
        self._guarded(self._give_back)

    def _take_terminal(self) -> None:
        if not self._is_ours():
            return
        modes = termios.tcgetattr(self._fd)
        if modes[_LOCAL_FLAGS] & (termios.ICANON | termios.ECHO):
            self._former = self._former or modes
            # At once: waiting for output to drain, a terminal stopped by Ctrl-S would hold us.
            tty.setcbreak(self._fd, termios.TCSANOW)

    def _give_back(self) -> None:
        former, self._former = self._former, None
        if former is not None and self._is_ours():
            termios.tcsetattr(self._fd, termios.TCSANOW, former)

    def _is_ours(self) -> bool:
        """Whether this process is in the foreground, or there is no such thing."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return True  # Not the terminal that controls this process: anybody may read it.

    @staticmethod
    def _guarded(change: Callable[[], None]) -> None:
        """Run `change`; a terminal that has gone needs none."""
        try:
            change()
        except (OSError, termios.error):
            return


def open_keyboard(stream: TextIO | None) -> Keyboard | None:
    """Return the keyboard behind `stream`, usually standard input; None if there is none."""
    try:
        if stream is None or not stream.isatty():
            return None
        return Keyboard(stream.fileno())
    except (OSError, ValueError):
        return None  # Closed, or no file.
