"""What a map can do, written once for both kinds of client, without I/O.

Each method returns an operation (``steps.py``), or just a request where there is no more to it;
`Map` runs it with blocking sockets, `AsyncMap` on an event loop. What they promise to users is
written there.

Not here: routing and repetition (``core.py``), the bytes of keys and values (``wire/``), iteration
(``scanning.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import add
from typing import Any, cast

from grid.client.batches import (
    PORTION_BYTES,
    batches_of,
    chosen_of,
    key_batches_of,
    parts_of,
    portions_of,
)
from grid.client.core import Core, MakeRequest
from grid.client.rounds import Claim, Portion
from grid.client.steps import Operation
from grid.errors import ProtocolError
from grid.storage.messages import (
    LARGE_VALUE_BYTES,
    Clear,
    Condition,
    Delete,
    Done,
    Found,
    FoundLarge,
    Get,
    GetAll,
    Increment,
    Missing,
    Put,
    PutAll,
    PutIf,
    Records,
    Refused,
    RemoveAll,
    Reply,
    Size,
    Take,
    TakeAny,
    Taken,
)
from grid.storage.options import StorageOptions
from grid.storage.record import version_of
from grid.types import PARTITION_COUNT, NodeId
from grid.wire.keys import decode_key, encode_key, encode_keys, quoted
from grid.wire.values import decode_record, encode_value, encode_values, entries_into, split_value

MISSING: Any = object()
"""No default was given."""

_ALL_PARTITIONS = range(PARTITION_COUNT)


Single = tuple[int, MakeRequest]  # A request about one entry: its partition, how to make it.
SingleLarge = tuple[int, MakeRequest, bytes | None]  # A large value continues with the last item.


class MapOperations:
    """The operations of one map; of those that are one request, that request."""

    def __init__(self, name: str, core: Core, limits: StorageOptions) -> None:
        """Keep what all operations need."""
        self.name = name
        self._core = core
        self._key_bytes_max = limits.key_bytes_max
        self._value_bytes_max = limits.value_bytes_max

    # -- one entry ------------------------------------------------------------------------

    def getting(self, key: object) -> Single:
        """Return the request for the value; see `value_of`."""
        partition_id, data = encode_key(key, self._key_bytes_max)
        return partition_id, lambda request, epoch: Get(
            request, self.name, partition_id, epoch, data
        )

    def putting(self, key: object, value: object, ttl: float | None) -> SingleLarge:
        """Return the request to store unconditionally, and what its value continues with."""
        if ttl is not None:
            return self._putting_if(key, value, ttl, Condition.ALWAYS)
        partition_id, data = encode_key(key, self._key_bytes_max)
        tag, payload = split_value(value, self._value_bytes_max, key)
        if len(payload) > LARGE_VALUE_BYTES:
            return self._putting_if(key, value, None, Condition.ALWAYS)
        value_bytes = tag + payload
        return (
            partition_id,
            lambda request, epoch: Put(request, self.name, partition_id, epoch, data, value_bytes),
            None,
        )

    def taking(self, key: object) -> Single:
        """Return the request to remove the value and return it; see `value_of`."""
        partition_id, data = encode_key(key, self._key_bytes_max)
        return partition_id, lambda request, epoch: Take(
            request, self.name, partition_id, epoch, data
        )

    def deleting(self, key: object, version: bytes = b"") -> Single:
        """Return the request to remove; `Done` says whether it was there."""
        partition_id, data = encode_key(key, self._key_bytes_max)
        return partition_id, lambda request, epoch: Delete(
            request, self.name, partition_id, epoch, data, version
        )

    def put_if_absent(self, key: object, value: object, ttl: float | None) -> Operation[bool]:
        """Store if there is no entry; return whether it was stored."""
        reply = yield from self._put_if(key, value, ttl, Condition.ABSENT)
        return type(reply) is Done

    def setdefault(self, key: object, default: object) -> Operation[Any]:
        """Return the value that is there now: the present one, else `default`."""
        reply = yield from self._put_if(key, default, None, Condition.ABSENT)
        return default if type(reply) is Done else value_of(reply, default)

    def replace(self, key: object, value: object, ttl: float | None) -> Operation[bool]:
        """Store if there is an entry; return whether there was."""
        reply = yield from self._put_if(key, value, ttl, Condition.PRESENT)
        return cast(Done, reply).count == 1

    def replace_if_same(
        self, key: object, old: object, new: object, ttl: float | None
    ) -> Operation[bool]:
        """Store if the present value equals `old`; return whether it did."""
        while True:
            record = yield from self._record(key)
            if record is None or not self._is_same(record, old, key):
                return False
            reply = yield from self._put_if(key, new, ttl, Condition.SAME, version_of(record))
            if cast(Done, reply).count:
                return True

    def remove_if_same(self, key: object, old: object) -> Operation[bool]:
        """Remove if the present value equals `old`; return whether it did."""
        while True:
            record = yield from self._record(key)
            if record is None or not self._is_same(record, old, key):
                return False
            reply = yield from self._core.on_partition(*self.deleting(key, version_of(record)))
            if cast(Done, reply).count:
                return True

    def popitem(self) -> Operation[tuple[Any, Any]]:
        """Remove and return some entry; KeyError if there is none."""
        # Each client begins elsewhere: many poppers shall not meet at one partition.
        start = self._core.random.randrange(PARTITION_COUNT)
        waiting = [*range(start, PARTITION_COUNT), *range(start)]
        asked: list[int] = []

        def make(request: int, _: int) -> TakeAny:
            # All that waits at the storage process of the first: one request for each process.
            routing = self._core.routing
            target = routing.targets[waiting[0]]
            asked[:] = [p for p in waiting if routing.targets[p] is target]
            return TakeAny(request, self.name, [(p, routing.epochs[p]) for p in asked])

        while waiting:
            reply = yield from self._core.on_partition(waiting[0], make)
            if isinstance(reply, Taken):
                return decode_key(reply.key), decode_record(reply.record)
            done = set(asked)
            waiting = [p for p in waiting if p not in done]
        raise KeyError(f"popitem: the map {self.name!r} is empty")

    def increment(self, key: object, amount: int | float) -> Operation[Any]:
        """Add to the number of an entry; return the sum."""
        partition_id, data = encode_key(key, self._key_bytes_max)
        if type(amount) in (int, float) and -(2**63) <= amount < 2**63:
            reply = yield from self._core.on_partition(
                partition_id,
                lambda request, epoch: Increment(
                    request, self.name, partition_id, epoch, data, amount
                ),
            )
            if type(reply) is not Refused:
                return value_of(reply, None)
        # A number that msgpack does not hold: read it, add here, and store unless it changed.
        while True:
            record = yield from self._record(key)
            if record is None:
                total: Any = _sum(0, amount, key)
                reply = yield from self._put_if(key, total, None, Condition.ABSENT)
                is_stored = type(reply) is Done
            else:
                total = _sum(decode_record(record), amount, key)
                version = version_of(record)
                reply = yield from self._put_if(key, total, None, Condition.SAME, version)
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
        condition: Condition,
        version: bytes = b"",
    ) -> Operation[Reply]:
        return self._core.on_partition(*self._putting_if(key, value, ttl, condition, version))

    def _putting_if(
        self,
        key: object,
        value: object,
        ttl: float | None,
        condition: Condition,
        version: bytes = b"",
    ) -> SingleLarge:
        partition_id, data = encode_key(key, self._key_bytes_max)
        tag, payload = split_value(value, self._value_bytes_max, key)
        ttl_ms = _milliseconds(ttl)
        is_large = len(payload) > LARGE_VALUE_BYTES
        start = memoryview(tag if is_large else tag + payload)
        return (
            partition_id,
            lambda request, epoch: PutIf(
                request, self.name, partition_id, epoch, data, condition, version, ttl_ms, start
            ),
            payload if is_large else None,
        )

    # -- many entries ---------------------------------------------------------------------

    def get_all(self, keys: Iterable[Any]) -> Operation[dict[Any, Any]]:
        """Return the entries that exist."""
        result: dict[Any, Any] = {}
        for batch in key_batches_of(keys):
            yield from self._core.on_many(
                self._key_portions(batch, lambda *encoded: self._get_portion(result, *encoded))
            )
        return result

    def _key_portions(
        self, batch: list[Any], make: Callable[[list[Any], list[int], list[bytes]], Portion]
    ) -> Iterator[Portion]:
        """Yield the portions of a batch of keys, made of keys, their partitions and bytes."""
        for portion in portions_of(len(batch), self._core.routing.target_count):
            keys = batch[portion]
            places, datas = encode_keys(keys, self._key_bytes_max)
            if sum(map(len, datas)) <= PORTION_BYTES:
                yield make(keys, places, datas)
                continue
            for part in parts_of(list(map(len, datas))):
                yield make(keys[part], places[part], datas[part])

    def _get_portion(
        self, result: dict[Any, Any], keys: list[Any], partitions: list[int], datas: list[bytes]
    ) -> Portion:
        def make(request: int, claim: Claim, indexes: Sequence[int]) -> GetAll:
            places, wanted = chosen_of(indexes, partitions, datas)
            return GetAll(request, self.name, *claim, bytes(places), wanted)

        def take(indexes: Sequence[int], reply: Reply) -> Sequence[int]:
            records = cast(Records, reply).records
            answered = indexes[: len(records)]
            asked = keys if len(answered) == len(keys) else [keys[index] for index in answered]
            entries_into(result, asked, records)
            return indexes[len(records) :]

        return Portion(partitions, make, take)

    def put_all(
        self, entries: Mapping[Any, Any] | Iterable[tuple[Any, Any]], ttl: float | None
    ) -> Operation[None]:
        """Store many entries."""
        ttl_ms = _milliseconds(ttl)
        # One batch after the other: a later value of the same key must not be overtaken.
        for keys, values in batches_of(entries):
            yield from self._core.on_many(self._put_portions(keys, values, ttl_ms))

    def _put_portions(self, keys: list[Any], values: list[Any], ttl_ms: int) -> Iterator[Portion]:
        for portion in portions_of(len(keys), self._core.routing.target_count):
            named = keys[portion]
            places, datas = encode_keys(named, self._key_bytes_max)
            encoded = encode_values(values[portion], self._value_bytes_max, named)
            if sum(map(len, encoded)) + sum(map(len, datas)) <= PORTION_BYTES:
                yield self._put_portion(places, datas, encoded, ttl_ms)
                continue
            for part in parts_of(list(map(add, map(len, encoded), map(len, datas)))):
                yield self._put_portion(places[part], datas[part], encoded[part], ttl_ms)

    def _put_portion(
        self, partitions: list[int], datas: list[bytes], encoded: list[bytes], ttl_ms: int
    ) -> Portion:
        def make(request: int, claim: Claim, indexes: Sequence[int]) -> PutAll:
            places, keys = chosen_of(indexes, partitions, datas)
            values = encoded if keys is datas else [encoded[index] for index in indexes]
            return PutAll(request, self.name, *claim, bytes(places), keys, values, ttl_ms)

        return Portion(partitions, make, lambda indexes, reply: ())

    def remove_all(self, keys: Iterable[Any]) -> Operation[int]:
        """Remove many entries; return how many were there."""
        total = _Total()
        for batch in key_batches_of(keys):
            yield from self._core.on_many(
                self._key_portions(batch, lambda *encoded: self._remove_portion(total, *encoded))
            )
        return total.count

    def _remove_portion(
        self, total: _Total, _: list[Any], partitions: list[int], datas: list[bytes]
    ) -> Portion:
        def make(request: int, claim: Claim, indexes: Sequence[int]) -> RemoveAll:
            places, chosen = chosen_of(indexes, partitions, datas)
            return RemoveAll(request, self.name, *claim, bytes(places), chosen)

        return Portion(partitions, make, total.take)

    # -- the whole map --------------------------------------------------------------------

    def size(self) -> Operation[int]:
        """Count the entries."""
        return self._count(Size)

    def clear(self) -> Operation[int]:
        """Remove all entries; return how many there were."""
        return self._count(Clear)

    def _count(self, kind: type[Size | Clear]) -> Operation[int]:
        total = _Total()
        every = Portion(
            _ALL_PARTITIONS,
            lambda request, claim, _: kind(request, self.name, claim.epochs),
            total.take,
            by_digest=False,
        )
        yield from self._core.on_many([every])
        return total.count


class _Total:
    """Adds up the counts of `Done` replies."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, indexes: Sequence[int], reply: Reply) -> Sequence[int]:
        """Take a reply of which nothing is left to ask."""
        self.count += cast(Done, reply).count
        return ()


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


def _milliseconds(ttl: float | None) -> int:
    """Return a time to live in milliseconds, 0 for none.

    Raises: ValueError for a time that is not positive.
    """
    if ttl is None:
        return 0
    if not 0 < ttl < 1e11:
        raise ValueError(f"ttl is in seconds and above 0 (None: the entry stays), not {ttl!r}")
    return max(1, round(ttl * 1000))
