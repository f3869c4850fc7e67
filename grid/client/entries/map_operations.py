"""What a map can do with many entries and as a whole, for both kinds of client, without I/O.

Each method returns an operation (``requests/steps.py``); `Map` runs it with blocking sockets,
`AsyncMap` on an event loop. What they promise to users is written there. `with_backup` has writes
answered when a backup has them as well.

Not here: single entries (``entry_operations.py``), routing and repetition (``requests/core.py``),
the bytes of keys and values (``wire/``), iteration (``scanning.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import add
from typing import Any, cast

from grid.client.entries.batches import (
    PORTION_BYTES,
    batches_of,
    chosen_of,
    key_batches_of,
    parts_of,
    portions_of,
)
from grid.client.entries.entry_operations import milliseconds
from grid.client.requests.core import Core
from grid.client.requests.rounds import Claim, Portion
from grid.client.requests.steps import Operation
from grid.storage.messages import (
    Clear,
    Done,
    GetAll,
    PutAll,
    Records,
    RemoveAll,
    Reply,
    Size,
    TakeAny,
    Taken,
    WithBackup,
)
from grid.storage.options import StorageOptions
from grid.types import PARTITION_COUNT
from grid.wire.keys import decode_key, encode_keys
from grid.wire.values import decode_record, encode_values, entries_into

ALL_PARTITIONS = range(PARTITION_COUNT)


class MapOperations:
    """The operations of one map on many of its entries."""

    def __init__(self, name: str, core: Core, limits: StorageOptions) -> None:
        """Keep what all operations need."""
        self.name = name
        self._core = core
        self._key_bytes_max = limits.key_bytes_max
        self._value_bytes_max = limits.value_bytes_max

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
            return GetAll(request, self.name, claim.epochs, claim.digest, bytes(places), wanted)

        def take(indexes: Sequence[int], reply: Reply) -> Sequence[int]:
            records = cast(Records, reply).records
            answered = indexes[: len(records)]
            asked = keys if len(answered) == len(keys) else [keys[index] for index in answered]
            entries_into(result, asked, records)
            return indexes[len(records) :]

        return Portion(partitions, make, take)

    def put_all(
        self,
        entries: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
        ttl: float | None,
        with_backup: bool,
    ) -> Operation[None]:
        """Store many entries."""
        ttl_ms = milliseconds(ttl)
        # One batch after the other: a later value of the same key must not be overtaken.
        for keys, values in batches_of(entries):
            yield from self._core.on_many(self._put_portions(keys, values, ttl_ms, with_backup))

    def _put_portions(
        self, keys: list[Any], values: list[Any], ttl_ms: int, with_backup: bool
    ) -> Iterator[Portion]:
        for portion in portions_of(len(keys), self._core.routing.target_count):
            named = keys[portion]
            places, datas = encode_keys(named, self._key_bytes_max)
            encoded = encode_values(values[portion], self._value_bytes_max, named)
            if sum(map(len, encoded)) + sum(map(len, datas)) <= PORTION_BYTES:
                yield self._put_portion(places, datas, encoded, ttl_ms, with_backup)
                continue
            for part in parts_of(list(map(add, map(len, encoded), map(len, datas)))):
                yield self._put_portion(
                    places[part], datas[part], encoded[part], ttl_ms, with_backup
                )

    def _put_portion(
        self,
        partitions: list[int],
        datas: list[bytes],
        encoded: list[bytes],
        ttl_ms: int,
        with_backup: bool,
    ) -> Portion:
        def make(request: int, claim: Claim, indexes: Sequence[int]) -> PutAll | WithBackup:
            places, keys = chosen_of(indexes, partitions, datas)
            values = encoded if keys is datas else [encoded[index] for index in indexes]
            epochs, digest, operation = claim
            write = PutAll(
                request, self.name, epochs, digest, bytes(places), keys, values, ttl_ms, operation
            )
            return WithBackup(write) if with_backup else write

        return Portion(partitions, make, lambda indexes, reply: ())

    def remove_all(self, keys: Iterable[Any], with_backup: bool) -> Operation[int]:
        """Remove many entries; return how many were there."""
        total = _Total()

        def portion(_: list[Any], partitions: list[int], datas: list[bytes]) -> Portion:
            return self._remove_portion(total, partitions, datas, with_backup)

        for batch in key_batches_of(keys):
            yield from self._core.on_many(self._key_portions(batch, portion))
        return total.count

    def _remove_portion(
        self, total: _Total, partitions: list[int], datas: list[bytes], with_backup: bool
    ) -> Portion:
        def make(request: int, claim: Claim, indexes: Sequence[int]) -> RemoveAll | WithBackup:
            places, chosen = chosen_of(indexes, partitions, datas)
            epochs, digest, operation = claim
            write = RemoveAll(request, self.name, epochs, digest, bytes(places), chosen, operation)
            return WithBackup(write) if with_backup else write

        return Portion(partitions, make, total.take)

    # -- the whole map --------------------------------------------------------------------

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

    def size(self) -> Operation[int]:
        """Count the entries."""
        return self._count(Size)

    def clear(self) -> Operation[int]:
        """Remove all entries; return how many there were."""
        return self._count(Clear)

    def _count(self, kind: type[Size | Clear]) -> Operation[int]:
        total = _Total()
        every = Portion(
            ALL_PARTITIONS,
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
