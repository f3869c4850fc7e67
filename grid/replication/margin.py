"""How many writes a channel allows itself beyond those it has counted.

Not here: what follows from it, when the receiver has it, when it is taken back (``channel.py``).

Theory of operation. It follows what is written in a round trip: at once when that grows, slowly
when it shrinks, with as much to spare as writes vary that come at random. Where it was too small
somebody waits, for a round trip. Then it is doubled; and doubled twice if the raise before was too
small as well, so that a burst has what it needs after few of them.
"""

from __future__ import annotations

from math import isqrt

MARGIN_MAX = 100_000
"""It is not raised beyond this just because somebody waits."""

MARGIN_FILLING = 100
"""A round trip is long while a fill is on its way: it cannot follow what is written."""

MARGIN_RESUMED_MAX = 64
"""So much, at most, comes back at once with the first write after it was taken back."""


class Margin:
    """How many writes may be acknowledged beyond those that the last parcel has counted."""

    __slots__ = ("_receipts", "_resumed", "size")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.size = 0
        self._resumed = 0
        self._receipts = 0
        """Since it was raised; the first is that of the raise."""

    def grow(self, wanted: int) -> None:
        """It was too small: somebody waits, with so many writes."""
        factor = 4 if self._receipts <= 1 else 2
        self.size = max(min(factor * self.size, MARGIN_MAX), 2 * wanted, self._resumed)
        self._resumed = self._receipts = 0

    def follow(self, used: int, largest: int, *, is_filling: bool) -> None:
        """So many writes came in a round trip; `largest` is the number of a recent request."""
        self._receipts += 1
        usual = used + isqrt(2 * (used - 1)) + largest if used else 0
        least = min(self.size, 1)  # Nothing while nobody writes.
        if used and is_filling:
            least = MARGIN_FILLING
        self.size = max(usual, self.size * 7 // 8, least)

    def take_back(self, *, is_idle: bool) -> None:
        """Allow nothing; unless nobody writes, the next who does is to wait but once."""
        self._resumed = 0 if is_idle else min(self.size, MARGIN_RESUMED_MAX)
        self.size = 0
