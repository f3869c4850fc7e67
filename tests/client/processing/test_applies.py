"""The half of `apply` and `apply_many` in the caller: what goes together, what comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from grid import REMOVE, Map, OperationError, OperationTimeoutError
from grid.client.code.roots import pickle_once
from grid.client.processing import entry_processing
from grid.client.processing.applies import ENTRIES_MAX, TASK_S_MAX, WORD_S, Applies, What
from grid.client.processing.means import KILL_AFTER_S, Means
from grid.client.processing.turns import AHEAD_MAX, Turns
from grid.client.processing.waits import Until, Waits
from grid.errors import TaskTimeoutError
from grid.replication.replicator import RESULTS_IDLE_S
from grid.storage.options import StorageOptions
from grid.types import PARTITION_COUNT
from grid.wire.keys import encode_key
from tests.client.fake_tasks import FakeTasks
from tests.client.fakes import DEADLINE_S, FakeCluster, FakeShell, Fault, once

NAME = b"name-of-16-bytes"


def partition_of(key: object) -> int:
    return encode_key(key, 100)[0]


def add(value: int, amount: int = 1) -> int:
    return value + amount


class Caller:
    """A client whose calls are driven by hand."""

    def __init__(self, *, holds: bool = False) -> None:
        self.cluster = FakeCluster()
        self.shell = FakeShell(self.cluster)
        self.users: Map[Any, Any] = self.shell.map()
        self.tasks = FakeTasks(self.cluster, holds=holds)
        self.turns = Turns()
        means = Means(self.shell.core, StorageOptions(), self.tasks, self.turns, NAME)
        self.means = means

    def call(
        self,
        keys: Iterable[Any],
        fn: Callable[..., Any] = add,
        *args: Any,
        timeout_s: float | None = None,
        with_backup: bool = False,
    ) -> Waits[dict[Any, Any]]:
        what = What("m", pickle_once((fn, args)), pickle_once(0), with_backup, timeout_s)
        return Applies(self.means, what).run(keys)

    def run(self, call: Waits[Any], *between: Callable[[], object]) -> Any:
        """Let things happen, one at each wait."""
        happening = iter(between)
        try:
            until = next(call)
            while True:
                next(happening, lambda: None)()
                until = call.send(until.is_over)
        except StopIteration as end:
            return end.value

    def assert_nothing_is_under_way(self) -> None:
        for partition_id in range(PARTITION_COUNT):
            turns = [self.turns.take(partition_id) for _ in range(AHEAD_MAX)]
            assert all(turn.done() for turn in turns)


@pytest.fixture
def caller() -> Iterator[Caller]:
    """One whose tasks run at once; in the end it must have returned every number."""
    made = Caller()
    yield made
    made.assert_nothing_is_under_way()


@pytest.fixture
def holding() -> Iterator[Caller]:
    """The same, with tasks that run when they are told to."""
    made = Caller(holds=True)
    yield made
    made.assert_nothing_is_under_way()


def test_each_key_is_applied_once_and_its_new_value_returned(caller: Caller):
    assert caller.run(caller.call(["a", "b", "a"])) == {"a": 1, "b": 1}
    assert caller.run(caller.call(["b", "a"], add, 10)) == {"b": 11, "a": 11}
    removed = caller.run(caller.call(["a"], lambda value: REMOVE))
    assert removed == {"a": None}
    assert dict(caller.users.items()) == {"b": 11}
    assert caller.run(caller.call([])) == {}


def test_keys_of_one_node_go_together_to_that_node(caller: Caller):
    keys = list(range(1000))
    values = caller.run(caller.call(keys))
    assert list(values) == keys
    assert set(values.values()) == {1}
    assert len(caller.tasks.sent) <= 2 * (1 + 500 // ENTRIES_MAX) + 2
    assert dict(caller.users.items()) == dict.fromkeys(keys, 1)


def test_many_keys_of_one_partition_wait_for_each_other(caller: Caller):
    keys = [f"{{tag}}{number}" for number in range(200)]
    assert caller.run(caller.call(iter(keys))) == dict.fromkeys(keys, 1)
    assert caller.run(caller.call(keys)) == dict.fromkeys(keys, 2)


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_task_that_dies_with_its_answer_has_counted_once(caller: Caller, deaths: int):
    caller.tasks.deaths = deaths
    keys = [f"{{tag}}{number}" for number in range(AHEAD_MAX)]
    assert caller.run(caller.call(keys)) == dict.fromkeys(keys, 1)
    assert caller.tasks.retried_count == deaths


def test_what_a_task_gives_back_goes_on_under_its_number(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(entry_processing, "RESULT_BYTES", 1)
    keys = [f"{{tag}}{number}" for number in range(5)]
    assert caller.run(caller.call(keys)) == dict.fromkeys(keys, 1)
    assert len(caller.tasks.sent) == 5
    results = [held.results.clients.get(NAME) for held in held_by(caller.cluster)]
    assert [known.results.keys() for known in results if known] == [{1, 2, 3, 4, 5}]


def held_by(cluster: FakeCluster) -> list[Any]:
    return [held for store in cluster.stores.values() for held in store.partitions.by_id.values()]


def test_with_the_first_exception_no_more_is_begun(caller: Caller):
    keys = [f"{{tag}}{number}" for number in range(3 * AHEAD_MAX)]
    caller.users[keys[AHEAD_MAX + 1]] = "text"
    with pytest.raises(TypeError):
        caller.run(caller.call(keys))
    assert 1 <= Counter(caller.users.values())[1] < 2 * AHEAD_MAX


def test_an_exception_is_raised_when_what_was_begun_has_ended(holding: Caller):
    owner_of = holding.users.owner_of
    elsewhere = next(key for key in range(100) if owner_of(key) != owner_of("a"))
    call = holding.call(["a", elsewhere], lambda value: 1 // 0)
    next(call)
    assert len(holding.tasks.waiting) == 2
    first, second = list(holding.tasks.waiting)
    holding.tasks.run_one()
    del holding.tasks.waiting[second]  # It runs, so it cannot be cancelled.
    until = call.send(True)
    assert until.futures == [second]
    assert until.all
    second.become_done([None])
    with pytest.raises(ZeroDivisionError):
        call.send(True)
    assert first.done()


def test_each_task_has_the_usual_deadline_and_none_more_than_a_minute(caller: Caller):
    caller.run(caller.call(["a"]))
    caller.run(caller.call(["a"], timeout_s=2.0))
    caller.run(caller.call(["a"], timeout_s=3600.0))
    assert [timeout_s for _, timeout_s in caller.tasks.sent] == [
        DEADLINE_S + KILL_AFTER_S,
        2.0 + KILL_AFTER_S,
        TASK_S_MAX + KILL_AFTER_S,
    ]


def test_nobody_waits_longer_for_a_task_than_it_may_take(holding: Caller):
    call = holding.call(["a"], timeout_s=3600.0)
    until = next(call)
    assert until.timeout_s == TASK_S_MAX
    call.send(False)
    with pytest.raises(OperationTimeoutError, match="a task has 60 s, whatever the timeout"):
        call.send(True)


def test_the_word_of_the_nodes_is_waited_for_much_less_than_a_timeout_of_a_second():
    assert WORD_S <= 0.2


def test_results_are_known_much_longer_than_a_task_takes():
    assert RESULTS_IDLE_S >= 2 * TASK_S_MAX


# -- late -----------------------------------------------------------------------------------------


def test_what_has_not_started_in_time_is_cancelled_and_not_applied(holding: Caller):
    with pytest.raises(OperationTimeoutError, match="no worker was free") as raised:
        holding.run(holding.call(["a"]))
    assert raised.value.outcome == "not_applied"
    assert not holding.tasks.waiting
    assert "a" not in holding.users


def test_what_was_retried_may_have_been_applied(holding: Caller):
    with pytest.raises(OperationTimeoutError) as raised:
        holding.run(holding.call(["a"]), lambda: setattr(holding.tasks, "retried_count", 1))
    assert raised.value.outcome == "unknown"


def test_what_ends_while_its_word_is_waited_for_counts(holding: Caller):
    call = holding.call(["a"])
    next(call)
    running = dict(holding.tasks.waiting)
    holding.tasks.waiting.clear()  # It runs, so it cannot be cancelled.
    until = call.send(False)
    assert until.timeout_s == WORD_S
    holding.tasks.waiting.update(running)
    holding.tasks.run_one()
    with pytest.raises(StopIteration) as end:
        call.send(True)
    assert end.value.value == {"a": 1}


def test_what_runs_on_is_unknown_and_keeps_its_number(holding: Caller):
    call = holding.call(["a"], timeout_s=1.0)
    (future,) = next(call).futures
    del holding.tasks.waiting[future]  # type: ignore[arg-type]  # It runs.
    call.send(False)
    with pytest.raises(OperationTimeoutError, match="still running") as raised:
        call.send(False)
    assert raised.value.outcome == "unknown"
    older = holding.turns.take(partition_of("a"))
    assert older.result(0) == 2
    turns = [holding.turns.take(partition_of("a")) for _ in range(AHEAD_MAX)]
    assert [turn.done() for turn in turns[-2:]] == [False, False]
    future.become_done([None])  # type: ignore[attr-defined]
    assert [turn.done() for turn in turns[-2:]] == [True, False]
    for turn in (older, *turns):
        holding.turns.give_up(partition_of("a"), turn)


def test_a_call_that_is_closed_drops_its_tasks(holding: Caller):
    call = holding.call(["a"])
    next(call)
    call.close()
    assert not holding.tasks.waiting


def test_waiting_for_a_turn_ends_as_well(caller: Caller):
    partition_id = partition_of("a")
    taken = [caller.turns.take(partition_id).result(0) for _ in range(AHEAD_MAX)]
    with pytest.raises(OperationTimeoutError) as raised:
        caller.run(caller.call(["b", "a"]))
    assert raised.value.outcome == "unknown"  # "b" is applied.
    for number in taken:
        caller.turns.give_back(partition_id, number)
    assert "a" not in caller.users


# -- what errors say ------------------------------------------------------------------------------


def test_a_function_that_takes_too_long_leaves_it_unknown(holding: Caller):
    call = holding.call(["a"])
    (future,) = next(call).futures
    del holding.tasks.waiting[future]  # type: ignore[arg-type]
    future.become_failed(TaskTimeoutError("it was ended"))  # type: ignore[attr-defined]
    with pytest.raises(OperationTimeoutError, match="it was ended") as raised:
        call.send(True)
    assert raised.value.outcome == "unknown"


def test_not_applied_is_doubted_after_another_attempt(caller: Caller):
    caller.tasks.worker.meddle = once(Fault.LATE)
    with pytest.raises(OperationTimeoutError) as raised:
        caller.run(caller.call(["a"]))
    assert raised.value.outcome == "not_applied"
    caller.tasks.worker.meddle = once(None, None, Fault.LATE)
    caller.tasks.deaths = 1
    with pytest.raises(OperationTimeoutError, match="may have been written") as raised:
        caller.run(caller.call(["a"]))
    assert raised.value.outcome == "unknown"
    assert caller.users["a"] == 1


def test_a_client_that_is_closed_meanwhile_says_so(holding: Caller):
    call = holding.call(["a"])
    (future,) = next(call).futures
    future.drop()  # type: ignore[attr-defined]
    with pytest.raises(OperationError, match="closed") as raised:
        call.send(True)
    assert raised.value.outcome == "not_applied"


def test_an_iterable_that_fails_ends_the_call(caller: Caller):
    def keys() -> Iterator[str]:
        yield "a"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        caller.run(caller.call(keys()))


def test_until_says_what_it_waits_for(holding: Caller):
    call = holding.call(["a"], timeout_s=5.0)
    until = next(call)
    assert isinstance(until, Until)
    assert until.timeout_s == 5.0
    holding.tasks.run_one()
    with pytest.raises(StopIteration):
        call.send(True)
