"""The distributed map as a Python program sees it: a mutable mapping over the whole cluster.

Not here: routing and repetition (``operations.py``), the bytes (``wire/codec.py``).
"""

from __future__ import annotations

from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import Any, Generic, TypeVar, cast, overload

from grid.client.operations import Operations
from grid.errors import ProtocolError
from grid.storage.messages import (
    Delete,
    Done,
    Found,
    Get,
    GetAll,
    Missing,
    Page,
    Put,
    PutAll,
    Size,
    StorageReply,
    Values,
)
from grid.storage.options import StorageOptions
from grid.types import PARTITION_COUNT, NodeId
from grid.wire.codec import decode_key, decode_value, encode_key, encode_value

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

BATCH_BYTES = 4 * 1024 * 1024
"""`put_all` and `get_all` send what they have gathered when it reaches this size ..."""

BATCH_ENTRIES = 10_000
"""... or this number of entries, so that memory stays bounded on both sides."""

_MISSING: Any = object()


class Map(MutableMapping[K, V], Generic[K, V]):
    """A map shared by everybody who is connected to the cluster.

    Single operations are atomic. Iteration sees each partition as it was when the iteration
    reached it. Keys: str, bytes, int, float, bool, None and tuples of these; values: anything
    that can be pickled.

    Every operation raises: PartitionLostError, OperationTimeoutError, OperationError (see its
    ``outcome``), SerializationError and its kin.
    """

    def __init__(self, name: str, operations: Operations, limits: StorageOptions) -> None:
        """Use `Grid.map` instead."""
        self.name = name
        self._operations = operations
        self._key_bytes_max = limits.key_bytes_max
        self._value_bytes_max = limits.value_bytes_max

    def __repr__(self) -> str:
        """Name the map; its content would be a cluster's worth."""
        return f"<grid map {self.name!r}>"

    # -- one entry ------------------------------------------------------------------------

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    def get(self, key: K, /, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        partition_id, key_bytes = encode_key(key, self._key_bytes_max)
        reply = self._operations.on_partition(
            partition_id,
            lambda request, epoch: Get(request, self.name, partition_id, epoch, key_bytes),
        )
        if type(reply) is Found:
            return decode_value(reply.value)
        if type(reply) is Missing:
            return default
        raise _unexpected(reply)

    def put(self, key: K, value: V) -> None:
        """Store `value` under `key`, replacing what was there."""
        partition_id, key_bytes = encode_key(key, self._key_bytes_max)
        data = encode_value(value, self._value_bytes_max)
        self._operations.on_partition(
            partition_id,
            lambda request, epoch: Put(request, self.name, partition_id, epoch, key_bytes, data),
        )

    def delete(self, key: K) -> bool:
        """Remove `key`; return whether it was there."""
        partition_id, key_bytes = encode_key(key, self._key_bytes_max)
        reply = self._operations.on_partition(
            partition_id,
            lambda request, epoch: Delete(request, self.name, partition_id, epoch, key_bytes),
        )
        return cast(Done, reply).count == 1

    def __getitem__(self, key: K) -> V:
        """Return the value of `key`, or raise KeyError."""
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return cast(V, value)

    def __setitem__(self, key: K, value: V) -> None:
        """Same as `put`."""
        self.put(key, value)

    def __delitem__(self, key: K) -> None:
        """Remove `key`, or raise KeyError."""
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        """Whether `key` has a value."""
        return self.get(cast(K, key), _MISSING) is not _MISSING

    # -- many entries ---------------------------------------------------------------------

    def get_all(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the entries of those `keys` that exist, in one message per storage process."""
        result: dict[K, V] = {}
        batch: dict[int, dict[bytes, K]] = {}
        count = 0
        for key in keys:
            partition_id, key_bytes = encode_key(key, self._key_bytes_max)
            batch.setdefault(partition_id, {})[key_bytes] = key
            count += 1
            if count >= BATCH_ENTRIES:
                self._get_batch(batch, result)
                batch, count = {}, 0
        self._get_batch(batch, result)
        return result

    def put_all(self, entries: Mapping[K, V] | Iterable[tuple[K, V]]) -> None:
        """Store many entries, in one message per storage process and batch.

        Not atomic as a whole: with an error, some entries may be stored and others not.
        """
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        batch: dict[int, dict[bytes, bytes]] = {}
        count = size = 0
        for key, value in pairs:
            partition_id, key_bytes = encode_key(key, self._key_bytes_max)
            data = encode_value(value, self._value_bytes_max)
            batch.setdefault(partition_id, {})[key_bytes] = data
            count += 1
            size += len(key_bytes) + len(data)
            if count >= BATCH_ENTRIES or size >= BATCH_BYTES:
                self._put_batch(batch)
                batch, count, size = {}, 0, 0
        self._put_batch(batch)

    def update(self, *args: Any, **kwargs: V) -> None:
        """Same as `dict.update`, by `put_all`."""
        self.put_all(dict(*args, **kwargs))

    def _get_batch(self, batch: dict[int, dict[bytes, K]], result: dict[K, V]) -> None:
        """Add the batch's entries to `result`; a reply that stops early is continued."""
        while batch:
            batch = self._get_some(batch, result)

    def _get_some(
        self, batch: dict[int, dict[bytes, K]], result: dict[K, V]
    ) -> dict[int, dict[bytes, K]]:
        """Ask once for the whole batch; return what the replies had no room for."""
        replies = self._operations.on_targets(
            batch,
            lambda request, pairs: GetAll(
                request, self.name, [(p, epoch, list(batch[p])) for p, epoch in pairs]
            ),
        )
        rest: dict[int, dict[bytes, K]] = {}
        for partition_ids, reply in replies:
            asked = [(p, key_bytes) for p in partition_ids for key_bytes in batch[p]]
            values = cast(Values, reply).values
            for (partition_id, key_bytes), value in zip(asked, values, strict=False):
                if value is not None:
                    result[batch[partition_id][key_bytes]] = decode_value(value)
            for partition_id, key_bytes in asked[len(values) :]:
                rest.setdefault(partition_id, {})[key_bytes] = batch[partition_id][key_bytes]
        return rest

    def _put_batch(self, batch: dict[int, dict[bytes, bytes]]) -> None:
        self._operations.on_targets(
            batch,
            lambda request, pairs: PutAll(
                request,
                self.name,
                [(p, epoch, list(batch[p]), list(batch[p].values())) for p, epoch in pairs],
            ),
        )

    # -- the whole map --------------------------------------------------------------------

    def __len__(self) -> int:
        """Count the entries of all partitions."""
        replies = self._operations.on_targets(
            range(PARTITION_COUNT), lambda request, pairs: Size(request, self.name, pairs)
        )
        return sum(cast(Done, reply).count for _, reply in replies)

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys, a page at a time."""
        for page in self._pages(with_values=False):
            for key_bytes in page.keys:
                yield decode_key(key_bytes)

    def items(self) -> ItemsView[K, V]:
        """Return the entries; iterating fetches pages, the whole map is never in memory."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Return the values; iterating fetches pages, the whole map is never in memory."""
        return _Values(self)

    def stream(self) -> Iterator[tuple[K, V]]:
        """Iterate over the entries, a page at a time."""
        for page in self._pages(with_values=True):
            for key_bytes, data in zip(page.keys, page.values, strict=True):
                yield decode_key(key_bytes), decode_value(data)

    def clear(self) -> None:
        """Remove every entry that the iteration meets."""
        for key in self:
            self.delete(key)

    def _pages(self, *, with_values: bool) -> Iterator[Page]:
        for partition_id in range(PARTITION_COUNT):
            pages = self._operations.scan_partition(
                self.name, partition_id, with_values=with_values
            )
            for page in pages:
                if not isinstance(page, Page):
                    raise _unexpected(page)
                yield page

    def owner_of(self, key: K) -> NodeId | None:
        """Return the id of the node that holds `key`; None while its partition is lost."""
        partition_id, _ = encode_key(key, self._key_bytes_max)
        return self._operations.owner_of(partition_id)


class _Items(ItemsView[K, V]):
    """A view that streams instead of looking up key by key."""

    def __init__(self, owner: Map[K, V]) -> None:
        super().__init__(owner)
        self._owner = owner

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._owner.stream()


class _Values(ValuesView[V]):
    """As `_Items`, values only."""

    def __init__(self, owner: Map[Any, V]) -> None:
        super().__init__(owner)
        self._owner = owner

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._owner.stream())


def _unexpected(reply: StorageReply) -> ProtocolError:
    return ProtocolError(f"an unexpected answer: {type(reply).__name__}")
