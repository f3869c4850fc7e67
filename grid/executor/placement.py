"""On which node a task shall run.

Late binding: a task stays with its submitter until some node has a free slot, so no node
collects a backlog while another is idle. A slot is a free worker, plus, while plenty is
pending, some tasks waiting behind the workers so that they never idle for a round trip: one for
each worker, or as many as take `BACKLOG_S` if tasks are short.

Order of preference: the node asked for (where the task's data lives) if it has a slot; else
two nodes with slots drawn at random, of which the one with the shorter expected wait wins:
(queued + running + own sends since the report) / (workers x free share). Two random choices are
robust against old reports where "least loaded" herds (Mitzenmacher 2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

from grid.types import NodeId

BACKLOG_S = 0.01
"""So much work may wait behind a worker: the time in which another node could not have begun it."""

BACKLOG_MAX = 64
"""Tasks that may wait behind a worker, however short they are."""

FREE_SHARE_MIN = 0.05
"""A machine is never taken for quite full: what others do there may have ended by now."""

SMOOTHING = 0.2
"""Weight of the latest task in the average time that tasks take."""


@dataclass(slots=True)
class NodeLoad:
    """A node as a submitter sees it.

    `reported` is what it said of its queue and workers, `own_sends` what was sent since. Of this
    submitter's tasks there, `own_started` are known to run.
    `free_share` is the part of its machine's cores that others leave to it, 0 to 1. `is_full`: it
    has refused a task since, because others fill its queue.
    """

    node_id: NodeId
    workers: int
    reported: int = 0
    own_in_flight: int = 0
    own_started: int = 0
    own_sends: int = 0
    free_share: float = 1.0
    is_full: bool = False

    @property
    def busy(self) -> int:
        """Tasks there, as far as is known."""
        return max(self.reported + self.own_sends, self.own_in_flight)

    @property
    def expected_wait(self) -> float:
        """Tasks up to the end of a new one, per worker at full speed."""
        speed = max(self.workers, 1) * max(self.free_share, FREE_SHARE_MIN)
        return (self.busy + 1) / speed

    def has_slot(self, *, backlog: int) -> bool:
        """Whether this submitter may send one more task, with so many behind each worker."""
        return self.own_in_flight < self.workers * (1 + backlog) and not self.is_full


def backlog_for(task_s: float | None) -> int:
    """Return how many tasks may wait behind a worker when a task takes `task_s` on average."""
    if task_s is None or task_s >= BACKLOG_S:
        return 1
    return min(BACKLOG_MAX, int(BACKLOG_S / max(task_s, BACKLOG_S / BACKLOG_MAX)))


def smoothed(average_s: float | None, took_s: float) -> float:
    """Return the average time that tasks take, after one more."""
    return took_s if average_s is None else average_s + SMOOTHING * (took_s - average_s)


class Policy(Protocol):
    """Chooses a node for a task, as `choose` does; the simulator compares others with it."""

    def __call__(
        self, nodes: list[NodeLoad], preferred: NodeId | None, random: Random, *, backlog: int
    ) -> NodeLoad | None:
        """Return the node for one task, or None when no node has a slot."""


def choose(
    nodes: list[NodeLoad], preferred: NodeId | None, random: Random, *, backlog: int
) -> NodeLoad | None:
    """Return the node for one task, or None when no node has a slot."""
    free = [node for node in nodes if node.has_slot(backlog=backlog)]
    if not free:
        return None
    for node in free:
        if node.node_id == preferred:
            return node
    candidates = free if len(free) <= 2 else random.sample(free, 2)
    return min(candidates, key=lambda node: node.expected_wait)
