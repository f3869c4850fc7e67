"""How far this node trusts its own judgement (Lifeguard section IV-A, LHA-Probe).

A node that is starved of CPU or cut off sees everybody else fail. It notices that it may be
the cause from what only its own trouble explains (helpers that do not even say no, having to
refute a suspicion, an event loop that wakes late), and then probes more slowly and waits
longer before it accuses.

Not here: what to do about a stall (``swim.py``).
"""

from __future__ import annotations

SCORE_MAX = 7
"""Lifeguard's S = 8: periods and deadlines stretch at most eightfold."""


class LocalHealth:
    """A score from 0 (healthy) to `SCORE_MAX`."""

    def __init__(self) -> None:
        """Start healthy."""
        self.score = 0

    @property
    def multiplier(self) -> int:
        """Factor on the protocol period and on the probe deadline, 1 to 8."""
        return self.score + 1

    def improve(self) -> None:
        """A probe was answered."""
        self.score = max(0, self.score - 1)

    def worsen(self, by: int = 1) -> None:
        """Count signs of own trouble."""
        self.score = min(SCORE_MAX, self.score + by)
