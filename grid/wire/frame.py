"""Frames: a 4-byte big-endian length, then that many bytes.

The format is also what ``multiprocessing.Connection.send_bytes`` writes for messages under
2 GiB, so one splitter reads TCP connections and the pipes between our own processes alike.

Not here: what the bytes mean (``catalog.py``), reading and writing them (``transport/``).
"""

from __future__ import annotations

from collections.abc import Iterator

from grid.errors import ProtocolError

HEADER_BYTES = 4
FRAME_BYTES_MAX = 80 * 1024 * 1024
"""Room for one value of 64 MiB and its envelope; batches are cut long before."""


JOIN_BYTES_MAX = 65_536
"""Below it, copying header and body into one buffer is cheaper than gathering two."""


def frame(body: bytes) -> bytes:
    """Return `body` with its length in front."""
    return len(body).to_bytes(HEADER_BYTES, "big") + body


class FrameSplitter:
    """Cuts a byte stream into frames, keeping at most one unfinished frame."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Start with an empty buffer."""
        self._buffer = bytearray()
        self._frame_bytes_max = frame_bytes_max

    @property
    def is_empty(self) -> bool:
        """Whether no part of a frame is kept."""
        return not self._buffer

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Add received bytes and yield each complete frame's body.

        Raises: ProtocolError for a length beyond the bound, before anything of it is kept.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= HEADER_BYTES:
                end = start + HEADER_BYTES
                length = int.from_bytes(buffer[start:end], "big")
                if length > self._frame_bytes_max:
                    raise ProtocolError(
                        f"a frame of {length} bytes exceeds the {self._frame_bytes_max} allowed"
                    )
                if len(buffer) - end < length:
                    break
                start = end + length
                yield bytes(buffer[end:start])
        finally:
            del buffer[:start]
