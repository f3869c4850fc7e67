"""Keys: equal in Python means one key on the wire, and nothing else does."""

from __future__ import annotations

import datetime
import enum
import math
import struct
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import KeyTooLargeError, SerializationError
from grid.partition.hashing import partition_of
from grid.types import PARTITION_COUNT
from grid.wire.keys import decode_key, decode_keys, encode_key, encode_keys, quoted

from .samples import THOROUGH

ROOM = 65_536
UTC = datetime.UTC
EAST = datetime.timezone(datetime.timedelta(hours=2))


class Shelf(enum.IntEnum):
    UPPER = 1


class Colour(enum.StrEnum):
    RED = "red"


class OldColour(str, enum.Enum):  # noqa: UP042 - its str() is its name, not its value.
    RED = "red"


class Shout(str):
    __slots__ = ()


class Raw(bytes):
    __slots__ = ()


class AnyCase(str):
    """A text with an idea of equality of its own."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


class Point(NamedTuple):
    x: int
    y: int


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def at(*args: int, zone: datetime.tzinfo = UTC) -> datetime.datetime:
    return datetime.datetime(*args, tzinfo=zone)  # type: ignore[misc, arg-type]


def naive(*args: int) -> datetime.datetime:
    return datetime.datetime(*args)  # type: ignore[arg-type] # noqa: DTZ001


def nested_tuple(depth: int) -> tuple[Any, ...]:
    key: tuple[Any, ...] = ()
    for _ in range(depth - 1):
        key = (key,)
    return key


EQUAL_KEYS: list[tuple[Any, ...]] = [
    (1, True, 1.0, Shelf.UPPER, np.int8(1), np.uint64(1), np.float32(1), Decimal("1.0")),
    (0, False, 0.0, -0.0, np.float64(-0.0), Decimal("-0"), Fraction(0)),
    (-7, -7.0, np.int64(-7), Fraction(-14, 2)),
    (0.5, np.float64(0.5), np.float16(0.5), Decimal("0.5"), Fraction(1, 2), np.longdouble(0.5)),
    (2**63, float(2**63), np.uint64(2**63)),
    (2**64 - 1, np.uint64(2**64 - 1), Decimal(2**64 - 1)),
    (2**64, float(2**64)),
    (-(2**63), -float(2**63), np.int64(-(2**63))),
    (-(2**64), -float(2**64)),
    (2**70, float(2**70), Fraction(2**70), Decimal(2**70)),
    (2**70 + 1, Fraction(2**70 + 1), Decimal(2**70 + 1)),
    (10**400, Fraction(10**400), Decimal("1e400")),
    (1e300, int(1e300), Decimal(int(1e300))),
    (math.inf, Decimal("inf"), np.float32("inf")),
    ("red", Colour.RED, OldColour.RED, np.str_("red"), Shout("red")),
    (b"a", Raw(b"a"), np.bytes_(b"a")),
    ((1, "a"), (True, Shout("a")), (1.0, "a"), (np.int16(1), "a")),
    ((0, (2**70, None)), (-0.0, (float(2**70), None))),
    ((False,), (0,)),
    (at(2024, 7, 1, 12), at(2024, 7, 1, 14, zone=EAST)),
    (naive(2024, 7, 1), naive(2024, 7, 1).replace(fold=1)),
    (UUID(int=7), UUID("00000000-0000-0000-0000-000000000007")),
    ((at(2024, 7, 1, 12), 1), (at(2024, 7, 1, 14, zone=EAST), True)),
]

DIFFERENT_KEYS: list[Any] = [
    *("a", b"a", ("a",), (b"a",), (("a",),), "", b"", (), ((),), None, "None"),
    *(0, "0", b"0", 1, -1, 0.5, 1.5, 2**70, -(2**70), 2**64, -(2**64), 0.1, np.float32(0.1)),
    *(math.inf, -math.inf, (1, 2), (2, 1), ((1,), 2), (1, (2,)), "m\x01", b"m\x01"),
    *("\xff", b"\xff", "\xfe\x01", b"\xfe\x01", b"\x01", "\x00", ("\x00",)),
    *(naive(2024, 7, 1), at(2024, 7, 1), at(2024, 7, 1, zone=EAST), datetime.date(2024, 7, 1)),
    *(naive(2024, 7, 1, 0, 0, 0, 1), "2024-07-01", datetime.date(2024, 7, 2), 1_719_792_000),
    *(UUID(int=7), UUID(int=7).bytes, UUID(int=7).hex, str(UUID(int=7)), UUID(int=8), 7),
]


@pytest.mark.parametrize("keys", EQUAL_KEYS, ids=lambda keys: repr(keys[0])[:20])
def test_keys_equal_in_python_are_one_key(keys: tuple[Any, ...]):
    assert len(set(keys)) == 1, "the table of this test"
    assert len({encode_key(key, ROOM) for key in keys}) == 1


def test_different_keys_have_different_bytes():
    assert len(set(DIFFERENT_KEYS)) == len(DIFFERENT_KEYS), "the table of this test"
    encoded = [encode_key(key, ROOM)[1] for key in DIFFERENT_KEYS]
    assert len(set(encoded)) == len(DIFFERENT_KEYS)


def test_a_text_is_stored_as_its_utf8_and_other_kinds_start_with_what_utf8_never_has():
    assert encode_key("José", ROOM)[1] == "José".encode()
    assert encode_key(b"Jos\xe9", ROOM)[1] == b"\xffJos\xe9"
    assert encode_key(7, ROOM)[1] == b"\xfe\x07"
    for key in DIFFERENT_KEYS:
        is_text = isinstance(key, str)
        assert is_text == (encode_key(key, ROOM)[1][:1] not in (b"\xff", b"\xfe"))


@pytest.mark.parametrize("key", [True, 1.0, -0.0, float(2**70), Shelf.UPPER, Decimal(2**70)])
def test_a_whole_number_comes_back_as_the_int(key: Any):
    result = decode_key(encode_key(key, ROOM)[1])
    assert type(result) is int
    assert result == key


@pytest.mark.parametrize("key", [np.float64(1.5), np.float32(0.1), Fraction(1, 4), Decimal("0.5")])
def test_any_other_number_comes_back_as_the_float(key: Any):
    result = decode_key(encode_key(key, ROOM)[1])
    assert type(result) is float
    assert result == float(key)


@pytest.mark.parametrize(
    "key",
    [
        *("José", "", "\x00", b"\xff\x00", b"", None, 7, 2.5, -(2**70), math.inf, ()),
        (1, ("a", b"b", (None,)), 2**70, UUID(int=9)),
        *(naive(2024, 2, 29, 1, 2, 3, 4), naive(1, 1, 1), naive(1066, 10, 14)),
        *(at(1, 1, 1), at(9999, 12, 31, 23, 59, 59, 999_999), naive(9999, 12, 31)),
        *(datetime.date(2024, 2, 29), datetime.date.min, datetime.date.max),
        UUID("5f0c3a2e-8d7b-4d0e-9a51-0123456789ab"),
    ],
    ids=repr,
)
def test_a_key_comes_back_with_its_type(key: object):
    result = decode_key(encode_key(key, ROOM)[1])
    assert result == key
    assert type(result) is type(key)


@pytest.mark.parametrize("key", [Colour.RED, Raw(b"red"), (Colour.RED,)])
def test_a_subclass_comes_back_as_the_plain_value_it_equals(key: Any):
    result = decode_key(encode_key(key, ROOM)[1])
    assert result == key
    assert type(result[0] if isinstance(key, tuple) else result) in (str, bytes)


def test_nan_is_one_key_whatever_its_bits():
    others = [-math.nan, struct.unpack("<d", b"\x01\0\0\0\0\0\xf8\x7f")[0], np.float32("nan")]
    others += [Decimal("nan"), float("nan")]
    assert {encode_key(key, ROOM) for key in others} == {encode_key(math.nan, ROOM)}
    assert len({encode_key((key,), ROOM) for key in others}) == 1
    assert math.isnan(decode_key(encode_key(math.nan, ROOM)[1]))


@pytest.mark.parametrize(
    "key",
    [
        *(["a"], {"a": 1}, {1}, frozenset({1}), bytearray(b"a"), memoryview(b"a"), 1j, len),
        *(Point(1, 2), (1, ["a"]), ((1, {}),), np.bool_(True), np.datetime64("2024-01-01")),
        *(datetime.time(1), datetime.timedelta(1), pd.Timestamp("2024-01-01"), pd.NaT),
    ],
    ids=lambda key: type(key).__name__,
)
def test_other_types_are_refused_with_a_list_of_what_is_allowed(key: object):
    with pytest.raises(SerializationError, match=r"a \w+ cannot be a key; allowed: str, bytes"):
        encode_key(key, ROOM)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (Decimal("0.1"), "this Decimal equals no plain value"),
        (Fraction(1, 3), "this Fraction equals no plain value"),
        ((1, Decimal("0.1")), r"this Decimal equals .* \(the key \(1, Decimal\('0\.1'\)\)\)"),
        (Decimal("1e999999999"), "this Decimal cannot be a key: it has more than 10,000 digits"),
        (Decimal("sNaN"), "this Decimal cannot be a key"),
        (np.timedelta64(1, "s"), "this timedelta64 cannot be a key"),
        (AnyCase("RED"), "this AnyCase equals no plain value"),
    ],
    ids=repr,
)
def test_what_equals_no_plain_value_exactly_is_refused(key: object, reason: str):
    with pytest.raises(SerializationError, match=reason):
        encode_key(key, ROOM)


@pytest.mark.parametrize("key", ["\ud800", ("a", "\ud800"), Shout("\ud800")])
def test_a_lone_surrogate_cannot_be_a_key(key: object):
    with pytest.raises(SerializationError, match=r"the key .*ud800.* is no valid Unicode"):
        encode_key(key, ROOM)
    with pytest.raises(SerializationError, match="is no valid Unicode"):
        encode_keys(["fine", key], ROOM)


@pytest.mark.parametrize("key", ["a" * 100, b"a" * 99, (b"a" * 96,), Shout("a" * 100)])
def test_a_key_of_exactly_the_limit_passes_and_one_byte_more_is_refused(key: Any):
    assert len(encode_key(key, 100)[1]) == 100
    assert encode_keys(["b", key], 100)[1][1] == encode_key(key, 100)[1]
    longer = (key[0] + b"a",) if isinstance(key, tuple) else type(key)(key + key[:1])
    reason = r"the key .*aaa.* takes 101 bytes; at most 100 are allowed \(storage\.key_bytes_max\)"
    for refused in (lambda: encode_key(longer, 100), lambda: encode_keys(["b", longer], 100)):
        with pytest.raises(KeyTooLargeError, match=reason):
            refused()


def test_a_huge_int_and_a_deep_tuple_are_refused_in_a_sentence():
    with pytest.raises(KeyTooLargeError, match=r"the key <int> \(int\) takes 70,008 bytes"):
        encode_key(1 << 560_000, ROOM)
    assert decode_key(encode_key(nested_tuple(32), ROOM)[1]) == nested_tuple(32)
    for depth in (33, 100_000):
        with pytest.raises(SerializationError, match="nested too deeply"):
            encode_key(nested_tuple(depth), ROOM)


@pytest.mark.parametrize("key", ["é" * 10**6, b"\xff" * 10**6, 10**4000, (1,) * 10**6, Mute()])
def test_a_long_key_is_quoted_in_part_only(key: object):
    assert len(quoted(key)) <= 60


def test_a_short_key_is_quoted_as_it_is():
    assert quoted(("user", 7)) == "('user', 7)"


def test_the_partition_is_that_of_redis_for_texts_and_bytes():
    # CRC16 (XMODEM) of the digits 1 to 9 is 0x31C3: the check value of the algorithm.
    expected = (0x31C3 & 0x3FFF) >> 6
    assert encode_key("123456789", ROOM)[0] == expected
    assert encode_key(b"123456789", ROOM)[0] == expected
    assert encode_key(7, ROOM)[0] == partition_of(b"\x07")


def test_keys_with_one_hash_tag_live_together_one_by_one_and_in_batches():
    keys = [f"{{user7}}.{part}" for part in range(50)]
    home = encode_key("user7", ROOM)[0]
    assert {encode_key(key, ROOM)[0] for key in keys} == set(encode_keys(keys, ROOM)[0]) == {home}
    assert len(set(encode_keys([key.strip("{") for key in keys], ROOM)[0])) > 1


def test_an_empty_batch_is_empty():
    assert encode_keys([], ROOM) == ([], [])
    assert decode_keys([]) == []


def test_a_batch_may_be_longer_than_any_one_key():
    keys = [f"key-{number}" for number in range(100)]
    assert encode_keys(keys, 16)[1] == [key.encode() for key in keys]


NUMBERS: list[Any] = [-1, 0, 1, 2, True, False, 1.0, -0.0, 0.5, 2.0]
NUMBERS += [2**63, 2**64, float(2**64), 2**70, float(2**70), -(2**70), math.inf]
NUMBERS += [Fraction(1, 2), Decimal("0.5"), Decimal(2), np.int32(2), np.float32(0.5)]
TIMES: list[Any] = [at(2024, 7, 1, 12), at(2024, 7, 1, 14, zone=EAST), naive(2024, 7, 1, 12)]
TIMES += [datetime.date(2024, 7, 1), naive(2024, 7, 1), UUID(int=1)]
SMALL_KEYS = st.recursive(
    st.sampled_from([*NUMBERS, *TIMES, "", "a", b"", b"a", "1", None, Shout("a"), Colour.RED]),
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
        st.datetimes(),
        st.datetimes(timezones=st.just(UTC)),
        st.dates(),
        st.uuids(),
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)
TEXTS = st.text(st.sampled_from("ab{}é\x00"), max_size=6)


@given(SMALL_KEYS, SMALL_KEYS)
@THOROUGH
def test_two_keys_are_equal_exactly_when_their_bytes_are(left: object, right: object):
    are_one_key = len({left, right}) == 1
    assert are_one_key == (encode_key(left, ROOM) == encode_key(right, ROOM))
    assert are_one_key == (encode_key(left, ROOM)[1] == encode_key(right, ROOM)[1])


@given(KEYS)
@THOROUGH
def test_every_key_comes_back_equal_and_has_a_partition(key: object):
    partition, data = encode_key(key, ROOM)
    assert 0 <= partition < PARTITION_COUNT
    assert decode_key(data) == key
    assert encode_key(decode_key(data), ROOM) == (partition, data)


@given(st.lists(TEXTS, max_size=8) | st.lists(KEYS, max_size=8) | st.lists(SMALL_KEYS, max_size=8))
@THOROUGH
def test_a_batch_is_the_same_as_its_keys_one_by_one(keys: list[object]):
    partitions, datas = encode_keys(keys, ROOM)
    assert list(zip(partitions, datas, strict=True)) == [encode_key(key, ROOM) for key in keys]
    assert decode_keys(datas) == keys


RANDOM_MSGPACK = st.recursive(
    st.none()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=3)
    # Codes of this module, unknown ones, and the timestamp of msgpack itself.
    | st.builds(msgspec.msgpack.Ext, st.integers(-2, 7), st.binary(max_size=12)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@given(
    st.binary(max_size=20)
    | st.binary(max_size=20).map(lambda data: b"\xfe" + data)
    | RANDOM_MSGPACK.map(lambda value: b"\xfe" + msgspec.msgpack.encode(value))
)
@THOROUGH
def test_bytes_that_are_no_key_are_refused_and_any_key_can_be_in_a_dict(data: bytes):
    for decode in (decode_key, lambda data: decode_keys([data])[0]):
        try:
            key = decode(data)
        except SerializationError:
            continue
        hash(key)


@pytest.mark.parametrize(
    "data",
    [b"\xfe", b"\xfe" + b"\x91" * 50_000, b"\xfe\x80", b"\xfd", b"\xfe\xd4\x09\x00", b"a\xff"],
)
@pytest.mark.parametrize("decode", [decode_key, lambda data: decode_keys([b"a", data])])
def test_broken_bytes_are_named(decode: Callable[[bytes], Any], data: bytes):
    with pytest.raises(SerializationError, match="stored bytes are no key: b'"):
        decode(data)
