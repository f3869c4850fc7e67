"""Values to bytes and back. Servers never look inside.

A value is a tag (`grid.storage.record.ValueTag`) and a payload: bytes as they are; None, bool,
int, float, str and lists and dicts of them as msgpack; everything else as a pickle. What goes by
msgpack is chosen so that it comes back equal *with its type*: a tuple, a subclass, an int beyond
64 bits travels by pickle. What comes back from storage is a record: a version, then the value.

Not here: keys (``keys.py``), pickles (``pickling.py``), the record's version
(``storage/record.py``).

Decoding unpickles: only bytes from an authenticated connection may come here.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, cast

import msgspec

from grid.errors import SerializationError, ValueTooLargeError
from grid.storage.record import VERSION_BYTES, ValueTag
from grid.wire.keys import quoted
from grid.wire.pickling import dump, load

# Plain numbers and bytes: a look into the enum takes as long as a lookup in a dict.
_RAW_TAG, _MSGPACK_TAG, _PICKLE_TAG = (
    ValueTag.RAW.value,
    ValueTag.MSGPACK.value,
    ValueTag.PICKLE.value,
)
_RAW, _MSGPACK, _PICKLE = bytes((_RAW_TAG,)), bytes((_MSGPACK_TAG,)), bytes((_PICKLE_TAG,))
_PAYLOAD = VERSION_BYTES + 1
"""Where the payload of a record begins."""

_BYTES_ONLY = frozenset({bytes})
_RAW_ONLY = frozenset({_RAW_TAG})
_tag_of = itemgetter(VERSION_BYTES)
_payload_of = itemgetter(slice(_PAYLOAD, None))
_SCALARS = frozenset({str, int, float, bool, type(None), bytes})
_CONTAINERS = frozenset({list, dict})
_DICT_KEYS = frozenset({str, int, bytes})
_DEPTH_MAX = 16
"""Deeper nesting goes by pickle; this also ends the search in a list that holds itself."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode_value(value: object, bytes_max: int, key: object) -> bytes:
    """Return the value's bytes; `key` is named in errors.

    Raises: SerializationError when even cloudpickle cannot; ValueTooLargeError beyond
    `bytes_max`.
    """
    if type(value) is bytes:
        data = _RAW + value
        if len(data) <= bytes_max:
            return data
    tag, payload = split_value(value, bytes_max, key)
    return tag + payload


def split_value(value: object, bytes_max: int, key: object) -> tuple[bytes, bytes]:
    """Return the tag and the payload apart, which saves a copy of a large value.

    The payload of bytes is the very object that was given. Raises: as `encode_value`.
    """
    if type(value) is bytes:
        tag, payload = _RAW, value
    elif _is_plain(value):
        try:
            tag, payload = _MSGPACK, _encode(value)
        except (OverflowError, UnicodeEncodeError):  # beyond 64 bits; a lone surrogate
            tag, payload = _PICKLE, _dump_value(value, key)
    else:
        tag, payload = _PICKLE, _dump_value(value, key)
    if len(payload) >= bytes_max:
        raise ValueTooLargeError(
            f"the value of {quoted(key)} ({type(value).__name__}) takes {len(payload) + 1:,} "
            f"bytes; at most {bytes_max:,} are allowed (storage.value_bytes_max)"
        )
    return tag, payload


def encode_values(values: Sequence[object], bytes_max: int, keys: Sequence[object]) -> list[bytes]:
    """Return the bytes of all values, in their order; `keys` are theirs, named in errors.

    Raises: as `encode_value`, for the first value that it refuses.
    """
    if set(map(type, values)) == _BYTES_ONLY and max(map(len, values)) < bytes_max:  # type: ignore[arg-type]
        return [_RAW + value for value in values]  # type: ignore[operator]
    return [encode_value(value, bytes_max, key) for value, key in zip(values, keys, strict=True)]


def decode_record(record: bytes | memoryview) -> Any:
    """Return the value of what is stored.

    A view is copied once for a value of bytes and read in place for any other; nothing that is
    returned refers to it. Raises: SerializationError.
    """
    if len(record) < _PAYLOAD:
        raise SerializationError(f"a record of {len(record)} bytes has no value")
    tag, payload = record[VERSION_BYTES], record[_PAYLOAD:]
    if tag == _RAW_TAG:
        return payload if type(payload) is bytes else bytes(payload)
    if tag == _MSGPACK_TAG:
        try:
            return _decode(payload)
        except (ValueError, RecursionError) as error:  # DecodeError is a ValueError.
            raise SerializationError(f"a stored value cannot be read: {error}") from error
    if tag == _PICKLE_TAG:
        try:
            return load(payload)
        except Exception as error:  # Whatever the classes in it raise.
            raise SerializationError(
                f"a stored value cannot be loaded in this process ({type(error).__name__}: "
                f"{error}); the modules and classes that it is made of must be importable here"
            ) from error
    raise SerializationError(f"a stored value starts with the unknown tag {tag}")


def entries_into(
    result: dict[Any, Any], keys: Sequence[Any], records: Sequence[bytes | memoryview | None]
) -> None:
    """Add key and value of each record that is there (not None) to `result`.

    `keys` are as they shall be in the result, in the order of `records`. Raises: as
    `decode_record`.
    """
    if len(keys) != len(records):
        raise ValueError(f"{len(keys)} keys and {len(records)} records")
    if set(map(type, records)) == _BYTES_ONLY:
        try:
            tags = set(map(_tag_of, cast(Sequence[bytes], records)))
        except IndexError:  # A record too short for a value; `decode_record` says so.
            tags = set()
        if tags == _RAW_ONLY:
            result.update(zip(keys, map(_payload_of, cast(Sequence[bytes], records)), strict=True))
            return
    for key, record in zip(keys, records, strict=True):
        if record is not None:
            result[key] = decode_record(record)


def _dump_value(value: object, key: object) -> bytes:
    try:
        return dump(value)
    except SerializationError as error:
        raise SerializationError(f"the value of {quoted(key)}: {error}") from error.__cause__


def _is_plain(value: object) -> bool:
    """Whether msgpack brings `value` back equal and of the same types."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    return (kind is list or kind is dict) and _is_plain_container(value, _DEPTH_MAX, set())


def _is_plain_container(value: Any, depth: int, seen: set[int]) -> bool:
    """As `_is_plain` for a list or dict.

    A container that occurs twice is not plain: pickle keeps it one object, msgpack would copy
    it, and nested sharing would be walked exponentially.
    """
    if depth == 0 or id(value) in seen:
        return False
    seen.add(id(value))
    if type(value) is dict:
        if not _DICT_KEYS.issuperset(map(type, value)):
            return False
        value = value.values()
    if _SCALARS.issuperset(map(type, value)):
        return True
    return all(
        type(item) in _SCALARS
        or (type(item) in _CONTAINERS and _is_plain_container(item, depth - 1, seen))
        for item in value
    )
