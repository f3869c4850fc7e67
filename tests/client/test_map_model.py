"""A map does what a dict does, whatever happens to its messages.

For each key the test knows what may be stored: one value, or several after a write whose outcome
is unknown. Each answer must fit one of them. So a write that was acknowledged and lost is found,
and one that was applied twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from grid import Map, OperationError, OperationTimeoutError
from grid.types import PARTITION_COUNT

from .fakes import FakeCluster, FakeShell, Fault

GONE = "gone"
KEYS = ["ann", "bob", 0, 1, 2.5, b"raw", None, (1, "x"), "{tag}1", "{tag}2"]
FAULTS = [*Fault]
BREAKS = [Fault.NOT_CONNECTED, Fault.REFUSED, Fault.LOST_BEFORE, Fault.LOST_AFTER]
NOT_REPEATED = {"popitem", "clear"}

Transition = Callable[[Any], tuple[Any, Any]]
"""From what is stored to what is stored then, and the answer."""


def put(value: Any) -> Transition:
    return lambda old: (value, None)


def put_if_absent(value: Any) -> Transition:
    return lambda old: (value, True) if old == GONE else (old, False)


def replace(value: Any) -> Transition:
    return lambda old: (old, False) if old == GONE else (value, True)


def setdefault(value: Any) -> Transition:
    return lambda old: (value, value) if old == GONE else (old, old)


def increment(value: Any) -> Transition:
    return lambda old: (value, value) if old == GONE else (old + value, old + value)


def replace_if_same(value: Any) -> Transition:
    return lambda old: (value, True) if old == value - 1 else (old, False)


def get(_: Any) -> Transition:
    return lambda old: (old, old)


def take(_: Any) -> Transition:
    return lambda old: (GONE, old)


def delete(_: Any) -> Transition:
    return lambda old: (GONE, old != GONE)


class Checked:
    """A map and what is known about it."""

    def __init__(self, users: Map[Any, Any]) -> None:
        self.users = users
        self.possible: dict[Any, set[Any]] = {key: {GONE} for key in KEYS}

    def one(self, key: Any, transition: Transition, operation: Callable[[], Any]) -> None:
        """Carry out an operation on one entry."""
        outcomes = [transition(old) for old in self.possible[key]]
        try:
            answer = operation()
        except OperationError as error:
            if error.outcome == "unknown":
                self.possible[key] |= {new for new, _ in outcomes}
        else:
            self.possible[key] = {new for new, expected in outcomes if expected == answer}
            assert self.possible[key], f"{key!r}: {answer!r} is none of {outcomes}"

    def many(self, news: dict[Any, Any], operation: Callable[[], Any]) -> None:
        """Write many entries, which need not be atomic as a whole."""
        least = sum(GONE not in self.possible[key] for key in news)
        most = sum(self.possible[key] != {GONE} for key in news)
        try:
            count = operation()
        except OperationError:
            for key, new in news.items():
                self.possible[key].add(new)
        else:
            assert count is None or least <= count <= most
            for key, new in news.items():
                self.possible[key] = {new}

    def read(self, keys: list[Any], operation: Callable[[], dict[Any, Any]]) -> None:
        """Read many entries."""
        with suppress(OperationTimeoutError):
            self._fits(keys, operation())

    def _fits(self, keys: list[Any], found: dict[Any, Any]) -> None:
        assert set(found) <= set(keys)
        for key in keys:
            value = found.get(key, GONE)
            assert value in self.possible[key], f"{key!r}: {value!r} of {self.possible[key]}"
            self.possible[key] = {value}

    def popitem(self) -> None:
        try:
            key, value = self.users.popitem()
        except KeyError:
            assert all(GONE in possible for possible in self.possible.values())
            self.possible = {key: {GONE} for key in KEYS}
        except OperationError as error:
            if error.outcome == "unknown":
                for possible in self.possible.values():
                    possible.add(GONE)
        else:
            assert value in self.possible[key]
            self.possible[key] = {GONE}

    def carry_out(self, name: str, key: Any, value: int, keys: list[Any]) -> None:
        users, one = self.users, self.one
        {
            "put": lambda: one(key, put(value), lambda: users.__setitem__(key, value)),
            "put_if_absent": lambda: one(
                key, put_if_absent(value), lambda: users.put_if_absent(key, value)
            ),
            "replace": lambda: one(key, replace(value), lambda: users.replace(key, value)),
            "replace_if_same": lambda: one(
                key, replace_if_same(value), lambda: users.replace_if_same(key, value - 1, value)
            ),
            "setdefault": lambda: one(key, setdefault(value), lambda: users.setdefault(key, value)),
            "increment": lambda: one(key, increment(value), lambda: users.increment(key, value)),
            "get": lambda: one(key, get(value), lambda: users.get(key, GONE)),
            "pop": lambda: one(key, take(value), lambda: users.pop(key, GONE)),
            "delete": lambda: one(key, delete(value), lambda: users.delete(key)),
            "popitem": self.popitem,
            "put_all": lambda: self.many(
                dict.fromkeys(keys, value), lambda: users.put_all(dict.fromkeys(keys, value))
            ),
            "remove_all": lambda: self.many(
                dict.fromkeys(keys, GONE), lambda: users.remove_all(keys)
            ),
            "clear": lambda: self.many(dict.fromkeys(KEYS, GONE), users.clear),
            "get_all": lambda: self.read(keys, lambda: users.get_all(keys)),
            "items": lambda: self.read(KEYS, lambda: dict(iter(users.items()))),
        }[name]()


NAMES = [
    *("put", "put_if_absent", "replace", "replace_if_same", "setdefault", "increment", "get"),
    *("pop", "delete", "popitem", "put_all", "remove_all", "clear", "get_all", "items"),
]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(KEYS),
        st.integers(1, 3),
        st.lists(st.sampled_from(KEYS), unique=True),
    ),
    max_size=30,
)


@given(OPERATIONS)
@settings(max_examples=60, deadline=None)
def test_without_faults_a_map_is_a_dict(operations):
    checked = Checked(FakeShell(FakeCluster()).map())
    for operation in operations:
        checked.carry_out(*operation)
        assert all(len(possible) == 1 for possible in checked.possible.values())
    expected = {key: possible.pop() for key, possible in checked.possible.items()}
    assert checked.users == {key: value for key, value in expected.items() if value != GONE}


@given(OPERATIONS, st.integers(0, 2**32), st.sampled_from([0.05, 0.3, 0.6]))
@settings(max_examples=120, deadline=None)
def test_no_acknowledged_write_is_lost_and_none_is_applied_twice(operations, seed, fault_share):
    random = Random(seed)
    cluster = FakeCluster()

    def meddle(_):
        if random.random() < 0.2:
            cluster.move(random.randrange(PARTITION_COUNT), random.randrange(2))
        return random.choice(FAULTS) if random.random() < fault_share else None

    shell = FakeShell(cluster, meddle)
    checked = Checked(shell.map())
    for operation in operations:
        checked.carry_out(*operation)
    shell.meddle = lambda ask: None
    checked.read(KEYS, lambda: dict(iter(checked.users.items())))


@given(OPERATIONS, st.integers(0, 2**32), st.booleans())
@settings(max_examples=120, deadline=None)
def test_whatever_breaks_a_map_is_a_dict(operations, seed, backup_ack):
    random = Random(seed)
    cluster = FakeCluster()

    def meddle(_):
        if random.random() < 0.2:
            cluster.move(random.randrange(PARTITION_COUNT), random.randrange(2))
        return random.choice(BREAKS) if random.random() < 0.5 else None

    shell = FakeShell(cluster, meddle)
    checked = Checked(shell.map(backup_ack=backup_ack))
    for operation in operations:
        if operation[0] not in NOT_REPEATED:
            checked.carry_out(*operation)
            assert all(len(possible) == 1 for possible in checked.possible.values())
    shell.meddle = lambda ask: None
    checked.read(KEYS, lambda: dict(iter(checked.users.items())))
