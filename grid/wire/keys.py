"""Keys to bytes and back, and to their partition.

The form of a key, which is what storage compares and keeps:

    str        its UTF-8, nothing before it: other protocols see the same bytes
    bytes      0xFF, then the bytes
    the rest   0xFE, then msgpack

UTF-8 has neither 0xFE nor 0xFF, so no two kinds collide.

Keys that are equal in Python are one key, as in a dict. They come back as the plain value they
equal: a whole number of any type as int (``1``, ``True``, ``1.0``, ``Fraction(2, 2)``), any other
number as float, a ``StrEnum`` as str, an aware datetime in UTC. A number that no int and no float
equals exactly (``Decimal("0.1")``) is refused, as is a datetime at which the local clock is set:
either would have two forms or none. NaN, which equals nothing, is one key here: a key that nobody
could ask for again would be of no use. The infinities are keys like any other float.

Not here: values (``values.py``), CRC and hash tags (``partition/hashing.py``).
"""

from __future__ import annotations

import datetime
import math
import operator
import reprlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import Any
from uuid import UUID

import msgspec

from grid.errors import KeyTooLargeError, SerializationError
from grid.partition.hashing import TAG_OPENS, partition_of, partitions_of

_BYTES, _OTHER = b"\xff", b"\xfe"
_STR_ONLY = frozenset({str})

_ALLOWED = "str, bytes, int, float, bool, None, datetime, date, UUID and tuples of these"
_DEPTH_MAX = 32
"""Tuples within tuples. The limit is fixed so that whoever reads a key can decode it, however
deep in its own calls it is."""

_DECIMAL_DIGITS_MAX = 10_000
"""Decimal("1e999999999") equals an int too, of 400 MB."""

_BIG_INT, _NAIVE, _AWARE, _DATE, _UUID = range(1, 6)
"""Codes of msgpack extensions: an int beyond 64 bits, as signed big-endian bytes; a datetime, as
microseconds since 1970 in 8 of these, without a zone or in UTC; a date, as its ordinal number in
4; a UUID, as its 16 bytes."""

_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - what it is compared with has no zone.
_EPOCH_UTC = _EPOCH.replace(tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

_encode = msgspec.msgpack.Encoder().encode
_Ext = msgspec.msgpack.Ext


class _NoKeyError(Exception):
    """Why something cannot be a key; the whole key is named where it is known."""


def encode_key(key: object, bytes_max: int) -> tuple[int, bytes]:
    """Return the key's partition and its bytes.

    Raises: SerializationError for what cannot be a key; KeyTooLargeError beyond `bytes_max`.
    """
    if type(key) is str:
        try:
            data = key.encode()
        except UnicodeEncodeError as error:
            raise _not_unicode(key) from error
        if len(data) > bytes_max:
            raise _too_large(key, data, bytes_max)
        return partition_of(data), data
    hashed, data = _encode_other(key)
    if len(data) > bytes_max:
        raise _too_large(key, data, bytes_max)
    return partition_of(hashed), data


def encode_keys(keys: Sequence[object], bytes_max: int) -> tuple[list[int], list[bytes]]:
    """Return the partitions and the bytes of all keys, in their order.

    Raises: as `encode_key`, for the first key that it refuses.
    """
    if set(map(type, keys)) == _STR_ONLY:
        # One encoding of one long text is quicker than many, and one search tells that no key
        # has a hash tag. It falls short only if a key holds the separator or is no text, and
        # then the keys are taken one by one.
        try:
            text = "\0".join(keys).encode()  # type: ignore[arg-type]
        except UnicodeEncodeError:
            text = b""
        datas = text.split(b"\0")
        if len(datas) == len(keys) and (
            len(text) <= bytes_max or max(map(len, datas)) <= bytes_max
        ):
            return partitions_of(datas, has_tags=TAG_OPENS in text), datas
    pairs = [encode_key(key, bytes_max) for key in keys]
    return [partition_id for partition_id, _ in pairs], [data for _, data in pairs]


def decode_key(data: bytes) -> Any:
    """Return the plain key that equals the one `encode_key` was given.

    Raises: SerializationError for bytes that are no key.
    """
    try:
        if data < _OTHER:
            return data.decode()
        if data[0] == _BYTES[0]:
            return data[1:]
        return _as_tuple(_decode(data[1:]))
    except (ValueError, OverflowError, RecursionError) as error:  # DecodeError is a ValueError.
        raise SerializationError(f"stored bytes are no key: {quoted(data)} ({error})") from error


def decode_keys(datas: Sequence[bytes]) -> list[Any]:
    """Return the keys of all `datas`, in their order. Raises: as `decode_key`."""
    try:
        return [data.decode() for data in datas]
    except UnicodeDecodeError:  # Not all are of str.
        return [decode_key(data) for data in datas]


def quoted(key: object) -> str:
    """Return how a key is written in Python, in at most some 60 characters."""
    try:
        text = _shortened.repr(key)
    except Exception:  # An int of thousands of digits; whatever a __repr__ raises.
        return f"<{type(key).__name__}>"
    return text if len(text) <= 60 else f"{text[:29]}...{text[-28:]}"


# Cuts before it writes: a key of a gigabyte must not cost a second one to be refused.
_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = _shortened.maxlong = 60


def _encode_other(key: object) -> tuple[bytes, bytes]:
    """Return the bytes to hash and to store of a key that is not exactly a str."""
    if type(key) is int and 0 <= key < 2**64:  # An id, most likely: by the short way.
        hashed = _encode(key)
        return hashed, _OTHER + hashed
    try:
        plain = _normalised(key, 0)
        if type(plain) is bytes:
            return plain, _BYTES + plain
        if type(plain) is str:
            hashed = plain.encode()
            return hashed, hashed
        hashed = _encode(plain)
    except UnicodeEncodeError as error:
        raise _not_unicode(key) from error
    except _NoKeyError as error:
        raise SerializationError(f"{error} (the key {quoted(key)})") from error
    return hashed, _OTHER + hashed


def _normalised(key: object, depth: int) -> object:
    """Map equal keys to one form that msgpack encodes."""
    if type(key) is tuple:
        if depth == _DEPTH_MAX:
            raise _NoKeyError(f"a tuple nested too deeply (over {_DEPTH_MAX}) cannot be a key")
        return [_normalised(item, depth + 1) for item in key]
    normalise = _NORMALISERS.get(type(key))
    if normalise is None:
        key = _plain(key)
        normalise = _NORMALISERS[type(key)]
    return normalise(key)


def _plain(key: object) -> object:
    """Return the str, bytes, int or float that `key` equals: of a subclass, a foreign number.

    Hashes must agree as well, or a dict would tell the two apart. That keeps out subclasses with
    their own idea of equality, like texts that ignore case.
    """
    kind = type(key).__name__
    plain: object
    try:
        if isinstance(key, str):
            plain = str.__str__(key)  # Not str(key): a member of an enum would say its name.
        elif isinstance(key, bytes):
            plain = bytes(memoryview(key))
        elif isinstance(key, Integral):
            plain = operator.index(key)
        elif isinstance(key, Real | Decimal):
            plain = _number(key)
        else:
            raise _NoKeyError(f"a {kind} cannot be a key; allowed: {_ALLOWED}")
        is_nan = plain != plain
        if is_nan or (bool(plain == key) and hash(plain) == hash(key)):
            return plain
    except (TypeError, ValueError, ArithmeticError) as error:
        raise _NoKeyError(f"this {kind} cannot be a key: {error}") from error
    raise _NoKeyError(
        f"this {kind} equals no plain value (a str, bytes, int or float) exactly, "
        "so it cannot be a key"
    )


def _number(key: Any) -> int | float:
    """Return the number of another type as a float if that is exact, else its whole part."""
    if isinstance(key, Decimal) and key.is_finite() and key.adjusted() > _DECIMAL_DIGITS_MAX:
        raise ValueError(f"it has more than {_DECIMAL_DIGITS_MAX:,} digits")
    try:
        number = float(key)
    except OverflowError:  # A large Fraction; a large Decimal becomes infinite.
        return int(key)
    return number if number == key or math.isnan(number) else int(key)


def _from_int(key: int) -> object:
    if -(2**63) <= key < 2**64:
        return key
    length = key.bit_length() // 8 + 1
    return _Ext(_BIG_INT, key.to_bytes(length, "big", signed=True))


def _from_float(key: float) -> object:
    if key.is_integer():
        return _from_int(int(key))
    return math.nan if math.isnan(key) else key  # NaN has many bit patterns.


def _from_datetime(key: datetime.datetime) -> object:
    """Return equal moments as equal bytes, and different moments as different ones.

    Python's own comparison fails at this while a clock is set: two moments an hour apart are
    equal to each other, and neither equals itself in UTC.
    """
    offset = key.utcoffset()
    if offset is None:
        code, since_epoch = _NAIVE, key - _EPOCH
    elif offset == key.replace(fold=1 - key.fold).utcoffset():
        code, since_epoch = _AWARE, key - _EPOCH_UTC
    else:
        raise _NoKeyError(
            "a datetime in an hour in which the local clock is set cannot be a key; "
            "give it in UTC: key.astimezone(datetime.UTC)"
        )
    try:
        _EPOCH + since_epoch
    except OverflowError as error:
        raise _NoKeyError(
            "a datetime whose year in UTC is not in 1 to 9999 cannot be a key"
        ) from error
    microseconds = since_epoch // _MICROSECOND
    return _Ext(code, microseconds.to_bytes(8, "big", signed=True))


def _same(key: object) -> object:
    return key


_NORMALISERS: dict[type, Callable[[Any], object]] = {
    str: _same,
    bytes: _same,
    type(None): _same,
    bool: int,
    int: _from_int,
    float: _from_float,
    datetime.datetime: _from_datetime,
    datetime.date: lambda key: _Ext(_DATE, key.toordinal().to_bytes(4, "big")),
    UUID: lambda key: _Ext(_UUID, key.bytes),
}


def _from_extension(code: int, data: memoryview) -> object:
    if code == _BIG_INT:
        return int.from_bytes(data, "big", signed=True)
    if code in (_NAIVE, _AWARE):
        microseconds = int.from_bytes(data, "big", signed=True)
        epoch = _EPOCH if code == _NAIVE else _EPOCH_UTC
        return epoch + datetime.timedelta(microseconds=microseconds)
    if code == _DATE:
        return datetime.date.fromordinal(int.from_bytes(data, "big"))
    if code == _UUID:
        return UUID(bytes=bytes(data))
    raise ValueError(f"unknown extension {code}")


_decode = msgspec.msgpack.Decoder(ext_hook=_from_extension).decode


def _as_tuple(key: Any) -> Any:
    """Turn what msgpack has as lists back into tuples."""
    if type(key) is list:
        return tuple([_as_tuple(item) for item in key])
    if type(key) is dict:
        raise ValueError("it holds a dict")
    return key


def _not_unicode(key: object) -> SerializationError:
    return SerializationError(f"the key {quoted(key)} is no valid Unicode text")


def _too_large(key: object, data: bytes, bytes_max: int) -> KeyTooLargeError:
    return KeyTooLargeError(
        f"the key {quoted(key)} ({type(key).__name__}) takes {len(data):,} bytes; "
        f"at most {bytes_max:,} are allowed (storage.key_bytes_max)"
    )
