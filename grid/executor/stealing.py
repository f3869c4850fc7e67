"""When a node that has nothing to do asks others for tasks that wait there.

Responsible for: when to ask, and whom: two other nodes drawn at random, soon after a worker has
become idle, and then ever less often while nothing comes.

Not responsible for: what is given away (`NodeQueue.give`), and how a task comes here: who has it
gives it back to its submitter, who sends it on. So a task is with its submitter or in one queue,
never in between, and what goes wrong on the way costs one question.

Departures. A thief that is given nothing hears nothing: it asks again in any case, since
queues grow and shrink faster than nodes report of them.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from grid.types import NodeId

ASKED_AT_ONCE = 2
"""Nodes that are asked at a time, as in the placement: two random ones are robust."""

PATIENCE_MIN_S = 0.005
"""A worker that has been idle for less may be given its next task at any moment."""

PATIENCE_MAX_S = 0.5
"""A node that finds nothing still looks so often: two small messages."""


class Thief:
    """Decides when an idle node asks."""

    def __init__(self, random: Random) -> None:
        """Start busy."""
        self._random = random
        self._patience_s = PATIENCE_MIN_S
        self._next_s: float | None = None
        self._idle = 0

    def due_s(self) -> float | None:
        """Return when to call `ask`; None while the node is busy."""
        return self._next_s

    def look(self, idle: int, now_s: float) -> None:
        """Take note of how many workers have nothing to do, whenever that may have changed."""
        if idle > self._idle:
            self._patience_s = PATIENCE_MIN_S
            self._next_s = now_s + self._patience_s
        elif not idle:
            self._next_s = None
        self._idle = idle

    def ask(self, now_s: float, others: Callable[[], list[NodeId]]) -> list[NodeId]:
        """Return whom of the `others` to ask now, if it is time."""
        if self._next_s is None or now_s < self._next_s:
            return []
        self._patience_s = min(2 * self._patience_s, PATIENCE_MAX_S)
        self._next_s = now_s + self._patience_s
        known = others()
        return self._random.sample(known, min(ASKED_AT_ONCE, len(known)))
