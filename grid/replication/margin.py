"""How many writes a channel allows itself beyond those it has counted.

Not here: what follows from it, when the receiver has it, when it is taken back (``channel.py``).

Theory of operation. It follows what is written in a round trip: at once when that grows, slowly
when it shrinks. Where it was too small somebody waits, for a round trip: then it is raised by much.
"""

from __future__ import annotations

MARGIN_MAX = 100_000
"""It is not raised beyond this just because somebody waits."""

MARGIN_FILLING = 100
"""A round trip is long while a fill is on its way: it cannot follow what is written."""

MARGIN_RESUMED_MAX = 64
"""So much, at most, comes back at once with the first write after it was taken back."""

SPARE = 8
"""One in so many is allowed beyond what was written in a round trip."""


class Margin:
    """How many writes may be acknowledged beyond those that the last parcel has counted."""

    __slots__ = ("_resumed", "size")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.size = 0
        self._resumed = 0

    def grow(self, wanted: int) -> None:
        """It was too small: somebody waits, with so many writes."""
        self.size = max(min(4 * self.size, MARGIN_MAX), 2 * wanted, self._resumed)
        self._resumed = 0

    def follow(self, used: int, largest: int, *, is_filling: bool) -> None:
        """So many writes came in a round trip; `largest` is the number of a recent request."""
        usual = used + used // SPARE + largest if used else 0
        least = min(self.size, 1)  # Nothing while nobody writes.
        if used and is_filling:
            least = MARGIN_FILLING
        self.size = max(usual, self.size * 7 // 8, least)

    def take_back(self, *, is_idle: bool) -> None:
        """Allow nothing; unless nobody writes, the next who does is to wait but once."""
        self._resumed = 0 if is_idle else min(self.size, MARGIN_RESUMED_MAX)
        self.size = 0
