"""Taking frames apart in tests that hold the other end of a connection."""

from __future__ import annotations

from collections.abc import Iterator

from grid.wire.frame import FrameReader


class Frames:
    """The frames of one stream of bytes, fed piece by piece."""

    def __init__(self) -> None:
        self._reader = FrameReader()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add received bytes and yield each complete frame's body."""
        rest = memoryview(data)
        while rest:
            space = self._reader.space()
            count = min(len(space), len(rest))
            space[:count] = rest[:count]
            self._reader.advance(count)
            rest = rest[count:]
            for body in self._reader.bodies():
                yield bytes(body)
