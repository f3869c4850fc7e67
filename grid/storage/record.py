"""The form of what is stored: one bytes object for each entry, packed version first.

    | version, 8 bytes | tag, 1 byte | payload |
                       '------- value --------'

The version is (epoch << 40) + sequence, big-endian: the epoch of the partition's assignment and
the partition's write counter. Neither ever goes back, so the bytes of two versions compare as the
writes came, and no two writes to a partition have the same. One object instead of a tuple costs
263 instead of 360 bytes for an entry of 16 + 100 bytes.

The value is the client's (``wire/values.py``) and opaque here, but for one tag: what `added` can
count with. Not here: expiry (``expiry.py``), where records are kept (``store.py``).
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

VERSION_BYTES = 8
SEQUENCE_BITS = 40
"""A million writes a second for twelve days, to one partition while it does not move."""


class ValueTag(IntEnum):
    """The first byte of a value: how the rest is to be read."""

    RAW = 0
    """bytes, as they are."""
    MSGPACK = 1
    """What msgpack brings back equal and of the same type."""
    PICKLE = 2
    """Anything else."""


_MSGPACK = bytes((ValueTag.MSGPACK,))
_encode = msgspec.msgpack.Encoder().encode
_decode_number = msgspec.msgpack.Decoder(int | float).decode


def pack_version(epoch: int, sequence: int) -> bytes:
    """Return the version header of a write."""
    return ((epoch << SEQUENCE_BITS) + sequence).to_bytes(VERSION_BYTES, "big")


def version_of(record: bytes | memoryview) -> bytes:
    """Return the version header of a record."""
    return bytes(record[:VERSION_BYTES])


def added(record: bytes | None, amount: int | float) -> bytes | None:
    """Return the value (tag and payload) of a record's number plus `amount`.

    A missing record counts as 0. None: the record is no number that msgpack holds, or the sum
    would not be one (beyond 64 bits); then the client has to do it by compare-and-set.
    """
    number: int | float = 0
    if record is not None:
        if record[VERSION_BYTES : VERSION_BYTES + 1] != _MSGPACK:
            return None
        try:
            number = _decode_number(memoryview(record)[VERSION_BYTES + 1 :])
        except msgspec.DecodeError:  # Another type, or no msgpack at all.
            return None
    try:
        return _MSGPACK + _encode(number + amount)
    except OverflowError:
        return None
