"""Frames: a 4-byte big-endian length, then that many bytes.

The format is also what ``multiprocessing.Connection.send_bytes`` writes for messages under
2 GiB, so one reader serves TCP connections and the pipes between our own processes alike. It
offers the buffer to receive into, so that a large body is never copied.

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

READER_BYTES = 65_536
"""What a `FrameReader` keeps by default; below malloc's mmap threshold of 128 KiB."""


def frame(body: bytes) -> bytes:
    """Return `body` with its length in front."""
    return len(body).to_bytes(HEADER_BYTES, "big") + body


class FrameReader:
    """Receives frames into buffers of its own: a large one into one of exactly its size.

    In turn: receive into `space()`, tell how much by `advance`, exhaust `bodies()`.
    """

    def __init__(
        self,
        received: bytes = b"",
        frame_bytes_max: int = FRAME_BYTES_MAX,
        buffer_bytes: int = READER_BYTES,
    ) -> None:
        """Start with what was `received` already, at most `buffer_bytes` of it."""
        self._frame_bytes_max = frame_bytes_max
        self._view = memoryview(bytearray(buffer_bytes))
        self._start = 0
        self._end = len(received)
        self._view[: self._end] = received
        self._large: memoryview | None = None
        self._filled = 0

    @property
    def is_empty(self) -> bool:
        """Whether no part of a frame is kept."""
        return self._start == self._end and self._large is None

    def space(self) -> memoryview:
        """Return where the next bytes go; what `bodies` has yielded may be overwritten."""
        if self._large is not None:
            return self._large[self._filled :]
        if self._start:
            kept = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, len(kept)
            self._view[: self._end] = kept
        return self._view[self._end :]

    def advance(self, count: int) -> None:
        """So many bytes were put into `space()`."""
        if self._large is not None:
            self._filled += count
        else:
            self._end += count

    def bodies(self) -> Iterator[memoryview]:
        """Yield the body of each complete frame.

        A body that fits into the reader's buffer is valid until the next `space()`, a larger one
        as long as somebody keeps it.

        Raises: ProtocolError for a length beyond the bound.
        """
        while True:
            if self._large is not None:
                if self._filled < len(self._large):
                    return
                body, self._large = self._large, None
                yield body
            body_start = self._start + HEADER_BYTES
            if body_start > self._end:
                return
            length = int.from_bytes(self._view[self._start : body_start], "big")
            if length > self._frame_bytes_max:
                raise ProtocolError(
                    f"a frame of {length} bytes exceeds the {self._frame_bytes_max} allowed"
                )
            if body_start + length <= self._end:
                self._start = body_start + length
                yield self._view[body_start : body_start + length]
            elif HEADER_BYTES + length > len(self._view):
                self._large = memoryview(bytearray(length))
                self._filled = self._end - body_start
                self._large[: self._filled] = self._view[body_start : self._end]
                self._start = self._end = 0
                return
            else:
                return
