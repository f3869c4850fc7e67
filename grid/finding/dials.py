"""Trying many addresses at once: which of them take a connection?

Responsible for: TCP connections that are opened side by side, each closed as soon as it is known
whether it is taken.

Not responsible for: who answers there (``search.py``), which addresses.

Theory of operation, that of RFC 8305 ("Happy Eyeballs"): the next address is tried when the one
before has failed or has been silent for `STAGGER_S`. So a machine that is switched off delays
nothing, and where the first address answers, nobody else is bothered.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections import deque

from grid.types import Address

STAGGER_S = 0.05
"""Many times what a connection on a LAN takes."""

QUEUE_MAX = 256
"""Addresses that wait for their turn; further ones are not taken."""


class Dials:
    """Connections being opened; `listener`, if any, ends a wait when it has something to read."""

    def __init__(self, listener: socket.socket | None = None) -> None:
        self._selector = selectors.DefaultSelector()
        if listener is not None:
            self._selector.register(listener, selectors.EVENT_READ, None)
        self._queue: deque[Address] = deque()
        self._open: dict[Address, socket.socket] = {}
        self._next_start_s = 0.0

    @property
    def unanswered(self) -> list[Address]:
        """The addresses about which nothing is known yet."""
        return [*self._open, *self._queue]

    def add(self, address: Address, *, is_urgent: bool = False) -> None:
        """Try this address, before those that wait if urgent; nothing new if it is under way."""
        if address in self._open or address in self._queue or len(self._queue) >= QUEUE_MAX:
            return
        if is_urgent:
            self._queue.appendleft(address)
        else:
            self._queue.append(address)

    def wait(self, timeout_s: float) -> list[tuple[Address, str]]:
        """Wait until something is known of an address, the listener can be read, or for so long.

        A host name is looked up by the machine's resolver, which takes its own time.
        Returns: the addresses that answered, with an empty text, or that failed, with the reason.
        """
        end_s = time.monotonic() + timeout_s
        outcomes: list[tuple[Address, str]] = []
        while True:
            outcomes += self._start()
            now_s = time.monotonic()
            until_s = min(end_s, self._next_start_s) if self._queue else end_s
            events = self._selector.select(0 if outcomes else max(0.0, until_s - now_s))
            is_readable = False
            for key, _ in events:
                if key.data is None:
                    is_readable = True
                    continue
                sock = self._open[key.data]
                outcomes.append((key.data, self._end(key.data, self._error_of(sock))))
            if outcomes or is_readable or time.monotonic() >= end_s:
                return outcomes

    def close(self) -> None:
        """Give up what is under way."""
        for sock in self._open.values():
            sock.close()
        self._open.clear()
        self._queue.clear()
        self._selector.close()

    def _start(self) -> list[tuple[Address, str]]:
        """Begin the connections whose turn it is; return those that have failed at once."""
        failures: list[tuple[Address, str]] = []
        while self._queue and time.monotonic() >= self._next_start_s:
            address = self._queue.popleft()
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                code = sock.connect_ex(address)
            except (OSError, UnicodeError) as error:  # The name is not known, or is none.
                sock.close()
                failures.append((address, getattr(error, "strerror", None) or str(error)))
                continue
            if code not in (0, errno.EINPROGRESS):
                sock.close()
                failures.append((address, os.strerror(code)))
                continue
            self._open[address] = sock
            # Also what is connected already is reported as such, by the selector.
            self._selector.register(sock, selectors.EVENT_WRITE, address)
            self._next_start_s = time.monotonic() + STAGGER_S
        return failures

    def _end(self, address: Address, code: int) -> str:
        sock = self._open.pop(address)
        self._selector.unregister(sock)
        sock.close()
        if not code:
            return ""
        self._next_start_s = 0.0  # The next need not wait.
        return os.strerror(code)

    def _error_of(self, sock: socket.socket) -> int:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
