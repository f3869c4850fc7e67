"""`apply`, `apply_many` and `reduce` in a real cluster, by threads and by an event loop."""

from __future__ import annotations

import asyncio
import operator
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grid import REMOVE, AsyncMap, ClosedError, Map, OperationTimeoutError
from grid.api import LocalCluster, local_cluster
from grid.client.processing import applies
from grid.client.session import Grid
from tests.client.gate import Gate, pass_gate
from tests.client.jobs import add_and_die, apply_inside
from tests.processes.nodes import ask_until

DEADLINE_S = 60.0


def test_a_function_is_applied_at_the_entry(users: Map[Any, Any]):
    def with_tag(user: dict[str, Any] | None, tag: str) -> dict[str, Any]:
        return {**(user or {}), tag: True}

    assert users.apply("ann", with_tag, "admin") == {"admin": True}
    assert users.apply("ann", with_tag, "owner") == {"admin": True, "owner": True}
    assert users["ann"] == {"admin": True, "owner": True}
    assert users.apply("ann", lambda user: REMOVE) is None
    assert "ann" not in users


def test_a_timeout_is_that_of_the_call(users: Map[Any, Any]):
    calls: list[Callable[[float], object]] = [
        lambda timeout: users.apply("k", abs, timeout=timeout),
        lambda timeout: users.apply_many(["k"], abs, timeout=timeout),
        lambda timeout: users.reduce(lambda key, value: 1, operator.add, 0, timeout=timeout),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="timeout must be more than 0 seconds"):
            call(0)


def test_many_threads_lose_nothing(users: Map[Any, Any]):
    def count() -> None:
        for _ in range(20):
            users.apply("k", lambda n: n + 1, default=0, timeout=DEADLINE_S)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert users["k"] == 80


def test_a_worker_that_dies_after_its_write_has_applied_once(users: Map[Any, Any], tmp_path: Path):
    users["k"] = 5
    marker = tmp_path / "died"
    assert users.apply("k", add_and_die, marker, timeout=DEADLINE_S) == 6
    assert marker.exists()
    assert users["k"] == 6


def test_thousands_of_keys_are_changed_and_reduced(users: Map[Any, Any]):
    keys = range(2000)
    users.put_all({key: key for key in range(1000)})
    values = users.apply_many(keys, operator.add, 1, default=0)
    assert values == {key: key + 1 if key < 1000 else 1 for key in keys}
    assert dict(users.items()) == values
    plain = sum(value for _, value in users.items())
    assert users.reduce(lambda key, value: value, operator.add) == plain
    assert users.reduce(lambda key, value: key, max, 5000) == 5000


def test_exceptions_come_back_and_the_entry_is_unchanged(users: Map[Any, Any]):
    users["ann"] = 5
    with pytest.raises(ZeroDivisionError) as raised:
        users.apply("ann", lambda value: value // 0)
    notes = "\n".join(raised.value.__notes__)
    assert "in apply to 'ann' of map" in notes
    assert "raised on node" in notes
    assert users["ann"] == 5
    users.clear()
    with pytest.raises(TypeError, match="reduce of the empty map"):
        users.reduce(lambda key, value: 1, operator.add)


def test_a_write_may_wait_for_its_backup(client: Grid, users: Map[Any, Any]):
    client.flush()  # There are backups by then.
    careful: Map[Any, Any] = client.map(users.name, backup_ack=True)
    assert careful.apply("k", lambda n: n + 1, default=0) == 1
    assert users.apply("k", lambda n: n + 1, ack="backup") == 2
    with pytest.raises(ValueError, match="ack is 'backup' or None"):
        users.apply("k", abs, ack="two")  # type: ignore[arg-type]


def test_inside_a_task_it_frees_the_worker_that_it_needs(client: Grid, users: Map[Any, Any]):
    with client.executor() as pool:
        futures = [pool.submit(apply_inside, users.name) for _ in range(4)]
        assert sorted(future.result(DEADLINE_S) for future in futures) == [1, 2, 3, 4]


def test_what_finds_no_worker_in_time_is_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(applies, "WORD_S", DEADLINE_S)  # This machine may be slow to say so.
    gate = Gate(tmp_path)
    # A cluster of its own: the shared one may have more workers than it began with.
    with local_cluster(1, workers=1, storage_processes=1) as cluster, cluster.client() as client:
        users = client.map("late")
        with client.executor() as pool:
            busy = pool.submit(pass_gate, gate.path)
            try:
                ask_until(busy.running)
                with pytest.raises(OperationTimeoutError, match="no worker was free") as raised:
                    users.apply("k", lambda n: n, timeout=0.2)
            finally:
                gate.open()
        assert raised.value.outcome == "not_applied"
        assert users.apply("k", lambda n: 7, timeout=DEADLINE_S) == 7


def test_a_forked_child_has_tasks_of_its_own(users: Map[Any, Any]):
    assert users.apply("k", lambda n: n + 1, default=0) == 1
    child = os.fork()
    if not child:
        try:
            os._exit(0 if users.apply("k", lambda n: n + 1, timeout=DEADLINE_S) == 2 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert users.apply("k", lambda n: n + 1) == 3


def test_a_closed_client_applies_nothing(running_cluster: LocalCluster):
    client = running_cluster.client()
    users = client.map("closed")
    assert users.apply("k", lambda n: 1) == 1
    client.close()
    with pytest.raises(ClosedError, match="closed"):
        users.reduce(lambda key, value: 1, operator.add, 0)
    with pytest.raises(ClosedError, match="closed"):
        users.apply("k", lambda n: 2)


def test_on_an_event_loop_the_same_is_awaited(running_cluster: LocalCluster):
    async def main() -> None:
        async with running_cluster.aclient() as grid:
            users: AsyncMap[Any, Any] = grid.map("at data")
            calls = [users.apply("k", lambda n: n + 1, default=0) for _ in range(50)]
            assert sorted(await asyncio.gather(*calls)) == list(range(1, 51))
            values = await users.apply_many(range(300), operator.add, 7, default=0)
            assert values == dict.fromkeys(range(300), 7)
            assert await users.apply("k", lambda n: REMOVE) is None
            assert await users.reduce(lambda key, value: value, operator.add, 0) == 2100
            with pytest.raises(ZeroDivisionError):
                await users.apply(1, lambda n: n // 0)
            for late in (
                users.apply("k", abs, timeout=0),
                users.apply_many(["k"], abs, timeout=0),
                users.reduce(lambda key, value: 1, operator.add, 0, timeout=0),
            ):
                with pytest.raises(ValueError, match="timeout must be more than 0 seconds"):
                    await late

    asyncio.run(main())
