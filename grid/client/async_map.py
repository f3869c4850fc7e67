"""The distributed map for asyncio programs: the same names as `Map`, to be awaited.

Not here: what the operations do (``entries/``), what runs at the data (``processing/``), how they
reach the cluster (``requests/aio.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast, overload

from grid.client.entries.entry_operations import MISSING, Ack, EntryOperations, value_of
from grid.client.entries.map_operations import MapOperations
from grid.client.entries.scanning import Scanning
from grid.client.entries.tokens import WriteToken, pack_token
from grid.client.processing.at_data import AtData
from grid.client.processing.map_at_data import AsyncMapAtData
from grid.client.requests.aio import AsyncShell
from grid.storage.messages import Done, Missing
from grid.storage.options import StorageOptions
from grid.types import NodeId
from grid.wire.keys import decode_keys
from grid.wire.values import decode_record

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class AsyncMap(AsyncMapAtData[K, V], Generic[K, V]):
    """A map shared by everybody who is connected to the cluster; see `Map` for its promises."""

    def __init__(
        self,
        name: str,
        shell: AsyncShell,
        limits: StorageOptions,
        at_data: AtData,
        *,
        backup_ack: bool = False,
    ) -> None:
        """Use `AsyncGrid.map` instead."""
        super().__init__(name, at_data, backup_ack=backup_ack)
        self._shell = shell
        self._run = shell.run
        self._ask = shell.on_partition
        self._entries = EntryOperations(name, shell.core, limits)
        self._operations = MapOperations(name, shell.core, limits)

    def __repr__(self) -> str:
        """Name the map."""
        return f"<grid asyncio map {self.name!r}>"

    # -- one entry ------------------------------------------------------------------------

    @overload
    async def get(self, key: K, /) -> V | None: ...
    @overload
    async def get(self, key: K, /, default: V | D) -> V | D: ...
    async def get(self, key: K, /, default: Any = None) -> Any:
        """Return the value of `key`, or `default`."""
        return value_of(await self._ask(*self._entries.getting(key)), default)

    async def put(
        self, key: K, value: V, *, ttl: float | None = None, ack: Ack = None
    ) -> WriteToken:
        """Store `value` under `key`, replacing what was there; return its token.

        `ack` and the token are those of `Map.put`.
        """
        request = self._entries.putting(key, value, ttl, self._waits_for_backup(ack))
        reply = await self._ask(*request)
        return pack_token(reply.version, request[0])  # type: ignore[union-attr]  # It is Done.

    async def put_if_absent(
        self, key: K, value: V, *, ttl: float | None = None, ack: Ack = None
    ) -> bool:
        """Store `value` unless `key` has one; return whether it was stored."""
        with_backup = self._waits_for_backup(ack)
        return await self._run(self._entries.put_if_absent(key, value, ttl, with_backup))

    async def replace(self, key: K, value: V, *, ttl: float | None = None, ack: Ack = None) -> bool:
        """Store `value` if `key` has one already; return whether it was stored."""
        with_backup = self._waits_for_backup(ack)
        return await self._run(self._entries.replace(key, value, ttl, with_backup))

    async def replace_if_same(
        self, key: K, old: V, new: V, *, ttl: float | None = None, ack: Ack = None
    ) -> bool:
        """Store `new` if the value of `key` equals `old`; return whether it was stored."""
        with_backup = self._waits_for_backup(ack)
        return await self._run(self._entries.replace_if_same(key, old, new, ttl, with_backup))

    async def remove_if_same(self, key: K, old: V, *, ack: Ack = None) -> bool:
        """Remove `key` if its value equals `old`; return whether it was removed."""
        with_backup = self._waits_for_backup(ack)
        return await self._run(self._entries.remove_if_same(key, old, with_backup))

    async def increment(self, key: K, amount: Any = 1, *, ack: Ack = None) -> Any:
        """Add `amount` to the number stored under `key`; return the sum. See `Map.increment`."""
        with_backup = self._waits_for_backup(ack)
        return await self._run(self._entries.increment(key, amount, with_backup))

    async def delete(self, key: K, *, ack: Ack = None) -> bool:
        """Remove `key`; return whether it was there."""
        with_backup = self._waits_for_backup(ack)
        reply = await self._ask(*self._entries.deleting(key, with_backup))
        return cast(Done, reply).count == 1

    @overload
    async def pop(self, key: K, /, *, ack: Ack = None) -> V: ...
    @overload
    async def pop(self, key: K, /, default: V | D, *, ack: Ack = None) -> V | D: ...
    async def pop(self, key: K, /, default: Any = MISSING, *, ack: Ack = None) -> Any:
        """Remove `key` and return its value, or `default`, or raise KeyError."""
        with_backup = self._waits_for_backup(ack)
        value = value_of(await self._ask(*self._entries.taking(key, with_backup)), default)
        if value is MISSING:
            raise KeyError(key)
        return value

    async def popitem(self) -> tuple[K, V]:
        """Remove some entry and return it, or raise KeyError. See `Map.popitem`."""
        return cast(tuple[K, V], await self._run(self._operations.popitem()))

    async def setdefault(self, key: K, default: Any = None, /, *, ack: Ack = None) -> V:
        """Return the value of `key`; if it has none, store `default` and return that."""
        with_backup = self._waits_for_backup(ack)
        return cast(V, await self._run(self._entries.setdefault(key, default, with_backup)))

    async def contains(self, key: K) -> bool:
        """Whether `key` has a value."""
        return type(await self._ask(*self._entries.getting(key))) is not Missing

    # -- many entries ---------------------------------------------------------------------

    async def get_all(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the entries of those `keys` that exist, by one message per storage process."""
        return await self._run(self._operations.get_all(keys))

    async def put_all(
        self,
        entries: Mapping[K, V] | Iterable[tuple[K, V]],
        *,
        ttl: float | None = None,
        ack: Ack = None,
    ) -> None:
        """Store many entries, by one message per storage process and batch; see `Map.put_all`."""
        with_backup = self._waits_for_backup(ack)
        await self._run(self._operations.put_all(entries, ttl, with_backup))

    async def remove_all(self, keys: Iterable[K], *, ack: Ack = None) -> int:
        """Remove many keys, by one message per storage process; return how many were there."""
        with_backup = self._waits_for_backup(ack)
        return await self._run(self._operations.remove_all(keys, with_backup))

    # -- the whole map --------------------------------------------------------------------

    async def size(self) -> int:
        """Count the entries. One that has just expired may still be counted for a second."""
        return await self._run(self._operations.size())

    async def clear(self) -> None:
        """Remove all entries, by one message per storage process. See `Map.clear`."""
        await self._run(self._operations.clear())

    async def keys(self) -> AsyncIterator[K]:
        """Iterate over the keys, a page at a time."""
        async for keys, _ in self._pages(with_values=False):
            for key in decode_keys(keys):
                yield key

    def __aiter__(self) -> AsyncIterator[K]:
        """Same as `keys`."""
        return self.keys()

    async def items(self) -> AsyncIterator[tuple[K, V]]:
        """Iterate over the entries, a page at a time."""
        async for keys, records in self._pages(with_values=True):
            for entry in zip(decode_keys(keys), map(decode_record, records), strict=True):
                yield entry

    async def values(self) -> AsyncIterator[V]:
        """Iterate over the values, a page at a time."""
        async for _, records in self._pages(with_values=True):
            for record in records:
                yield decode_record(record)

    async def _pages(self, *, with_values: bool) -> AsyncIterator[tuple[list[bytes], list[bytes]]]:
        scanning = Scanning(self._shell.core, self.name, with_values=with_values)
        while (page := await self._run(scanning.next_page())) is not None:
            yield page

    def owner_of(self, key: K) -> NodeId | None:
        """Return the id of the node that holds `key`; None while its partition is lost."""
        return self._entries.owner_of(key)
