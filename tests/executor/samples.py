"""Nodes, tasks and short ways to look at effects."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from grid.executor.effects import SendToNode, SubmissionEffect
from grid.executor.messages import Outcome, RunTask, TaskEnded
from grid.executor.placement import NodeLoad
from grid.executor.submissions import Submissions, Terms
from grid.types import NODE_ID_BYTES, NodeId

E = TypeVar("E")


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(NODE_ID_BYTES, "big"))


def load(number: int, workers: int = 1, **changes: int) -> NodeLoad:
    made = NodeLoad(node(number), workers)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def submissions(*numbers: int, workers: int = 1) -> Submissions:
    """Return submissions that know nodes of these numbers."""
    result = Submissions(Random(1))
    look(result, *numbers, workers=workers)
    return result


def look(tested: Submissions, *numbers: int, workers: int = 1) -> list[SubmissionEffect]:
    """Let these nodes be all there are."""
    names = {node(number): f"n{number}" for number in numbers}
    return tested.nodes_changed([load(number, workers) for number in numbers], names)


def submit(
    tested: Submissions,
    count: int = 1,
    preferred: NodeId | None = None,
    *,
    is_pinned: bool = False,
    attempts_max: int = 3,
    priority: int = 0,
) -> list[SubmissionEffect]:
    """Submit tasks of equal terms."""
    effects: list[SubmissionEffect] = []
    terms = Terms(preferred, is_pinned, attempts_max, priority=priority)
    for _ in range(count):
        _, news = tested.submit(b"task", terms)
        effects += news
    return effects


def sent(effects: Sequence[object]) -> list[tuple[NodeId, int, int]]:
    """Return (node, task, attempt) of what goes out to be run."""
    found = []
    for effect in of_kind(SendToNode, effects):
        if isinstance(effect.message, RunTask):
            found.append((effect.node_id, effect.message.task, effect.message.attempt))
    return found


def of_kind(kind: type[E], effects: Sequence[object]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def end(
    tested: Submissions,
    number: int,
    task: int,
    attempt: int = 1,
    outcome: Outcome = Outcome.RETURNED,
) -> list[SubmissionEffect]:
    return tested.ended(node(number), TaskEnded(task, attempt, outcome, 1_000_000, b"result"))
