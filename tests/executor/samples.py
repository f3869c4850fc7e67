"""Nodes, tasks and short ways to look at effects."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from grid.executor.options import ExecutorOptions
from grid.executor.placement import NodeLoad
from grid.executor.submissions import SendTask, SubmissionEffect, Submissions
from grid.types import NODE_ID_BYTES, NodeId

E = TypeVar("E")


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(NODE_ID_BYTES, "big"))


def load(number: int, workers: int = 1, **changes: int) -> NodeLoad:
    return NodeLoad(node(number), workers, **changes)


def submissions(*numbers: int, workers: int = 1, attempts_max: int = 3) -> Submissions:
    """Return submissions that know nodes of these numbers."""
    result = Submissions(ExecutorOptions(attempts_max=attempts_max), Random(1))
    result.nodes_changed([load(number, workers) for number in numbers])
    return result


def submit(
    tested: Submissions, count: int = 1, preferred: NodeId | None = None
) -> list[SubmissionEffect]:
    """Submit tasks of equal content."""
    effects: list[SubmissionEffect] = []
    for _ in range(count):
        number = tested.next_number()
        effects += tested.submit(number, b"task %d" % number, preferred)
    return effects


def sent(effects: Sequence[object]) -> list[tuple[NodeId, int, int]]:
    """Return (node, task, attempt) of what goes out."""
    return [(e.node_id, e.message.task, e.message.attempt) for e in of_kind(SendTask, effects)]


def of_kind(kind: type[E], effects: Sequence[object]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]
