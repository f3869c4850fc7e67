"""Values come back equal and of the same type, whatever way they travel."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
import pickle
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import SerializationError, ValueTooLargeError
from grid.storage.record import added, pack_version
from grid.wire.values import (
    decode_record,
    encode_value,
    encode_values,
    entries_into,
    split_value,
)

from .samples import THOROUGH

ROOM = 1 << 20
VERSION = pack_version(3, 17)
BY_MSGPACK, BY_PICKLE = b"\x01", b"\x02"


class Colour(enum.IntEnum):
    RED = 1


class Shout(str):
    __slots__ = ()


class Refuses:
    def __reduce__(self) -> str:
        raise RuntimeError("I stay here")


class Explodes:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise KeyError('not here')",)


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


def stored(value: Any) -> bytes:
    """Return the record that storage would keep."""
    return VERSION + encode_value(value, ROOM, "key")


def round_trip(value: Any) -> Any:
    return decode_record(stored(value))


GOLDEN: dict[str, Any] = {
    "text": "text",
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
    "aware datetime": datetime.datetime(2024, 2, 29, 12, 0, 1, 5, tzinfo=datetime.UTC),
    "naive datetime": datetime.datetime(2024, 2, 29, 12, 0, 1, 5),  # noqa: DTZ001
    "datetime inside a dict": {"at": datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)},
    "date": datetime.date(2024, 2, 29),
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
def test_a_value_comes_back_with_its_type_from_bytes_and_from_a_view(name: str):
    record = stored(GOLDEN[name])
    assert is_same(decode_record(record), GOLDEN[name])
    assert is_same(decode_record(memoryview(record)), GOLDEN[name])


@pytest.mark.parametrize("depth", range(12, 20))
def test_the_depth_at_which_pickle_takes_over_is_not_seen(depth: int):
    assert round_trip(nested_list(depth)) == nested_list(depth)


def test_what_is_the_same_tells_types_apart():
    pairs: list[tuple[Any, Any]] = [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ([1], (1,)),
        ("a", Shout("a")),
    ]
    assert not any(is_same(left, right) for left, right in pairs)


def test_an_array_keeps_its_shape_and_element_type():
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    result = round_trip(array)
    assert result.dtype == array.dtype
    assert np.array_equal(result, array)


def test_a_numpy_scalar_stays_one():
    assert type(round_trip(np.float64(1.5))) is np.float64
    assert type(round_trip([np.float64(1.5)])[0]) is np.float64


def test_a_table_keeps_its_index_columns_and_types():
    table = pd.DataFrame({"n": [1, 2], "name": ["José", "Ann"]}, index=["a", "b"])
    pd.testing.assert_frame_equal(round_trip(table), table)
    assert type(round_trip(pd.Timestamp("2024-01-01"))) is pd.Timestamp


def test_a_lambda_travels_with_what_it_closes_over():
    step = 3
    assert round_trip(lambda number: number + step)(4) == 7


def test_a_class_of_main_travels_by_value():
    source = "class Local:\n    answer = 42\n"
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(source, space)
    local = space["Local"]()
    assert b"answer" in encode_value(local, ROOM, "key"), "the class itself is inside"


def test_a_container_that_holds_itself_comes_back_as_one():
    loop: list[Any] = [1]
    loop.append(loop)
    assert (result := round_trip(loop))[1] is result
    around: dict[str, Any] = {}
    around["me"] = around
    assert (back := round_trip(around))["me"] is back


def test_a_shared_list_stays_one_list_however_often_it_occurs():
    shared: list[object] = []
    for _ in range(15):  # Walked naively, these are 10**15 items.
        shared = [shared] * 10
    back = round_trip(shared)
    assert back[0] is back[9]


def test_plain_values_go_by_msgpack_and_bytes_as_they_are():
    assert encode_value(b"\xff\x00", ROOM, "key") == b"\x00\xff\x00"
    assert encode_value({"n": 1}, ROOM, "key")[:1] == BY_MSGPACK
    for value in ((1, 2), 2**70, Colour.RED, {True: 1}):
        assert encode_value(value, ROOM, "key")[:1] == BY_PICKLE


def test_storage_can_count_with_a_number_as_it_is_encoded():
    assert added(stored(41), 1) == encode_value(42, ROOM, "key")
    assert added(stored(0.5), 1) == encode_value(1.5, ROOM, "key")
    assert added(stored("41"), 1) is None


@pytest.mark.parametrize("value", [b"\xff\x00", "José", (1, 2)])
def test_a_value_in_two_parts_is_the_same_value(value: object):
    tag, payload = split_value(value, ROOM, "key")
    assert tag + payload == encode_value(value, ROOM, "key")


def test_the_payload_of_bytes_is_the_object_itself():
    value = bytes(1000)
    assert split_value(value, ROOM, "key")[1] is value


def test_what_is_decoded_from_a_view_does_not_hold_on_to_it():
    for value in (b"\xff\x00", [b"raw", "text"], (b"raw", np.arange(3))):
        buffer = bytearray(stored(value))
        with memoryview(buffer) as view:
            result = decode_record(view)
        buffer.clear()  # Fails with a BufferError while anything refers to it.
        assert type(result) is type(value)
        assert repr(result) == repr(value)


def test_a_value_of_exactly_the_limit_passes_and_one_byte_more_is_refused():
    reason = (
        r"the value of \('user', 7\) \(bytes\) takes 101 bytes; "
        r"at most 100 are allowed \(storage\.value_bytes_max\)"
    )
    key = ("user", 7)
    assert len(encode_value(b"x" * 99, 100, key)) == 100
    assert len(encode_values([b"x" * 99], 100, [key])[0]) == 100
    for refused in (
        lambda: encode_value(b"x" * 100, 100, key),
        lambda: split_value(b"x" * 100, 100, key),
        lambda: encode_values([b"x", b"x" * 100], 100, ["a", key]),
    ):
        with pytest.raises(ValueTooLargeError, match=reason):
            refused()


@pytest.mark.parametrize("value", ["x" * 200, (1,) * 200, ["x" * 200]])
def test_the_limit_holds_for_every_way_of_travelling(value: object):
    with pytest.raises(ValueTooLargeError, match=f"'ann' .{type(value).__name__}. takes "):
        encode_value(value, 100, "ann")


@pytest.mark.parametrize(
    "value", [threading.Lock(), [threading.Lock()], (yes for yes in (True,)), Refuses()]
)
def test_what_cannot_be_pickled_is_the_callers_mistake(value: object):
    kind = type(value).__name__
    with pytest.raises(SerializationError, match=f"the value of 'ann': a {kind} cannot be sent: "):
        encode_value(value, ROOM, "ann")
    with pytest.raises(SerializationError, match="the value of 'ann': "):
        encode_values([b"", value], ROOM, ["bob", "ann"])


@pytest.mark.parametrize("data", [b"\x03", b"x\x01", b"\xff"])
def test_an_unknown_tag_is_refused(data: bytes):
    with pytest.raises(SerializationError, match=f"unknown tag {data[0]}"):
        decode_record(VERSION + data)


@pytest.mark.parametrize("record", [b"", b"\x00", VERSION])
def test_a_record_without_a_value_is_refused(record: bytes):
    with pytest.raises(SerializationError, match=f"a record of {len(record)} bytes has no value"):
        decode_record(record)
    with pytest.raises(SerializationError, match="has no value"):
        entries_into({}, ["a", "b"], [stored(b"fine"), record])


def test_a_value_whose_module_is_missing_here_says_so_and_keeps_the_cause():
    data = pickle.dumps(Book("Rayuela", 635)).replace(b"test_values", b"text_values")
    with pytest.raises(SerializationError, match=r"\(ModuleNotFoundError: .*importable") as caught:
        decode_record(VERSION + BY_PICKLE + data)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_whatever_a_class_raises_while_loading_is_said_as_the_cause():
    with pytest.raises(SerializationError, match="KeyError: 'not here'"):
        round_trip(Explodes())


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**66), 2**66),
    st.floats(),
    st.text(max_size=6),
    st.characters(categories=["Cs"]),
    st.binary(max_size=6),
    st.dates(),
    st.datetimes(),
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
def test_every_value_comes_back_equal_with_its_types(value: object):
    assert is_same(round_trip(value), value)


@given(st.lists(st.binary(max_size=9), max_size=5) | st.lists(VALUES, max_size=5))
@THOROUGH
def test_a_batch_is_the_same_as_its_values_one_by_one(values: list[object]):
    keys = list(range(len(values)))
    encoded = encode_values(values, ROOM, keys)
    assert encoded == [encode_value(value, ROOM, "key") for value in values]
    records: list[bytes | memoryview | None] = [VERSION + data for data in encoded]
    expected = dict(zip(keys, values, strict=True))
    assert is_same(entries_of(keys, records), expected)
    as_views = [memoryview(VERSION + data) for data in encoded]
    assert is_same(entries_of(keys, as_views), expected)


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_what_is_not_there_is_no_entry(kind: type[bytes] | type[memoryview]):
    records = [kind(stored(b"1")), None, stored(3), None]
    assert entries_of(["a", "b", "c", "d"], records) == {"a": b"1", "c": 3}


def test_keys_and_records_that_do_not_fit_together_are_a_mistake():
    with pytest.raises(ValueError, match="2 keys and 1 records"):
        entries_into({}, ["a", "b"], [stored(1)])
    with pytest.raises(ValueError, match="shorter"):
        encode_values(["a", "b"], ROOM, ["a"])


@given(st.binary(max_size=30), st.booleans())
@THOROUGH
def test_random_bytes_are_a_value_or_refused(data: bytes, is_view: bool):
    if data[:1] == BY_PICKLE:  # May do anything: only from an authenticated connection.
        return
    for value in (data, BY_MSGPACK + data, BY_MSGPACK + b"\x91" * 2000 + data):
        record = VERSION + value
        try:
            decode_record(memoryview(record) if is_view else record)
        except SerializationError:
            continue


def entries_of(keys: Any, records: Any) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    entries_into(result, keys, records)
    return result
