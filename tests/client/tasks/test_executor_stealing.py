"""A task that waits on one node of a real cluster while another node has nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.client.current import current_node
from grid.client.session import Grid
from grid.client.tasks.executor import GridExecutor
from grid.client.tasks.futures import TaskFuture
from tests.client.gate import Gate, pass_gate
from tests.processes.nodes import ask_until

DEADLINE_S = 60.0


@pytest.fixture
def second_gate(tmp_path: Path) -> Iterator[Gate]:
    folder = tmp_path / "second"
    folder.mkdir()
    closed = Gate(folder)
    yield closed
    closed.open()


def key_at(pool: GridExecutor, name: str) -> int:
    """Return a key whose tasks run on the node of this name."""
    keys = range(1000)
    return next(k for k in keys if pool.submit_to(current_node, key=k).result(DEADLINE_S) == name)


def occupy(pool: GridExecutor, name: str, gate: Gate) -> TaskFuture[None]:
    """Have the node's only worker wait at the gate."""
    future = pool.submit_to(pass_gate, gate.path, node=name)
    ask_until(future.running)
    return future


@pytest.fixture
def pools(client: Grid) -> Iterator[list[GridExecutor]]:
    """Two submitters; to be asked for before the gates, so that these open first at the end."""
    with client.executor() as first, client.executor() as second:
        yield [first, second]


def test_idle_node_takes_over_what_waits_behind_the_task_of_another_submitter(
    client: Grid, pools: list[GridExecutor], gate: Gate, second_gate: Gate
):
    busy, idle = sorted(node.name for node in client.nodes())
    other, pool = pools
    key = key_at(pool, busy)
    occupy(other, busy, gate)
    soon_over = occupy(other, idle, second_gate)
    waiting = pool.submit_to(current_node, key=key)
    assert not waiting.done()
    second_gate.open()
    soon_over.result(DEADLINE_S)
    assert waiting.result(DEADLINE_S) == idle
    assert pool.retried_count == 0
