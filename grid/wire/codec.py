"""Python keys and values to bytes and back. Servers never look inside.

Values: bytes as they are; None, bool, int, float, str and lists and dicts of them as
msgpack; everything else with pickle 5 through cloudpickle (which also takes lambdas and classes of
``__main__``). What goes by msgpack is chosen so that it comes back equal *with its type*:
a tuple, a subclass, an int beyond 64 bits travels by pickle.

Keys: str, bytes, bool, int, float, None, and tuples of these. Keys that are equal in Python
(``1``, ``True``, ``1.0``) are one key; they come back as the int. Other types are refused,
because their bytes would not be the same for equal keys.

Decoding unpickles: only bytes from an authenticated connection may come here.
"""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import msgspec

from grid.errors import KeyTooLargeError, SerializationError, ValueTooLargeError
from grid.partition.hashing import partition_of
from grid.types import PartitionId

_RAW, _MSGPACK, _PICKLE = b"\x00", b"\x01", b"\x02"
_STR_KEY, _BYTES_KEY, _OTHER_KEY = b"s", b"b", b"m"

_SCALARS = frozenset({str, int, float, bool, type(None), bytes})
_CONTAINERS = frozenset({list, dict})
_DICT_KEYS = frozenset({str, int, bytes})
_DEPTH_MAX = 16
"""Deeper nesting goes by pickle; this also ends the search in a list that holds itself."""

_BIG_INT = 1
"""msgpack extension of a key that is an int beyond 64 bits: signed big-endian bytes."""

_encode_msgpack = msgspec.msgpack.Encoder().encode
_decode_msgpack = msgspec.msgpack.Decoder().decode


def encode_value(value: object, bytes_max: int) -> bytes:
    """Return the value's bytes.

    Raises: SerializationError when even cloudpickle cannot; ValueTooLargeError beyond
    `bytes_max`.
    """
    if type(value) is bytes:
        data = _RAW + value
    elif _is_plain(value):
        try:
            data = _MSGPACK + _encode_msgpack(value)
        except (OverflowError, UnicodeEncodeError):  # beyond 64 bits; a lone surrogate
            data = _PICKLE + dump(value)
    else:
        data = _PICKLE + dump(value)
    if len(data) > bytes_max:
        raise ValueTooLargeError(
            f"the value ({type(value).__name__}) takes {len(data):,} bytes; "
            f"at most {bytes_max:,} are allowed (storage.value_bytes_max)"
        )
    return data


def decode_value(data: bytes) -> Any:
    """Return the value that `encode_value` was given."""
    tag = data[0] if data else None
    if tag == _RAW[0]:
        return data[1:]
    body = memoryview(data)[1:]
    if tag == _MSGPACK[0]:
        return _decode_msgpack(body)
    if tag == _PICKLE[0]:
        return load(body)
    raise SerializationError(f"a stored value starts with the unknown tag {tag!r}")


def encode_key(key: object, bytes_max: int) -> tuple[PartitionId, bytes]:
    """Return the key's partition and its bytes.

    Raises: SerializationError for a type that cannot be a key; KeyTooLargeError beyond
    `bytes_max`.
    """
    try:
        if type(key) is str:
            hashed = key.encode()
            data = _STR_KEY + hashed
        elif type(key) is bytes:
            hashed = key
            data = _BYTES_KEY + key
        else:
            hashed = _encode_msgpack(_normalised(key))
            data = _OTHER_KEY + hashed
    except UnicodeEncodeError as error:
        raise SerializationError(f"the key {key!r} is no valid Unicode text") from error
    except RecursionError as error:
        raise SerializationError("the key is a tuple nested too deeply") from error
    if len(data) > bytes_max:
        raise KeyTooLargeError(
            f"the key ({type(key).__name__}) takes {len(data):,} bytes; "
            f"at most {bytes_max:,} are allowed (storage.key_bytes_max)"
        )
    return partition_of(hashed), data


def decode_key(data: bytes) -> Any:
    """Return the key that `encode_key` was given (an equal one, if numbers were mixed)."""
    tag = data[:1]
    if tag == _STR_KEY:
        return data[1:].decode()
    if tag == _BYTES_KEY:
        return data[1:]
    return _denormalised(_decode_msgpack(memoryview(data)[1:]))


def dump(value: object) -> bytes:
    """Pickle any Python object, functions and classes of ``__main__`` by value.

    Plain pickle is not tried first: it would store a class of ``__main__`` as a name that no
    other process has, and succeed.
    """
    try:
        data: bytes = cloudpickle.dumps(value, protocol=5)
    except Exception as error:  # Whatever an object's own __reduce__ raises.
        raise SerializationError(f"a {type(value).__name__} cannot be sent: {error}") from error
    return data


def load(data: bytes | memoryview) -> Any:
    """Undo `dump`."""
    return pickle.loads(data)


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


def _normalised(key: object) -> object:
    """Map equal keys to one form that msgpack encodes."""
    if isinstance(key, float):
        key = int(key) if key.is_integer() else float(key)
    if isinstance(key, int):
        key = int(key)
        if -(2**63) <= key < 2**64:
            return key
        length = key.bit_length() // 8 + 1
        return msgspec.msgpack.Ext(_BIG_INT, key.to_bytes(length, "big", signed=True))
    if key is None or type(key) in (float, str, bytes):
        return key
    if type(key) is tuple:
        return [_normalised(item) for item in key]
    raise SerializationError(
        f"a {type(key).__name__} cannot be a key; "
        "allowed: str, bytes, int, float, bool, None and tuples of these"
    )


def _denormalised(key: Any) -> Any:
    if isinstance(key, msgspec.msgpack.Ext):
        return int.from_bytes(key.data, "big", signed=True)
    if isinstance(key, list):
        return tuple(_denormalised(item) for item in key)
    return key
