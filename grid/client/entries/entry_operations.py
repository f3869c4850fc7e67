"""What a map can do with one entry, written once for both kinds of client, without I/O.

Each method returns an operation (``requests/steps.py``), or just a request where there is no more
to it; `Map` runs it with blocking sockets, `AsyncMap` on an event loop. What they promise to users
is written there. `with_backup` has a write answered when a backup has it as well.

Not here: many entries (``map_operations.py``), routing and repetition (``requests/core.py``), the
bytes of keys and values (``wire/``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

from grid.client.requests.core import Core, MakeRequest
from grid.client.requests.steps import Operation
from grid.errors import ProtocolError
from grid.storage.messages import (
    LARGE_VALUE_BYTES,
    Condition,
    Delete,
    Done,
    Found,
    FoundLarge,
    Get,
    Increment,
    Missing,
    Put,
    PutIf,
    Refused,
    Reply,
    Take,
    WithBackup,
)
from grid.storage.options import StorageOptions
from grid.storage.record import version_of
from grid.types import NodeId
from grid.wire.keys import encode_key, quoted
from grid.wire.values import decode_record, encode_value, split_value

MISSING: Any = object()
"""No default was given."""

Ack: TypeAlias = Literal["backup"] | None
"""What a write waits for: a backup that has it as well; None: what the map does by default."""

Write: TypeAlias = Put | PutIf | Delete | Take | Increment
MakeWrite = Callable[[int, int], Write]

Single = tuple[int, MakeRequest]  # A request about one entry: its partition, how to make it.
SingleLarge = tuple[int, MakeRequest, bytes | None]  # A large value continues with the last item.


class EntryOperations:
    """The operations of one map on one entry; of those that are one request, that request."""

    def __init__(self, name: str, core: Core, limits: StorageOptions) -> None:
        """Keep what all operations need."""
        self.name = name
        self._core = core
        self._key_bytes_max = limits.key_bytes_max
        self._value_bytes_max = limits.value_bytes_max

    def getting(self, key: object) -> Single:
        """Return the request for the value; see `value_of`."""
        partition_id, data = encode_key(key, self._key_bytes_max)
        return partition_id, lambda request, epoch: Get(
            request, self.name, partition_id, epoch, data
        )

    def putting(
        self, key: object, value: object, ttl: float | None, with_backup: bool
    ) -> SingleLarge:
        """Return the request to store unconditionally, and what its value continues with."""
        if ttl is not None:
            return self._putting_if(key, value, ttl, with_backup, Condition.ALWAYS)
        partition_id, data = encode_key(key, self._key_bytes_max)
        tag, payload = split_value(value, self._value_bytes_max, key)
        if len(payload) > LARGE_VALUE_BYTES:
            return self._putting_if(key, value, None, with_backup, Condition.ALWAYS)
        value_bytes = tag + payload

        def make(request: int, epoch: int) -> Put:
            return Put(request, self.name, partition_id, epoch, data, value_bytes)

        return partition_id, _backed(make) if with_backup else make, None

    def taking(self, key: object, with_backup: bool) -> Single:
        """Return the request to remove the value and return it; see `value_of`."""
        partition_id, data = encode_key(key, self._key_bytes_max)

        def make(request: int, epoch: int) -> Take:
            return Take(request, self.name, partition_id, epoch, data)

        return partition_id, _backed(make) if with_backup else make

    def deleting(self, key: object, with_backup: bool, version: bytes = b"") -> Single:
        """Return the request to remove; `Done` says whether it was there."""
        partition_id, data = encode_key(key, self._key_bytes_max)

        def make(request: int, epoch: int) -> Delete:
            return Delete(request, self.name, partition_id, epoch, data, version)

        return partition_id, _backed(make) if with_backup else make

    def put_if_absent(
        self, key: object, value: object, ttl: float | None, with_backup: bool
    ) -> Operation[bool]:
        """Store if there is no entry; return whether it was stored."""
        reply = yield from self._put_if(key, value, ttl, with_backup, Condition.ABSENT)
        return type(reply) is Done

    def setdefault(self, key: object, default: object, with_backup: bool) -> Operation[Any]:
        """Return the value that is there now: the present one, else `default`."""
        reply = yield from self._put_if(key, default, None, with_backup, Condition.ABSENT)
        return default if type(reply) is Done else value_of(reply, default)

    def replace(
        self, key: object, value: object, ttl: float | None, with_backup: bool
    ) -> Operation[bool]:
        """Store if there is an entry; return whether there was."""
        reply = yield from self._put_if(key, value, ttl, with_backup, Condition.PRESENT)
        return cast(Done, reply).count == 1

    def replace_if_same(
        self, key: object, old: object, new: object, ttl: float | None, with_backup: bool
    ) -> Operation[bool]:
        """Store if the present value equals `old`; return whether it did."""
        while True:
            record = yield from self._record(key)
            if record is None or not self._is_same(record, old, key):
                return False
            reply = yield from self._put_if(
                key, new, ttl, with_backup, Condition.SAME, version_of(record)
            )
            if cast(Done, reply).count:
                return True

    def remove_if_same(self, key: object, old: object, with_backup: bool) -> Operation[bool]:
        """Remove if the present value equals `old`; return whether it did."""
        while True:
            record = yield from self._record(key)
            if record is None or not self._is_same(record, old, key):
                return False
            request = self.deleting(key, with_backup, version_of(record))
            reply = yield from self._core.on_partition(*request)
            if cast(Done, reply).count:
                return True

    def increment(self, key: object, amount: int | float, with_backup: bool) -> Operation[Any]:
        """Add to the number of an entry; return the sum."""
        partition_id, data = encode_key(key, self._key_bytes_max)

        def make(request: int, epoch: int) -> Increment:
            return Increment(request, self.name, partition_id, epoch, data, amount)

        if type(amount) in (int, float) and -(2**63) <= amount < 2**63:
            reply = yield from self._core.on_partition(
                partition_id, _backed(make) if with_backup else make
            )
            if type(reply) is not Refused:
                return value_of(reply, None)
        # A number that msgpack does not hold: read it, add here, and store unless it changed.
        while True:
            record = yield from self._record(key)
            if record is None:
                total: Any = _sum(0, amount, key)
                reply = yield from self._put_if(key, total, None, with_backup, Condition.ABSENT)
                is_stored = type(reply) is Done
            else:
                total = _sum(decode_record(record), amount, key)
                version = version_of(record)
                reply = yield from self._put_if(
                    key, total, None, with_backup, Condition.SAME, version
                )
                is_stored = cast(Done, reply).count == 1
            if is_stored:
                return total

    def owner_of(self, key: object) -> NodeId | None:
        """Return the id of the node that holds `key`; no I/O."""
        partition_id, _ = encode_key(key, self._key_bytes_max)
        return self._core.owner_of(partition_id)

    def _record(self, key: object) -> Operation[bytes | memoryview | None]:
        reply = yield from self._core.on_partition(*self.getting(key))
        return reply.record if isinstance(reply, (Found, FoundLarge)) else None

    def _is_same(self, record: bytes | memoryview, old: object, key: object) -> bool:
        """Whether the stored value equals `old`, or has the same bytes."""
        if encode_value(old, self._value_bytes_max, key) == record[len(version_of(record)) :]:
            return True
        try:
            return bool(decode_record(record) == old)
        except ValueError:  # An array has no single truth.
            return False

    def _put_if(
        self,
        key: object,
        value: object,
        ttl: float | None,
        with_backup: bool,
        condition: Condition,
        version: bytes = b"",
    ) -> Operation[Reply]:
        request = self._putting_if(key, value, ttl, with_backup, condition, version)
        return self._core.on_partition(*request)

    def _putting_if(
        self,
        key: object,
        value: object,
        ttl: float | None,
        with_backup: bool,
        condition: Condition,
        version: bytes = b"",
    ) -> SingleLarge:
        partition_id, data = encode_key(key, self._key_bytes_max)
        start, more = in_pieces(*split_value(value, self._value_bytes_max, key))
        ttl_ms = milliseconds(ttl)

        def make(request: int, epoch: int) -> PutIf:
            return PutIf(
                request, self.name, partition_id, epoch, data, condition, version, ttl_ms, start
            )

        return partition_id, _backed(make) if with_backup else make, more


def _backed(make: MakeWrite) -> MakeRequest:
    return lambda request, epoch: WithBackup(make(request, epoch))


def in_pieces(tag: bytes, payload: bytes) -> tuple[memoryview, bytes | None]:
    """Return the value of a `PutIf` and, if it is large, what continues it: so it is not copied."""
    if len(payload) > LARGE_VALUE_BYTES:
        return memoryview(tag), payload
    return memoryview(tag + payload), None


def value_of(reply: Reply, default: Any) -> Any:
    """Return the value in the reply to `getting` and `taking`, or `default`."""
    if isinstance(reply, (Found, FoundLarge)):
        return decode_record(reply.record)
    if type(reply) is Missing:
        return default
    raise ProtocolError(f"an unexpected answer: {type(reply).__name__}")


def _sum(value: Any, amount: Any, key: object) -> Any:
    try:
        return value + amount
    except TypeError as error:
        kinds = f"a {type(value).__name__}, the amount a {type(amount).__name__}"
        raise TypeError(f"increment of {quoted(key)}: the value is {kinds} ({error})") from error


def milliseconds(ttl: float | None) -> int:
    """Return a time to live in milliseconds, 0 for none.

    Raises: ValueError for a time that is not positive; TypeError for what is no number.
    """
    if ttl is None:
        return 0
    if not isinstance(ttl, int | float):
        raise TypeError(f"ttl is a number of seconds, not {ttl!r}")
    if not 0 < ttl < 1e11:
        raise ValueError(f"ttl is in seconds and above 0 (None: the entry stays), not {ttl!r}")
    return max(1, round(ttl * 1000))
