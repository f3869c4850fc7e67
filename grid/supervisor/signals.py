"""Signals as readable bytes, so that a select loop handles them between other events."""

from __future__ import annotations

import signal
import socket
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalQueue:
    """Receives the stop signals of this process from its creation until `close`."""

    def __init__(self) -> None:
        """Install the handlers."""
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)
        self._old = {number: signal.signal(number, self._ignore) for number in STOP_SIGNALS}
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def take(self) -> list[signal.Signals]:
        """Return the stop signals since the last call."""
        try:
            data = self.reader.recv(4096)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in data if number in STOP_SIGNALS]

    def close(self) -> None:
        """Put the former handlers back."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self.reader.close()
        self._writer.close()

    @staticmethod
    def _ignore(number: int, frame: FrameType | None) -> None:
        """Only the byte on the wake-up socket counts; a handler keeps the process alive."""
