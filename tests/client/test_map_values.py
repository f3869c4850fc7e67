"""Values that other grids spoil come back as they were, by every way through a real cluster."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grid import Map
from grid.api import LocalCluster
from grid.client.session import Grid

LARGE = 10_000_000


@dataclasses.dataclass
class Person:
    name: str
    born: datetime.date
    tags: frozenset[str] = frozenset()


GOLDEN: dict[str, Any] = {
    "text": "José",
    "text in a dict": {"n": "José"},
    "beyond 64 bits": 2**70,
    "negative beyond 64 bits": -(2**70),
    "bytes that are no text": b"\xff\x00",
    "empty bytes": b"",
    "none": None,
    "true": True,
    "float": 0.1,
    "infinity": float("inf"),
    "lone surrogate": "\ud800",
    "nested": {"deep": [{"er": [1.5, None, True, {"x": b"y"}]}], "empty": [{}, []]},
    "tuple": (1, (2, "x"), [3, (4,)]),
    "tuple in a dict": {"t": (1, 2)},
    "numbers as keys": {1: "a", 2: "b"},
    "moment": datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
    "moment without zone": datetime.datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001
    "id": uuid.UUID(int=7),
    "set": frozenset({1, "two"}),
    "dataclass": Person("José", datetime.date(1990, 1, 1), frozenset({"a"})),
    "array": np.arange(12.0).reshape(3, 4),
    "table": pd.DataFrame({"n": [1, 2], "name": ["José", None]}),
    "class": Person,
    "large bytes": bytes(range(256)) * (LARGE // 256),
    "large text": "é" * (LARGE // 2),
    "large list": list(range(LARGE // 10)),
    "large array": np.arange(LARGE // 8),
}


def assert_same(found: Any, value: Any) -> None:
    assert type(found) is type(value)
    if isinstance(value, np.ndarray):
        assert found.dtype == value.dtype
        assert np.array_equal(found, value)
        found[0] = 1  # What comes back is one's own, and may be changed.
    elif isinstance(value, pd.DataFrame):
        assert found.equals(value)
    else:
        assert found == value


@pytest.mark.parametrize("name", GOLDEN)
def test_a_value_comes_back_equal_and_of_its_type(users: Map[Any, Any], name: str):
    value = GOLDEN[name]
    users["by put"] = value
    users.put_all({"by put_all": value})
    users.put_if_absent("by put_if_absent", value)
    users.put("with a time to live", value, ttl=1000)
    assert len(users) == 4
    for key in list(users):
        assert_same(users[key], value)
        assert_same(users.get_all([key])[key], value)
    for _, found in users.items():
        assert_same(found, value)
    assert users.replace_if_same("by put", value, "other")
    assert_same(users.setdefault("by put_all", 0), value)
    assert_same(users.pop("by put_all"), value)
    assert users.delete("by put")
    assert_same(users.popitem()[1], value)


def test_a_value_comes_back_equal_and_of_its_type_by_asyncio(
    running_cluster: LocalCluster, users: Map[Any, Any]
):
    async def main() -> None:
        async with running_cluster.aclient() as grid:
            values = grid.map(users.name)
            small = {name: value for name, value in GOLDEN.items() if "large" not in name}
            await values.put_all(small)
            for name, value in GOLDEN.items():
                await values.put((name, "by put"), value)
                assert_same(await values.get((name, "by put")), value)
                assert_same((await values.get_all([(name, "by put")])).popitem()[1], value)
            for name, found in (await values.get_all(small)).items():
                assert_same(found, small[name])
            seen = {key: value async for key, value in values.items()}
            assert set(seen) == {*small, *((name, "by put") for name in GOLDEN)}
            for key, found in seen.items():
                assert_same(found, GOLDEN[key if isinstance(key, str) else key[0]])

    asyncio.run(main())


def test_functions_and_classes_of_a_moment_come_back(users: Map[Any, Any]):
    factor = 3

    class Local:
        answer = 42

    users["function"] = lambda x: x * factor
    users["class"] = Local
    assert users["function"](2) == 6
    assert users["class"].answer == 42
    assert users.get_all(["function"])["function"](3) == 9


def test_not_a_number_comes_back_as_such(users: Map[Any, Any]):
    users["nan"] = float("nan")
    assert str(users["nan"]) == "nan"
    assert users.replace_if_same("nan", float("nan"), 1)


def test_keys_come_back_equal_and_of_their_type(client: Grid, users: Map[Any, Any]):
    keys = ["José", b"\xff\x00", 0, -(2**70), 2.5, None, (1, ("x", b"y")), uuid.UUID(int=1)]
    keys += [datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "", b""]
    users.put_all((key, repr(key)) for key in keys)
    assert {repr(key) for key in users} == {repr(key) for key in keys}
    for key in keys:
        assert users[key] == repr(key)
        assert key in users
    assert users.get_all(keys) == {key: repr(key) for key in keys}


def test_none_is_a_value_like_any_other(users: Map[Any, Any]):
    users["nothing"] = None
    assert "nothing" in users
    assert users.get("nothing", "default") is None
    assert users.setdefault("nothing", 1) is None
    assert users.get_all(["nothing"]) == {"nothing": None}
