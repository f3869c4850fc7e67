"""On which node a task shall run.

Late binding: a task stays with its submitter until some node has a free slot, so no node
collects a backlog while another is idle. A slot is a free worker, plus, while plenty is
pending, one task waiting behind each worker so that it never idles for a round trip.

Order of preference: the node asked for (where the task's data lives) if it has a slot; else
two nodes with slots drawn at random, of which the one with the shorter expected wait
(queued + running + own sends since the report, per worker) wins. Two random choices are
robust against old reports where "least loaded" herds (Mitzenmacher 2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from grid.types import NodeId


@dataclass(slots=True)
class NodeLoad:
    """A node as a submitter sees it.

    `reported` is what it said of its queue and workers, `own_sends` what was sent since.
    """

    node_id: NodeId
    workers: int
    reported: int = 0
    own_in_flight: int = 0
    own_sends: int = 0

    @property
    def expected_wait(self) -> float:
        """Tasks before a new one, per worker."""
        return max(self.reported + self.own_sends, self.own_in_flight) / max(self.workers, 1)

    def has_slot(self, *, is_plenty_pending: bool) -> bool:
        """Whether this submitter may send one more task."""
        window = self.workers * (2 if is_plenty_pending else 1)
        return self.own_in_flight < window


def choose(
    nodes: list[NodeLoad],
    preferred: NodeId | None,
    random: Random,
    *,
    is_plenty_pending: bool,
) -> NodeLoad | None:
    """Return the node for one task, or None when no node has a slot."""
    free = [node for node in nodes if node.has_slot(is_plenty_pending=is_plenty_pending)]
    if not free:
        return None
    for node in free:
        if node.node_id == preferred:
            return node
    candidates = free if len(free) <= 2 else random.sample(free, 2)
    return min(candidates, key=lambda node: node.expected_wait)
