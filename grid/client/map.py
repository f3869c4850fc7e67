"""The distributed map as a Python program sees it: a mutable mapping over the whole cluster.

Not here: what the operations do (``entries/``), what runs at the data (``processing/``), how they
reach the cluster (``requests/blocking.py``), the same map for asyncio (``async_map.py``).
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
from typing import Any, TypeVar, cast, overload

from grid.client.entries.entry_operations import MISSING, Ack, EntryOperations, value_of
from grid.client.entries.map_operations import MapOperations
from grid.client.entries.scanning import Scanning
from grid.client.entries.tokens import WriteToken, pack_token
from grid.client.processing.at_data import AtData
from grid.client.processing.map_at_data import MapAtData
from grid.client.requests.blocking import BlockingShell
from grid.storage.messages import Done, Missing
from grid.storage.options import StorageOptions
from grid.types import NodeId
from grid.wire.keys import decode_keys
from grid.wire.values import decode_record

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class Map(MapAtData[K, V], MutableMapping[K, V]):
    """A map shared by everybody who is connected to the cluster.

    Operations on one entry are atomic, those on many are not atomic as a whole. Iteration never
    holds the whole map, sees each partition as it was when the iteration reached it, and each
    entry once. Keys: str, bytes, int, float, bool, None, date, datetime, UUID and tuples of
    these; keys that are equal in Python are one key. Values: anything that can be pickled.

    `ttl` is in seconds: the entry disappears after that time, unless it is stored anew before.
    The size may count it for a second more.

    A write is acknowledged by the node that holds the entry, and its backup follows: within 100 ms,
    1,000 writes and 1 MiB of a partition, beyond which writers wait. So the sudden death of a node
    may cost its last acknowledged writes; how many at most is counted, shown and reported. With
    ``ack="backup"`` the acknowledgement comes when the backup has the write, too: nothing that was
    acknowledged so is lost by the death of any one node, and nobody reads it before. It takes one
    more way through the network, and fails with NotEnoughNodesError while there is no complete
    backup. None means what ``Grid.map(..., backup_ack=...)`` says, for `m[key] = value`, too.

    A write whose connection breaks is repeated, elsewhere if need be, and carried out once.

    Every operation raises: PartitionLostError, OperationTimeoutError, OperationError (see its
    ``outcome``), SerializationError and its kin; ValueError for an `ack` that there is not. Safe
    to share between threads.
    """

    def __init__(
        self,
        name: str,
        shell: BlockingShell,
        limits: StorageOptions,
        at_data: AtData,
        *,
        backup_ack: bool = False,
    ) -> None:
        """Use `Grid.map` instead."""
        super().__init__(name, at_data, backup_ack=backup_ack)
        self._shell = shell
        self._run = shell.run
        self._ask = shell.on_partition
        self._entries = EntryOperations(name, shell.core, limits)
        self._operations = MapOperations(name, shell.core, limits)

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
        return value_of(self._ask(*self._entries.getting(key)), default)

    def put(self, key: K, value: V, *, ttl: float | None = None, ack: Ack = None) -> WriteToken:
        """Store `value` under `key`, replacing what was there.

        Returns: a token, by which `Grid.survived` tells later, to anybody, whether this write is
            still there after nodes have died.
        """
        request = self._entries.putting(key, value, ttl, self._waits_for_backup(ack))
        reply = self._ask(*request)
        return pack_token(reply.version, request[0])  # type: ignore[union-attr]  # It is Done.

    def put_if_absent(self, key: K, value: V, *, ttl: float | None = None, ack: Ack = None) -> bool:
        """Store `value` unless `key` has one; return whether it was stored."""
        with_backup = self._waits_for_backup(ack)
        return self._run(self._entries.put_if_absent(key, value, ttl, with_backup))

    def replace(self, key: K, value: V, *, ttl: float | None = None, ack: Ack = None) -> bool:
        """Store `value` if `key` has one already; return whether it was stored."""
        with_backup = self._waits_for_backup(ack)
        return self._run(self._entries.replace(key, value, ttl, with_backup))

    def replace_if_same(
        self, key: K, old: V, new: V, *, ttl: float | None = None, ack: Ack = None
    ) -> bool:
        """Store `new` if the value of `key` equals `old`; return whether it was stored."""
        with_backup = self._waits_for_backup(ack)
        return self._run(self._entries.replace_if_same(key, old, new, ttl, with_backup))

    def remove_if_same(self, key: K, old: V, *, ack: Ack = None) -> bool:
        """Remove `key` if its value equals `old`; return whether it was removed."""
        with_backup = self._waits_for_backup(ack)
        return self._run(self._entries.remove_if_same(key, old, with_backup))

    def increment(self, key: K, amount: Any = 1, *, ack: Ack = None) -> Any:
        """Add `amount` to the number stored under `key` (0 if there is none); return the sum.

        Counted where the entry lives, in one message, for int and float of 64 bits; other numbers
        (a large int, a Decimal) by compare-and-set. A time to live stays, except for the latter.

        Raises: TypeError when the value cannot be added to.
        """
        with_backup = self._waits_for_backup(ack)
        return self._run(self._entries.increment(key, amount, with_backup))

    def delete(self, key: K, *, ack: Ack = None) -> bool:
        """Remove `key`; return whether it was there."""
        with_backup = self._waits_for_backup(ack)
        reply = self._ask(*self._entries.deleting(key, with_backup))
        return cast(Done, reply).count == 1

    @overload
    def pop(self, key: K, /, *, ack: Ack = None) -> V: ...
    @overload
    def pop(self, key: K, /, default: V | D, *, ack: Ack = None) -> V | D: ...
    def pop(self, key: K, /, default: Any = MISSING, *, ack: Ack = None) -> Any:
        """Remove `key` and return its value, or `default`, or raise KeyError."""
        with_backup = self._waits_for_backup(ack)
        value = value_of(self._ask(*self._entries.taking(key, with_backup)), default)
        if value is MISSING:
            raise KeyError(key)
        return value

    def popitem(self) -> tuple[K, V]:
        """Remove some entry and return it, or raise KeyError. No other caller gets the same.

        It does not wait for a backup, and is not repeated: with a broken connection the outcome
        is "unknown".
        """
        return cast(tuple[K, V], self._run(self._operations.popitem()))

    def setdefault(self, key: K, default: Any = None, /, *, ack: Ack = None) -> V:
        """Return the value of `key`; if it has none, store `default` and return that."""
        with_backup = self._waits_for_backup(ack)
        return cast(V, self._run(self._entries.setdefault(key, default, with_backup)))

    def __getitem__(self, key: K) -> V:
        """Return the value of `key`, or raise KeyError."""
        value = value_of(self._ask(*self._entries.getting(key)), MISSING)
        if value is MISSING:
            raise KeyError(key)
        return cast(V, value)

    def __setitem__(self, key: K, value: V) -> None:
        """Same as `put`."""
        self._ask(*self._entries.putting(key, value, None, self._backup_ack))

    def __delitem__(self, key: K) -> None:
        """Remove `key`, or raise KeyError."""
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        """Whether `key` has a value."""
        return type(self._ask(*self._entries.getting(key))) is not Missing

    # -- many entries ---------------------------------------------------------------------

    def get_all(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the entries of those `keys` that exist, by one message per storage process."""
        return self._run(self._operations.get_all(keys))

    def put_all(
        self,
        entries: Mapping[K, V] | Iterable[tuple[K, V]],
        *,
        ttl: float | None = None,
        ack: Ack = None,
    ) -> None:
        """Store many entries, by one message per storage process and batch.

        Not atomic as a whole: with an error, some entries may be stored and others not.
        """
        with_backup = self._waits_for_backup(ack)
        self._run(self._operations.put_all(entries, ttl, with_backup))

    def remove_all(self, keys: Iterable[K], *, ack: Ack = None) -> int:
        """Remove many keys, by one message per storage process; return how many were there."""
        with_backup = self._waits_for_backup(ack)
        return self._run(self._operations.remove_all(keys, with_backup))

    def update(self, *args: Any, **kwargs: V) -> None:
        """Same as `dict.update`, by `put_all`; another map is streamed."""
        if len(args) > 1:
            raise TypeError(f"update takes at most 1 positional argument ({len(args)} given)")
        if args and isinstance(args[0], Mapping):
            self.put_all(args[0])
            args = ()
        self.put_all(cast(dict[K, V], dict(*args, **kwargs)))

    # -- the whole map --------------------------------------------------------------------

    def size(self) -> int:
        """Count the entries. One that has just expired may still be counted for a second."""
        return self._run(self._operations.size())

    def __len__(self) -> int:
        """Same as `size`."""
        return self.size()

    def clear(self) -> None:
        """Remove all entries, by one message per storage process.

        It does not wait for backups, and is not repeated once sent; clear again if in doubt.
        """
        self._run(self._operations.clear())

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys, a page at a time."""
        for keys, _ in self._pages(with_values=False):
            yield from decode_keys(keys)

    def items(self) -> ItemsView[K, V]:
        """Return the entries; iterating fetches pages, the whole map is never in memory."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """Return the values; iterating fetches pages, the whole map is never in memory."""
        return _Values(self)

    def stream(self) -> Iterator[tuple[K, V]]:
        """Iterate over the entries, a page at a time."""
        for keys, records in self._pages(with_values=True):
            yield from zip(decode_keys(keys), map(decode_record, records), strict=True)

    def _pages(self, *, with_values: bool) -> Iterator[tuple[list[bytes], list[bytes]]]:
        scanning = Scanning(self._shell.core, self.name, with_values=with_values)
        while (page := self._run(scanning.next_page())) is not None:
            yield page

    def owner_of(self, key: K) -> NodeId | None:
        """Return the id of the node that holds `key`; None while its partition is lost."""
        return self._entries.owner_of(key)


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

    def __contains__(self, value: object) -> bool:
        return any(value is found or value == found for found in self)
