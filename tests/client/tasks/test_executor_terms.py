"""`submit_to`, cancelling by force, and what is known of a task meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from grid import GridError, PoisonTaskError, TaskTimeoutError, WorkerLostError
from grid.client.current import current_node
from grid.client.session import Grid
from grid.client.tasks.executor import GridExecutor
from grid.wire.keys import encode_key
from tests.client.gate import Gate, pass_gate
from tests.client.jobs import die, fan_out
from tests.processes.nodes import ask_until

DEADLINE_S = 60.0


@pytest.fixture
def pool(client: Grid) -> Iterator[GridExecutor]:
    with client.executor() as executor:
        yield executor


def names_of(client: Grid) -> list[str]:
    return sorted(node.name for node in client.nodes())


def test_named_node_runs_the_task(client: Grid, pool: GridExecutor):
    for name in names_of(client):
        futures = [pool.submit_to(current_node, node=name) for _ in range(5)]
        assert {future.result(DEADLINE_S) for future in futures} == {name}
        assert {future.node for future in futures} == {name}


def test_task_of_a_partition_runs_where_that_lives(client: Grid, pool: GridExecutor):
    users = client.map("near")
    names = {node.id: node.name for node in client.nodes()}
    for key in range(8):
        partition_id, _ = encode_key(key, 100)
        owner = users.owner_of(key)
        assert owner is not None
        future = pool.submit_near(partition_id, current_node, timeout=DEADLINE_S, name="f")
        assert future.result(DEADLINE_S) == names[owner]


def test_unknown_node_is_named_with_those_that_are_there(client: Grid, pool: GridExecutor):
    with pytest.raises(GridError, match=f"no node 'moon'.*{names_of(client)[0]}"):
        pool.submit_to(abs, 1, node="moon")


def test_every_node_runs_it_once(client: Grid, pool: GridExecutor):
    futures = pool.submit_to(current_node, all=True)
    assert sorted(futures) == names_of(client)
    assert {name: future.result(DEADLINE_S) for name, future in futures.items()} == {
        name: name for name in futures
    }


def test_task_without_retries_runs_once_at_most(pool: GridExecutor, tmp_path: Path):
    path = tmp_path / "deaths"
    error = pool.submit_to(die, path, retries=0).exception(DEADLINE_S)
    assert isinstance(error, WorkerLostError)
    assert not isinstance(error, PoisonTaskError)
    assert "was killed by SIGKILL on local-" in str(error)
    assert path.read_text() == "x"


def test_poison_is_given_up_with_the_evidence(pool: GridExecutor, tmp_path: Path):
    path = tmp_path / "deaths"
    error = pool.submit_to(die, path, retries=1).exception(DEADLINE_S)
    assert isinstance(error, PoisonTaskError)
    assert str(error).count("was killed by SIGKILL on local-") == 2
    assert path.read_text() == "xx"


def test_task_that_runs_too_long_is_ended_and_the_worker_replaced(pool: GridExecutor):
    future = pool.submit_to(time.sleep, 3600, timeout=0.1)
    error = future.exception(DEADLINE_S)
    assert isinstance(error, TaskTimeoutError)
    assert pool.retried_count == 0
    assert [pool.submit(abs, -n).result(DEADLINE_S) for n in range(4)] == [0, 1, 2, 3]


def test_time_that_suffices_harms_nothing(pool: GridExecutor):
    assert pool.submit_to(pow, 2, 5, timeout=DEADLINE_S).result(DEADLINE_S) == 32


def test_running_task_is_ended_by_force(pool: GridExecutor, gate: Gate):
    future = pool.submit(pass_gate, gate.path)
    ask_until(future.running)
    assert future.node is not None
    assert not future.cancel()
    assert future.cancel(force=True)
    assert future.cancelled()
    assert future.done()
    with pytest.raises(CancelledError):
        future.result(DEADLINE_S)
    assert pool.submit(abs, -1).result(DEADLINE_S) == 1


def test_highest_priority_starts_first(
    client: Grid, pool: GridExecutor, gate: Gate, tmp_path: Path
):
    name = names_of(client)[0]
    blocked = pool.submit_to(pass_gate, gate.path, node=name)
    ask_until(blocked.running)
    order = tmp_path / "order"

    def note(text: str) -> None:
        with order.open("a") as file:
            file.write(text)

    futures = [pool.submit_to(note, "b", node=name), pool.submit_to(note, "c", node=name)]
    futures.append(pool.submit_to(note, "a", node=name, priority=1))
    gate.open()
    assert [future.result(DEADLINE_S) for future in futures] == [None] * 3
    assert order.read_text().index("a") < order.read_text().index("c")


@pytest.mark.parametrize(
    ("terms", "complaint"),
    [
        ({"retries": -1}, "retries must be a whole number from 0 to 1,000"),
        ({"retries": 1.5}, "retries must be a whole number"),
        ({"timeout": 0}, "timeout must be more than 0 seconds"),
        ({"timeout": float("nan")}, "timeout must be more than 0 seconds"),
        ({"priority": 0.5}, "priority must be a whole number"),
        ({"key": 1, "node": "n"}, "only one of key=, node= and all="),
        ({"node": "n", "all": True}, "only one of key=, node= and all="),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    pool: GridExecutor, terms: dict[str, object], complaint: str
):
    with pytest.raises(ValueError, match=complaint):
        pool.submit_to(abs, 1, **terms)  # type: ignore[call-overload]


def test_tasks_that_wait_for_their_own_tasks_keep_nobody_from_running(pool: GridExecutor):
    """Two workers in all, and a tree of fifteen tasks of which seven wait."""
    futures = [pool.submit(fan_out, 3) for _ in range(2)]
    assert [future.result(DEADLINE_S) for future in futures] == [8, 8]
    assert [pool.submit(abs, -n).result(DEADLINE_S) for n in range(10)] == list(range(10))
