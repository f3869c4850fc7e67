"""The parcels of a channel that have no receipt: kept, and when and how they are sent again.

Not here: what is in them and what a receipt means (``channel.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from grid.replication.outlet import CopyOutlet

UNRECEIPTED_MAX = 64
"""Parcels without receipt; what is written meanwhile waits to go together."""

RESEND_S, RESEND_MAX_S = 0.2, 1.0
"""Without a receipt for so long, parcels are sent again; each pause doubles."""

BYTES_PER_S_MIN = 4 * 1024 * 1024
"""A parcel is on its way no longer than this speed takes."""

RESEND_BYTES = 4 * 1024 * 1024
"""Sent again at a time; the rest when these are receipted."""


@dataclass(slots=True)
class SentParcel:
    """A parcel without receipt."""

    number: int
    body: bytes
    sent_s: float
    entries: int
    allowance: int
    fill_bytes: int
    marks: list[tuple[CopyOutlet, int, int, int]]
    """Of each copy concerned: the last sequence in it, operations and bytes up to here."""
    filled: list[CopyOutlet] = field(default_factory=list)


class Unreceipted:
    """All parcels without receipt, in their order."""

    def __init__(self) -> None:
        """Begin with none."""
        self.parcels: deque[SentParcel] = deque()
        self._resend_s = RESEND_S
        self._resent_s = 0.0

    @property
    def is_full(self) -> bool:
        """Whether nothing further is to be sent before a receipt."""
        return len(self.parcels) >= UNRECEIPTED_MAX

    @property
    def resend_due_s(self) -> float:
        """When to send again: large parcels take their time, and must not be sent meanwhile."""
        oldest = self.parcels[0]
        patience_s = self._resend_s + len(oldest.body) / BYTES_PER_S_MIN
        return max(oldest.sent_s, self._resent_s) + patience_s

    def is_old(self, age_s: float, now_s: float) -> bool:
        """Whether the oldest was sent so long ago."""
        return bool(self.parcels) and now_s >= self.parcels[0].sent_s + age_s

    def take(self, number: int) -> Iterator[SentParcel]:
        """Take out, one by one, what a receipt up to this number is for."""
        while self.parcels and self.parcels[0].number <= number:
            self._resend_s, self._resent_s = RESEND_S, 0.0
            yield self.parcels.popleft()

    def resend_late(self, now_s: float) -> list[bytes]:
        """Return what is to be sent again because it is late, if it is."""
        if not self.parcels or now_s < self.resend_due_s:
            return []
        self._resend_s = min(2 * self._resend_s, RESEND_MAX_S)
        return self._resend(now_s)

    def resend_after_gap(self, now_s: float, pause_s: float) -> list[bytes]:
        """Return what is to be sent again because something is missing, unless it just was."""
        return self._resend(now_s) if now_s >= self._resent_s + pause_s else []

    def _resend(self, now_s: float) -> list[bytes]:
        self._resent_s = now_s
        bodies = []
        room_bytes = RESEND_BYTES
        for sent in self.parcels:
            bodies.append(sent.body)
            room_bytes -= len(sent.body)
            if room_bytes <= 0:
                break
        return bodies

    def clear(self) -> None:
        """Give up all of them."""
        self.parcels.clear()
        self._resend_s, self._resent_s = RESEND_S, 0.0
