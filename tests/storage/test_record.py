"""Versions compare as the writes came; what can be counted with, and what cannot."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.storage.record import (
    SEQUENCE_BITS,
    VERSION_BYTES,
    ValueTag,
    added,
    pack_version,
    version_of,
)

STEADY = settings(derandomize=True, deadline=None)

epochs = st.integers(0, 2**23)
sequences = st.integers(0, 2**SEQUENCE_BITS - 1)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)

encode = msgspec.msgpack.encode


def record(value: bytes, version: bytes = bytes(VERSION_BYTES)) -> bytes:
    return version + value


def number_record(number: object) -> bytes:
    return record(bytes((ValueTag.MSGPACK,)) + encode(number))


def number_in(value: bytes | None) -> object:
    assert value is not None
    assert value[0] == ValueTag.MSGPACK
    return msgspec.msgpack.decode(value[1:])


@STEADY
@given(epochs, sequences, epochs, sequences)
def test_versions_compare_as_epochs_then_sequences(
    epoch: int, sequence: int, other_epoch: int, other_sequence: int
) -> None:
    version, other = pack_version(epoch, sequence), pack_version(other_epoch, other_sequence)
    assert len(version) == VERSION_BYTES
    assert (version < other) == ((epoch, sequence) < (other_epoch, other_sequence))
    assert (version == other) == ((epoch, sequence) == (other_epoch, other_sequence))


@STEADY
@given(epochs, epochs, st.integers(0, 2**42), st.integers(1, 2**42))
def test_versions_go_on_increasing_when_the_sequence_outgrows_its_bits(
    epoch: int, later: int, sequence: int, more: int
) -> None:
    first, last = sorted((epoch, later))
    assert pack_version(first, sequence) < pack_version(last, sequence + more)


def test_version_is_the_first_bytes_of_a_record() -> None:
    version = pack_version(3, 7)
    for whole in (record(b"value", version), record(b"", version)):
        assert version_of(whole) == version_of(memoryview(whole)) == version
        assert isinstance(version_of(memoryview(whole)), bytes)


def test_no_entry_has_the_version_that_stands_for_an_absent_one() -> None:
    assert pack_version(0, 0) > b""


@STEADY
@given(numbers, numbers)
def test_sum_is_pythons_unless_msgpack_cannot_hold_it(one: float, other: float) -> None:
    expected = one + other
    value = added(number_record(one), other)
    if isinstance(expected, int) and not -(2**63) <= expected < 2**64:
        assert value is None
    else:
        number = number_in(value)
        assert type(number) is type(expected)
        # Both sums of infinities are no number.
        assert number == expected or (number != number and expected != expected)


@pytest.mark.parametrize("amount", [0, 5, -5, 0.5, 2**64 - 1, -(2**63)])
def test_missing_record_counts_as_zero(amount: float) -> None:
    number = number_in(added(None, amount))
    assert (number, type(number)) == (amount, type(amount))


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63)])
def test_number_at_the_end_of_its_range_is_not_wrapped_around(number: int) -> None:
    step = 1 if number > 0 else -1
    assert added(number_record(number), step) is None
    assert number_in(added(number_record(number), -step)) == number - step


@pytest.mark.parametrize("value", [True, False, None, "5", b"5", [5], {"a": 5}, [[]]])
def test_what_is_no_number_is_not_counted_with(value: object) -> None:
    assert added(number_record(value), 1) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00",
        b"\x00\x05",
        b"\x02\x05",
        b"\x07\x05",
        b"\x01",
        b"\x01\xcd\x01",
        b"\x01\x05\x05",
        b"\x01\xc1",
        b"\x01\xa1\xff",
        b"\x01\xd4\x05\x05",
        b"\x01" + b"\x91" * 100_000,
    ],
    ids=[
        "nothing",
        "only a tag",
        "bytes",
        "pickle",
        "unknown tag",
        "no payload",
        "cut",
        "two numbers",
        "no msgpack",
        "no text",
        "extension",
        "nested",
    ],
)
def test_damaged_and_foreign_values_are_not_counted_with(value: bytes) -> None:
    assert added(record(value), 1) is None
