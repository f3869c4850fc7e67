"""One executor for all that the maps of a client have run at their data."""

from __future__ import annotations

import operator
from typing import Any

import pytest

from grid.client.processing.at_data import AtData
from grid.client.processing.waits import run
from grid.storage.options import StorageOptions
from tests.client.fake_tasks import FakeTasks
from tests.client.fakes import FakeCluster, FakeShell


class Client:
    """It counts the executors that it makes."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.shell = FakeShell(self.cluster)
        self.made: list[FakeTasks] = []
        self.at_data = AtData(self.shell.core, StorageOptions(), self.make)

    def make(self) -> FakeTasks:
        self.made.append(FakeTasks(self.cluster))
        return self.made[-1]

    def add(self, amount: int, map_name: str = "m") -> Any:
        return run(
            self.at_data.apply(
                map_name, "k", operator.add, (amount,), default=0, timeout_s=None, with_backup=False
            )
        )


@pytest.fixture
def client() -> Client:
    return Client()


def test_the_executor_is_made_with_the_first_call_and_kept(client: Client):
    assert client.made == []
    assert [client.add(1), client.add(1), client.add(5, "other")] == [1, 2, 5]
    assert len(client.made) == 1


def test_tasks_are_called_by_the_function_of_the_user(client: Client):
    client.add(1)
    call = client.at_data.reduce("m", operator.concat, operator.add, 0, timeout_s=None)
    with pytest.raises(TypeError):  # That was no way to use it.
        run(call)
    first, *others = client.made[0].names
    assert (first, set(others)) == ("add", {"concat"})


def test_after_a_fork_or_when_it_is_over_there_is_another_with_numbers_of_its_own(client: Client):
    assert client.add(1) == 1
    client.at_data.forget()
    assert client.add(1) == 2
    client.made[-1].is_over = True
    assert client.add(1) == 3
    assert len(client.made) == 3


def test_by_default_a_single_apply_ends_with_the_usual_deadline(client: Client):
    client.add(1)
    assert client.made[0].sent[0][1] == pytest.approx(16.0)


def test_an_apply_to_one_entry_has_a_minute_at_most(client: Client):
    call = client.at_data.apply("m", "k", abs, (), default=0, timeout_s=61, with_backup=False)
    with pytest.raises(ValueError, match="timeout must be at most 60 seconds in apply"):
        next(call)
    assert client.made == []


def test_a_timeout_is_checked_before_anything_is_sent(client: Client):
    for call in (
        client.at_data.apply("m", "k", abs, (), default=0, timeout_s=0, with_backup=False),
        client.at_data.reduce("m", pow, operator.add, 0, timeout_s=-1),
    ):
        with pytest.raises(ValueError, match="timeout must be"):
            run(call)
    assert client.made == []


def test_reduce_begins_with_what_is_initial(client: Client):
    def reduced(*initial: Any) -> Any:
        call = client.at_data.reduce(
            "m", lambda key, value: value, operator.add, *initial, timeout_s=None
        )
        return run(call)

    assert reduced(7) == 7
    client.add(5)
    assert reduced(7) == 12
