"""What is killed when: decided from a seed, so that a run can be repeated as far as it can be.

Mostly a node is killed when every partition is safe and nothing moves; about one time in five in
the middle of the filling of a node that has come back. Then that node comes back later than usual,
when enough has been written for the next kill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

WRITES_PER_KILL = 10_000
IN_MOTION_SHARE = 0.2
RESTART_DELAYS_S = (1.0, 4.0)
CALM_DELAY_MAX_S = 0.5
MOTION_DELAY_MAX_S = 0.05
NODES_LEFT_MIN = 2
"""Fewer could not hold two copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user has asked for."""

    minutes: float
    nodes: int
    kill: bool
    restart: bool
    rate: float
    seed: int
    writes_per_kill: int = WRITES_PER_KILL
    kills_max: int | None = None
    """End after so many kills."""
    spares_first: bool = False
    """The first node is never killed: whether its memory grows takes long to see."""


class Plan:
    """The decisions of one run, one after the other."""

    def __init__(self, wishes: Wishes) -> None:
        """Decide by the seed of the wishes."""
        self._wishes = wishes
        self._random = Random(f"plan {wishes.seed}")
        self.is_next_in_motion = False

    def may_kill(self, alive: int) -> bool:
        """Whether a node may die when so many are alive."""
        if not self._wishes.kill:
            return False
        # Of two nodes one may die if another comes: meanwhile there is one copy only.
        least = (
            1 if self._wishes.restart and self._wishes.nodes == NODES_LEFT_MIN else NODES_LEFT_MIN
        )
        return alive > least

    def is_over(self, kills: int) -> bool:
        """Whether as many nodes have been killed as were to be."""
        return self._wishes.kills_max is not None and kills >= self._wishes.kills_max

    def is_due(self, acknowledged: int) -> bool:
        """Whether enough writes were acknowledged since the last kill."""
        return acknowledged >= self._wishes.writes_per_kill

    def victim(self, alive: Sequence[str]) -> str:
        """Choose who dies of those alive, in the order of their start; and how the next is to."""
        if self._wishes.spares_first:
            alive = alive[1:]
        is_possible = self._wishes.restart and self._wishes.nodes > NODES_LEFT_MIN
        self.is_next_in_motion = is_possible and self._random.random() < IN_MOTION_SHARE
        return self._random.choice(sorted(alive))

    def restart_delay_s(self) -> float:
        """Return after what time the dead node comes back."""
        return self._random.uniform(*RESTART_DELAYS_S)

    def calm_delay_s(self) -> float:
        """Return how long to wait before a kill, so that it meets any moment."""
        return self._random.uniform(0, CALM_DELAY_MAX_S)

    def motion_delay_s(self) -> float:
        """The same once something moves: not long, or it would be over."""
        return self._random.uniform(0, MOTION_DELAY_MAX_S)
