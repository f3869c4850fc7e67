"""Values come back equal and of the same type, whatever way they travel."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import SerializationError, ValueTooLargeError
from grid.wire.codec import decode_value, dump, encode_value, load

from .samples import THOROUGH

ROOM = 1 << 20
BY_MSGPACK, BY_PICKLE = b"\x01", b"\x02"


class Colour(enum.IntEnum):
    RED = 1


class Shout(str):
    __slots__ = ()


class Refuses:
    def __reduce__(self) -> str:
        raise RuntimeError("I stay here")


@dataclasses.dataclass(frozen=True)
class Book:
    title: str
    pages: int


def nested_list(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def is_same(left: Any, right: Any) -> bool:
    """Whether both are equal with their types at every depth; NaN equals NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(is_same, left, right))
    if isinstance(left, dict):
        return is_same(list(left.items()), list(right.items()))
    if isinstance(left, float):
        both_nan = math.isnan(left) and math.isnan(right)
        return both_nan or (left == right and math.copysign(1, left) == math.copysign(1, right))
    return bool(left == right)


def round_trip(value: Any) -> Any:
    return decode_value(encode_value(value, ROOM))


GOLDEN: dict[str, Any] = {
    "text beyond ASCII": "José",
    "dict with text": {"n": "José"},
    "int of 71 bits": 2**70,
    "negative int of 71 bits": -(2**70),
    "largest unsigned 64": 2**64 - 1,
    "one above unsigned 64": 2**64,
    "smallest signed 64": -(2**63),
    "one below signed 64": -(2**63) - 1,
    "big int inside a list": [1, 2**64],
    "bytes": b"\xff\x00",
    "no bytes": b"",
    "bytes inside a list": [b"\xff", "ff"],
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "float that is whole": 1.0,
    "minus zero": -0.0,
    "not a number": math.nan,
    "infinity": [math.inf, -math.inf],
    "bools and ints and floats": [True, 1, 1.0, False, 0, 0.0],
    "nested lists and dicts": {"a": [1, {"b": [None, {"c": b""}]}], "d": {}},
    "dict with keys of three types": {"a": 1, b"a": 2, 1: 3},
    "dict with a bool key": {True: "yes", 2: "two"},
    "dict with float and tuple keys": {1.5: "x", (1, "a"): "y", None: "z"},
    "dict in its order": {"z": 1, "a": 2, "m": 3},
    "tuple": (1, "a", None),
    "empty tuple": (),
    "tuple inside a list": [(1,), [1]],
    "tuple deep in a dict": {"a": [{"b": (1, 2)}]},
    "set": {1, 2, 3},
    "frozenset": frozenset({"a"}),
    "bytearray": bytearray(b"ab"),
    "datetime": datetime.datetime(2024, 2, 29, 12, 0, 1, 5, tzinfo=datetime.UTC),
    "naive date": datetime.date(2024, 2, 29),
    "dataclass": Book("Rayuela", 635),
    "dataclass inside a list": [Book("Ficciones", 203)],
    "enum": Colour.RED,
    "enum inside a list": [Colour.RED, 1],
    "text subclass": Shout("hey"),
    "text subclass as a dict key": {Shout("hey"): 1},
    "lone surrogate": "\ud800",
    "lone surrogate in a list": ["fine", "\udfff"],
    "lone surrogate as a dict key": {"\ud800": 1},
    "class": Book,
    "builtin function": len,
    "nested beyond the depth of msgpack": nested_list(40),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_value_comes_back_with_its_type(name: str) -> None:
    assert is_same(round_trip(GOLDEN[name]), GOLDEN[name])


@pytest.mark.parametrize("depth", range(12, 20))
def test_depth_at_which_pickle_takes_over_is_not_seen(depth: int) -> None:
    assert round_trip(nested_list(depth)) == nested_list(depth)


def test_what_is_the_same_tells_types_apart() -> None:
    pairs: list[tuple[Any, Any]] = [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ([1], (1,)),
        ("a", Shout("a")),
    ]
    assert not any(is_same(left, right) for left, right in pairs)


def test_array_keeps_its_shape_and_element_type() -> None:
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    result = round_trip(array)
    assert result.dtype == array.dtype
    assert np.array_equal(result, array)


def test_numpy_scalar_stays_one() -> None:
    assert type(round_trip(np.float64(1.5))) is np.float64
    assert type(round_trip([np.float64(1.5)])[0]) is np.float64


def test_lambda_travels_with_what_it_closes_over() -> None:
    step = 3
    assert round_trip(lambda number: number + step)(4) == 7


def test_class_of_main_travels_by_value() -> None:
    source = "class Local:\n    answer = 42\n"
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(source, space)
    local = space["Local"]()
    assert b"answer" in encode_value(local, ROOM), "the class itself is inside"


def test_list_that_holds_itself_comes_back_as_one() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    result = round_trip(loop)
    assert result[0] == 1
    assert result[1] is result


def test_dict_that_holds_itself_comes_back_as_one() -> None:
    loop: dict[str, Any] = {}
    loop["me"] = loop
    result = round_trip(loop)
    assert result["me"] is result


def test_plain_values_go_by_msgpack_and_bytes_as_they_are() -> None:
    assert encode_value(b"\xff\x00", ROOM) == b"\x00\xff\x00"
    assert encode_value({"n": 1}, ROOM)[:1] == BY_MSGPACK
    for value in ((1, 2), 2**70, Colour.RED, {True: 1}):
        assert encode_value(value, ROOM)[:1] == BY_PICKLE


def test_value_of_exactly_the_limit_passes_and_one_byte_more_is_refused() -> None:
    assert len(encode_value(b"x" * 99, 100)) == 100
    with pytest.raises(ValueTooLargeError, match=r"\(bytes\) takes 101 bytes; at most 100"):
        encode_value(b"x" * 100, 100)


@pytest.mark.parametrize("value", ["x" * 200, (1,) * 200, ["x" * 200]])
def test_limit_holds_for_every_way_of_travelling(value: object) -> None:
    with pytest.raises(ValueTooLargeError):
        encode_value(value, 100)


@pytest.mark.parametrize(
    "value", [threading.Lock(), [threading.Lock()], (yes for yes in (True,)), Refuses()]
)
def test_what_cannot_be_pickled_is_the_callers_mistake(value: object) -> None:
    with pytest.raises(SerializationError, match="cannot be sent"):
        encode_value(value, ROOM)


@pytest.mark.parametrize("data", [b"", b"\x03", b"x\x01"])
def test_unknown_tag_is_refused(data: bytes) -> None:
    with pytest.raises(SerializationError, match="unknown tag"):
        decode_value(data)


def test_dump_and_load_undo_each_other() -> None:
    assert load(memoryview(dump((len, (1,), {})))) == (len, (1,), {})


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**66), 2**66),
    st.floats(),
    st.text(max_size=6),
    st.characters(categories=["Cs"]),
    st.binary(max_size=6),
    st.dates(),
)
DICT_KEYS = st.one_of(st.text(max_size=4), st.binary(max_size=4), st.integers(), st.booleans())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(DICT_KEYS, inner, max_size=4),
        st.dictionaries(st.tuples(DICT_KEYS, DICT_KEYS), inner, max_size=2),
    ),
    max_leaves=12,
)


@given(VALUES)
@THOROUGH
def test_every_value_comes_back_equal_with_its_types(value: object) -> None:
    assert is_same(round_trip(value), value)


def test_a_shared_list_stays_one_list_however_often_it_occurs():
    shared: list[object] = []
    for _ in range(15):  # Walked naively, these are 10**15 items.
        shared = [shared] * 10
    back = decode_value(encode_value(shared, 1_000_000))
    assert back[0] is back[9]
