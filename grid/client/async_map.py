"""The distributed map for asyncio programs: the same names as `Map`, to be awaited.

Not here: what the operations do (``map_operations.py``), how they reach the cluster (``aio.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast, overload

from grid.client.aio import AsyncShell
from grid.client.map_operations import MISSING, MapOperations, value_of
from grid.client.scanning import Scanning
from grid.storage.messages import Done, Missing
from grid.storage.options import StorageOptions
from grid.types import NodeId
from grid.wire.keys import decode_keys
from grid.wire.values import decode_record

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class AsyncMap(Generic[K, V]):
    """A map shared by everybody who is connected to the cluster; see `Map` for its promises."""

    def __init__(self, name: str, shell: AsyncShell, limits: StorageOptions) -> None:
        """Use `AsyncGrid.map` instead."""
        self.name = name
        self._shell = shell
        self._run = shell.run
        self._ask = shell.on_partition
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
        return value_of(await self._ask(*self._operations.getting(key)), default)

    async def put(self, key: K, value: V, *, ttl: float | None = None) -> None:
        """Store `value` under `key`, replacing what was there."""
        await self._ask(*self._operations.putting(key, value, ttl))

    async def put_if_absent(self, key: K, value: V, *, ttl: float | None = None) -> bool:
        """Store `value` unless `key` has one; return whether it was stored."""
        return await self._run(self._operations.put_if_absent(key, value, ttl))

    async def replace(self, key: K, value: V, *, ttl: float | None = None) -> bool:
        """Store `value` if `key` has one already; return whether it was stored."""
        return await self._run(self._operations.replace(key, value, ttl))

    async def replace_if_same(self, key: K, old: V, new: V, *, ttl: float | None = None) -> bool:
        """Store `new` if the value of `key` equals `old`; return whether it was stored."""
        return await self._run(self._operations.replace_if_same(key, old, new, ttl))

    async def remove_if_same(self, key: K, old: V) -> bool:
        """Remove `key` if its value equals `old`; return whether it was removed."""
        return await self._run(self._operations.remove_if_same(key, old))

    async def increment(self, key: K, amount: Any = 1) -> Any:
        """Add `amount` to the number stored under `key`; return the sum. See `Map.increment`."""
        return await self._run(self._operations.increment(key, amount))

    async def delete(self, key: K) -> bool:
        """Remove `key`; return whether it was there."""
        reply = await self._ask(*self._operations.deleting(key))
        return cast(Done, reply).count == 1

    @overload
    async def pop(self, key: K, /) -> V: ...
    @overload
    async def pop(self, key: K, /, default: V | D) -> V | D: ...
    async def pop(self, key: K, /, default: Any = MISSING) -> Any:
        """Remove `key` and return its value, or `default`, or raise KeyError."""
        value = value_of(await self._ask(*self._operations.taking(key)), default)
        if value is MISSING:
            raise KeyError(key)
        return value

    async def popitem(self) -> tuple[K, V]:
        """Remove some entry and return it, or raise KeyError."""
        return cast(tuple[K, V], await self._run(self._operations.popitem()))

    async def setdefault(self, key: K, default: Any = None, /) -> V:
        """Return the value of `key`; if it has none, store `default` and return that."""
        return cast(V, await self._run(self._operations.setdefault(key, default)))

    async def contains(self, key: K) -> bool:
        """Whether `key` has a value."""
        return type(await self._ask(*self._operations.getting(key))) is not Missing

    # -- many entries ---------------------------------------------------------------------

    async def get_all(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the entries of those `keys` that exist, by one message per storage process."""
        return await self._run(self._operations.get_all(keys))

    async def put_all(
        self, entries: Mapping[K, V] | Iterable[tuple[K, V]], *, ttl: float | None = None
    ) -> None:
        """Store many entries, by one message per storage process and batch; see `Map.put_all`."""
        await self._run(self._operations.put_all(entries, ttl))

    async def remove_all(self, keys: Iterable[K]) -> int:
        """Remove many keys, by one message per storage process; return how many were there."""
        return await self._run(self._operations.remove_all(keys))

    # -- the whole map --------------------------------------------------------------------

    async def size(self) -> int:
        """Count the entries. One that has just expired may still be counted for a second."""
        return await self._run(self._operations.size())

    async def clear(self) -> None:
        """Remove all entries, by one message per storage process."""
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
        return self._operations.owner_of(key)
