"""How often something that died is started again: bounded, with growing pauses. Pure."""

from __future__ import annotations

from collections import deque

PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Pause before each restart within the window; after the last one it is given up."""

WINDOW_S = 60.0
"""Deaths longer ago than this are forgiven."""


class RestartPolicy:
    """Decides about one thing that may die again and again."""

    def __init__(self, pauses_s: tuple[float, ...] = PAUSES_S, window_s: float = WINDOW_S) -> None:
        """Start with a clean record."""
        self._pauses_s = pauses_s
        self._window_s = window_s
        self._deaths_s: deque[float] = deque(maxlen=len(pauses_s) + 1)

    def pause_after_death_s(self, now_s: float) -> float | None:
        """Record a death; return the pause before the restart, or None to give up."""
        self._deaths_s.append(now_s)
        recent = sum(1 for death_s in self._deaths_s if death_s > now_s - self._window_s)
        return self._pauses_s[recent - 1] if recent <= len(self._pauses_s) else None
