"""All that a map can do, in a cluster without processes."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grid import (
    Map,
)
from grid.storage.messages import Increment, Put, PutIf
from tests.client.fakes import FakeCluster, FakeShell


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def shell(cluster: FakeCluster) -> FakeShell:
    return FakeShell(cluster)


@pytest.fixture
def users(shell: FakeShell) -> Map[Any, Any]:
    return shell.map()


def test_one_entry_is_stored_replaced_and_removed(users):
    assert users.get("ann") is None
    assert users.get("ann", 5) == 5
    users.put("ann", 1)
    users["ann"] = 2
    assert users["ann"] == 2
    assert users.delete("ann") is True
    assert users.delete("ann") is False
    assert "ann" not in users


def test_a_missing_key_is_named(users):
    for operation in (users.__getitem__, users.pop, users.__delitem__):
        with pytest.raises(KeyError, match=r"^'ann'$"):
            operation("ann")


def test_conditions_are_checked_where_the_entry_lives(users):
    assert users.replace("ann", 0) is False
    assert users.put_if_absent("ann", 1) is True
    assert users.put_if_absent("ann", 2) is False
    assert users.replace("ann", 3) is True
    assert users["ann"] == 3
    assert users.setdefault("ann", 4) == 3
    assert users.setdefault("bob", 4) == users["bob"] == 4
    assert users.setdefault("none") is None
    assert "none" in users


def test_setdefault_returns_a_large_value_that_is_there(users):
    large = "x" * 100_000
    users["large"] = large
    assert users.setdefault("large", 1) == large
    assert users.put_if_absent("large", 1) is False


def test_pop_returns_the_value_or_the_default(users):
    users["ann"] = None
    assert users.pop("ann", 5) is None
    assert users.pop("ann", 5) == 5
    assert users.pop("ann", None) is None


@pytest.mark.parametrize(
    ("old", "same"),
    [
        (1, True),
        (math.nan, math.nan),
        ((1, [2]), (1, [2])),
        (np.arange(3), np.arange(3)),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]})),
        ("x" * 100_000, "x" * 100_000),
    ],
    ids=["equal", "nan", "tuple", "array", "table", "large"],
)
def test_what_is_the_same_is_replaced_and_removed(users, old: Any, same: Any):
    users["k"] = old
    assert users.replace_if_same("k", same, "new") is True
    assert users["k"] == "new"
    users["k"] = old
    assert users.remove_if_same("k", same) is True
    assert "k" not in users


@pytest.mark.parametrize(
    ("old", "other"),
    [
        (1, 2),
        (np.arange(3), np.arange(1, 4)),
        (np.arange(3), np.arange(4)),
        (np.arange(3), "text"),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]})),
        (pd.DataFrame({"a": [1]}), 5),
    ],
)
def test_what_is_not_the_same_stays(users, old: Any, other: Any):
    users["k"] = old
    assert users.replace_if_same("k", other, "new") is False
    assert users.remove_if_same("k", other) is False
    assert "k" in users
    assert users.replace_if_same("missing", other, "new") is False
    assert users.remove_if_same("missing", other) is False


def test_a_change_between_look_and_write_is_looked_at_again(cluster: FakeCluster):
    other = FakeShell(cluster).map()
    changes = iter([lambda: other.put("k", 1), lambda: other.put("k", 2)])

    def change(ask):
        if isinstance(ask.request, PutIf):
            next(changes)()

    users = FakeShell(cluster, change).map()
    other["k"] = 1
    # Stored anew with an equal value: replaced at the second try. With another one: not.
    assert users.replace_if_same("k", 1, "new") is False
    assert other["k"] == 2


def test_large_values_are_kept_apart_from_their_request(users, shell: FakeShell):
    for size in (65_535, 65_536, 65_537, 300_000):
        value = bytes(size)
        users["raw"], users["text"] = value, "x" * size
        assert users["raw"] == value
        assert users["text"] == "x" * size
    kinds = [type(request) for request in shell.requests]
    assert (kinds.count(Put), kinds.count(PutIf)) == (2, 6)


# -- numbers ------------------------------------------------------------------------------


def test_numbers_are_counted_where_they_live_in_one_message(users, shell: FakeShell):
    assert users.increment("n") == 1
    assert users.increment("n", 10) == 11
    assert users.increment("n", -0.5) == 10.5
    assert users["n"] == 10.5
    assert [type(request) for request in shell.requests[:3]] == [Increment] * 3


@pytest.mark.parametrize(
    ("start", "amount", "total"),
    [
        (2**63, 2**63, 2**64),
        (2**70, 1, 2**70 + 1),
        (1, 2**70, 2**70 + 1),
        (-(2**63), -1, -(2**63) - 1),
        (Decimal("0.1"), Decimal("0.2"), Decimal("0.3")),
        (Decimal(1), 1, Decimal(2)),
        (1, 2j, 1 + 2j),
        (True, 1, 2),
        (1, True, 2),
        (1, math.inf, math.inf),
        ("a", "b", "ab"),
    ],
)
def test_other_numbers_are_counted_as_python_does(users, start: Any, amount: Any, total: Any):
    users["n"] = start
    assert users.increment("n", amount) == total
    assert users["n"] == total
    assert type(users["n"]) is type(total)


def test_a_large_number_may_be_the_first(users):
    assert users.increment("n", 2**70) == 2**70
    assert users.increment("m", Decimal("0.5")) == Decimal("0.5")
    assert math.isnan(users.increment("n", math.nan))


@pytest.mark.parametrize(
    ("value", "amount", "message"),
    [
        ("text", 1, r"increment of 'n': the value is a str, the amount a int \("),
        (None, 1, r"increment of 'n': the value is a NoneType, the amount a int"),
        (1, "1", r"increment of 'n': the value is a int, the amount a str"),
        ({"a": 1}, 2.5, r"increment of 'n': the value is a dict, the amount a float"),
    ],
)
def test_what_is_no_number_is_named_and_stays(users, value: Any, amount: Any, message: str):
    users["n"] = value
    with pytest.raises(TypeError, match=message):
        users.increment("n", amount)
    assert users["n"] == value
    with pytest.raises(TypeError, match="increment of 'new'"):
        users.increment("new", "text")
    assert "new" not in users


def test_counting_by_compare_and_set_loses_no_increment(cluster: FakeCluster):
    other = FakeShell(cluster).map()
    others = iter(range(3))

    def meddle(ask):
        if isinstance(ask.request, PutIf) and next(others, None) is not None:
            other.increment("n", 2**70)

    users = FakeShell(cluster, meddle).map()
    assert users.increment("n", 2**70) == 4 * 2**70
    assert other["n"] == 4 * 2**70


# -- time to live -------------------------------------------------------------------------


def test_an_entry_disappears_when_its_time_is_over(users, cluster: FakeCluster):
    users.put("a", 1, ttl=5)
    users.put_if_absent("b", 1, ttl=0.001)
    users.put_all({"c": 1, "d": 1}, ttl=5)
    users["stays"] = 1
    cluster.now_s += 4.9
    assert set(users.get_all("abcd")) == set("acd")
    users["d"] = 2  # Stored anew: for good.
    cluster.now_s += 0.2
    assert users.get_all("abcd") == {"d": 2}
    assert dict(users.items()) == {"d": 2, "stays": 1}
    assert users.put_if_absent("a", 2) is True
    assert users.replace("c", 2) is False


@pytest.mark.parametrize("ttl", [0, -1, math.nan, math.inf, 1e12])
def test_a_time_to_live_is_a_number_of_seconds_above_zero(users, shell: FakeShell, ttl: float):
    for operation in (
        lambda: users.put("k", 1, ttl=ttl),
        lambda: users.put_if_absent("k", 1, ttl=ttl),
        lambda: users.replace("k", 1, ttl=ttl),
        lambda: users.put_all({"k": 1}, ttl=ttl),
        lambda: users.put_all({}, ttl=ttl),
    ):
        with pytest.raises(ValueError, match="ttl is in seconds and above 0"):
            operation()
    assert shell.requests == []


def test_a_time_to_live_that_is_no_number_is_told(users, shell: FakeShell):
    with pytest.raises(TypeError, match="ttl is a number of seconds, not '60'"):
        users.put("k", 1, ttl="60")
    assert shell.requests == []


def test_counting_leaves_the_time_to_live(users, cluster: FakeCluster):
    users.put("n", 1, ttl=5)
    users.increment("n")
    cluster.now_s += 6
    assert users.increment("n") == 1
