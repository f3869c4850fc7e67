"""New copies in the making: what is sent for them, one copy after the other.

One at a time, so that copies become complete as early as possible, and so that few partitions send
their changes twice. Backups come before copies that only move.

Not here: how much may be on its way (``channel.py``), pages (``storage/applying.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from grid.replication.messages import FillBegin, FillEnd, FillPage
from grid.replication.outlet import CopyOutlet
from grid.storage.applying import Page, pages_of, results_of

SMALL_BYTES = 64
"""What the first and last part of a fill take, about."""


class Part(NamedTuple):
    """A part of a fill."""

    outlet: CopyOutlet
    item: FillBegin | FillPage | FillEnd
    size_bytes: int


class Fills:
    """The fills that one channel has to send."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with none."""
        self._clock = clock
        self._waiting: deque[CopyOutlet] = deque()
        self._current: tuple[CopyOutlet, Iterator[tuple[Page, int]]] | None = None

    @property
    def has_work(self) -> bool:
        """Whether there is a next part."""
        return self._current is not None or bool(self._waiting)

    def add(self, outlet: CopyOutlet) -> None:
        """Fill a copy when it is its turn."""
        others = (i for i, other in enumerate(self._waiting) if not other.is_backup)
        place = next(others, None) if outlet.is_backup else None
        self._waiting.insert(len(self._waiting) if place is None else place, outlet)

    def remove(self, outlet: CopyOutlet) -> None:
        """Do not fill it, or no further."""
        if outlet in self._waiting:
            self._waiting.remove(outlet)
        if self._current is not None and self._current[0] is outlet:
            self._current = None

    def next_part(self) -> Part:
        """Return what comes next; there must be work."""
        if self._current is None:
            outlet = self._waiting.popleft()
            held = outlet.held
            self._current = outlet, pages_of(held, self._clock)
            history = list(held.history)
            begin = FillBegin(held.partition_id, held.epoch, held.sequence, history)
            return Part(outlet, begin, SMALL_BYTES)
        outlet, pages = self._current
        held = outlet.held
        cut = next(pages, None)
        if cut is not None:
            page, size_bytes = cut
            return Part(outlet, FillPage(held.partition_id, held.epoch, *page), size_bytes)
        self._current = None
        end = FillEnd(held.partition_id, held.epoch, held.sequence, results_of(held))
        return Part(outlet, end, SMALL_BYTES)
