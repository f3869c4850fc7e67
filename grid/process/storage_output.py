"""The connections of a storage process: what waits to be sent on them.

Responsible for: what waits to be sent, in order, without ever blocking; replies that are held until
copies have the write.

Not responsible for: when to read and send (``storage.py``).

Runs in: storage process.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from grid.storage.replies import Held
from grid.wire.frame import HEADER_BYTES, FrameReader

PIECES_MAX = 64
"""Buffers gathered in one system call."""


class Wait:
    """In place of an answer: the request cannot be carried out now."""


WAIT: Final = Wait()


class HeldAnswer(NamedTuple):
    """An answer that is sent when its `held` is over."""

    held: Held
    body: bytes


Answer = bytes | HeldAnswer | Wait


class Link:
    """A socket with what waits to be sent on it."""

    __slots__ = ("events", "reader", "receive", "send", "socket", "unsent", "unsent_bytes")

    def __init__(self, sock: socket.socket) -> None:
        """Take a non-blocking socket."""
        self.socket = sock
        self.events = select.EPOLLIN
        self.receive = sock.recv
        self.send = sock.send
        self.reader: FrameReader | None = None
        self.unsent: deque[memoryview] = deque()
        self.unsent_bytes = 0

    def keep(self, piece: bytes | memoryview) -> None:
        """Send this later."""
        self.unsent.append(memoryview(piece))
        self.unsent_bytes += len(piece)

    def keep_frame(self, body: bytes) -> None:
        """Send this as a frame, later."""
        self.keep(len(body).to_bytes(HEADER_BYTES, "big"))
        self.keep(body)

    def flush(self) -> None:
        """Send what the socket takes of what was kept."""
        while self.unsent:
            pieces = [self.unsent[i] for i in range(min(len(self.unsent), PIECES_MAX))]
            try:
                sent = self.socket.sendmsg(pieces)
            except BlockingIOError:
                return
            self.unsent_bytes -= sent
            for piece in pieces:
                if sent < len(piece):
                    self.unsent[0] = piece[sent:]
                    break
                sent -= len(piece)
                self.unsent.popleft()


class ClientLink(Link):
    """One client socket with its unfinished requests and unsent replies."""

    __slots__ = ("answers", "client", "held", "held_bytes", "is_batching", "is_parked")

    def __init__(self, sock: socket.socket, client: bytes) -> None:
        """Take the socket of the client with this id."""
        super().__init__(sock)
        self.client = client
        self.answers: Iterator[Answer] | None = None
        """Replies to requests that are received, as they are carried out one by one."""
        self.is_parked = False
        """The next request waits for a gate to open."""
        self.is_batching = False
        """The client sends `Requests`: it knows replies by their numbers, in any order."""
        self.held: deque[HeldAnswer | bytes] = deque()
        """Replies from the first that waits for copies on, unless they may overtake."""
        self.held_bytes = 0

    def hold(self, answer: HeldAnswer | bytes) -> None:
        """Send this after the replies that are held, when it is over itself."""
        self.held.append(answer)
        self.held_bytes += len(answer.body) if isinstance(answer, HeldAnswer) else len(answer)

    @property
    def is_hopeless(self) -> bool:
        """Whether the first reply that is held, and so all behind it, will never be over."""
        first = self.held[0] if self.held else None
        return isinstance(first, HeldAnswer) and first.held.is_hopeless

    def release(self) -> bool:
        """Have replies sent that are held no longer; return whether there were any."""
        count = len(self.unsent)
        while self.held:
            first = self.held[0]
            if isinstance(first, HeldAnswer):
                if not first.held.is_over:
                    break
                first = first.body
            self.held.popleft()
            self.held_bytes -= len(first)
            self.keep_frame(first)
        return len(self.unsent) > count
