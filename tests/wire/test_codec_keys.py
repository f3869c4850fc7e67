"""Keys: equal in Python means one key on the wire, and nothing else does."""

from __future__ import annotations

import datetime
import enum
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import KeyTooLargeError, SerializationError
from grid.types import PARTITION_COUNT
from grid.wire.codec import decode_key, encode_key

from .samples import THOROUGH

ROOM = 65_536


class Shelf(enum.IntEnum):
    UPPER = 1


class Shout(str):
    __slots__ = ()


class Point(NamedTuple):
    x: int
    y: int


EQUAL_KEYS: list[tuple[Any, ...]] = [
    (1, True, 1.0, Shelf.UPPER),
    (0, False, 0.0, -0.0),
    (-7, -7.0),
    (2**63, float(2**63)),
    (2**64 - 1,),
    (2**64, float(2**64)),
    (-(2**63), -float(2**63)),
    (-(2**64), -float(2**64)),
    (2**70, float(2**70)),
    (10**300, 10**300),
    (1e300, int(1e300)),
    ((1, "a"), (True, "a"), (1.0, "a")),
    ((0, (2**70, None)), (-0.0, (float(2**70), None))),
    ((False,), (0,)),
]

DIFFERENT_KEYS: list[Any] = [
    "a",
    b"a",
    ("a",),
    (b"a",),
    (("a",),),
    "",
    b"",
    (),
    ((),),
    None,
    "None",
    0,
    "0",
    b"0",
    1,
    -1,
    0.5,
    1.5,
    2**70,
    -(2**70),
    2**64,
    -(2**64),
    float("inf"),
    float("-inf"),
    (1, 2),
    (2, 1),
    ((1,), 2),
    (1, (2,)),
    "m\x01",
    b"m\x01",
]


@pytest.mark.parametrize("keys", EQUAL_KEYS, ids=repr)
def test_keys_equal_in_python_are_one_key(keys: tuple[Any, ...]) -> None:
    assert len(set(keys)) == 1, "the table of this test"
    assert len({encode_key(key, ROOM) for key in keys}) == 1


def test_different_keys_have_different_bytes() -> None:
    encoded = [encode_key(key, ROOM)[1] for key in DIFFERENT_KEYS]
    assert len(set(encoded)) == len(DIFFERENT_KEYS)


@pytest.mark.parametrize("key", [True, 1.0, -0.0, float(2**70), Shelf.UPPER])
def test_number_comes_back_as_the_int(key: float) -> None:
    result = decode_key(encode_key(key, ROOM)[1])
    assert type(result) is int
    assert result == key


@pytest.mark.parametrize(
    "key", ["José", "", b"\xff\x00", None, 7, 2.5, -(2**70), (1, ("a", b"b", (None,)), 2**70)]
)
def test_key_comes_back_with_its_type(key: object) -> None:
    result = decode_key(encode_key(key, ROOM)[1])
    assert result == key
    assert type(result) is type(key)


@pytest.mark.parametrize(
    "key",
    [
        ["a"],
        {"a": 1},
        {1},
        frozenset({1}),
        bytearray(b"a"),
        memoryview(b"a"),
        1j,
        Decimal(1),
        Fraction(1),
        datetime.date(2024, 1, 1),
        Shout("a"),
        Point(1, 2),
        len,
        (1, ["a"]),
        ((1, {}),),
        (Shout("a"),),
    ],
    ids=lambda key: type(key).__name__,
)
def test_other_types_are_refused(key: object) -> None:
    with pytest.raises(SerializationError, match="cannot be a key; allowed: str, bytes"):
        encode_key(key, ROOM)


@pytest.mark.parametrize("key", ["\ud800", ("a", "\ud800")])
def test_lone_surrogate_cannot_be_a_key(key: object) -> None:
    with pytest.raises(SerializationError, match="no valid Unicode"):
        encode_key(key, ROOM)


@pytest.mark.parametrize("key", ["a" * 99, b"a" * 99, (b"a" * 96,)])
def test_key_of_exactly_the_limit_passes_and_one_byte_more_is_refused(key: Any) -> None:
    assert len(encode_key(key, 100)[1]) == 100
    longer = (key[0] + b"a",) if isinstance(key, tuple) else key + key[:1]
    with pytest.raises(KeyTooLargeError, match="takes 101 bytes; at most 100 are allowed"):
        encode_key(longer, 100)


def test_too_large_key_is_quoted_in_part_only() -> None:
    with pytest.raises(KeyTooLargeError) as caught:
        encode_key("a" * 1_000, 100)
    assert len(str(caught.value)) < 200


def test_partition_is_that_of_redis_for_texts_and_bytes() -> None:
    # CRC16 (XMODEM) of the digits 1 to 9 is 0x31C3: the check value of the algorithm.
    expected = (0x31C3 & 0x3FFF) >> 6
    assert encode_key("123456789", ROOM)[0] == expected
    assert encode_key(b"123456789", ROOM)[0] == expected


def test_keys_with_one_hash_tag_live_together() -> None:
    partitions = {encode_key(f"{{user7}}.{part}", ROOM)[0] for part in range(50)}
    assert partitions == {encode_key("user7", ROOM)[0]}
    assert len({encode_key(f"user7.{part}", ROOM)[0] for part in range(50)}) > 1


NUMBERS: list[Any] = [-1, 0, 1, 2, True, False, 1.0, -0.0, 0.5, 2.0]
NUMBERS += [2**63, 2**64, float(2**64), 2**70, float(2**70), -(2**70), float("inf")]
SMALL_KEYS = st.recursive(
    st.sampled_from([*NUMBERS, "", "a", b"", b"a", "1", None]),
    lambda inner: st.lists(inner, max_size=2).map(tuple),
    max_leaves=3,
)
KEYS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**200), 2**200),
        st.floats(allow_nan=False),
        st.text(max_size=8),
        st.binary(max_size=8),
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)


@given(SMALL_KEYS, SMALL_KEYS)
@THOROUGH
def test_two_keys_are_equal_exactly_when_their_bytes_are(left: object, right: object) -> None:
    assert (left == right) == (encode_key(left, ROOM) == encode_key(right, ROOM))


@given(KEYS)
@THOROUGH
def test_every_key_comes_back_equal_and_has_a_partition(key: object) -> None:
    partition, data = encode_key(key, ROOM)
    assert 0 <= partition < PARTITION_COUNT
    assert decode_key(data) == key
    assert encode_key(decode_key(data), ROOM) == (partition, data)


def test_a_huge_int_and_a_deep_tuple_are_refused_as_keys_in_a_sentence():
    with pytest.raises(KeyTooLargeError, match="int"):
        encode_key(1 << 560_000, 65_536)
    deep: tuple[object, ...] = ()
    for _ in range(100_000):
        deep = (deep,)
    with pytest.raises(SerializationError, match="nested too deeply"):
        encode_key(deep, 65_536)


def test_a_float_subclass_is_the_key_of_the_float_it_equals():
    assert encode_key(np.float64(1.5), 100) == encode_key(1.5, 100)
    assert encode_key(np.float64(2.0), 100) == encode_key(2, 100)
