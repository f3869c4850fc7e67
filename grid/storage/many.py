"""Requests about many entries, and entries whose time is over.

Not here: requests about one entry, and which results are told again (``store.py``); cutting a batch
into messages (``client/entries/batches.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from grid.storage.changes import Changes, Cleared, Outlet
from grid.storage.expiry import Expiries
from grid.storage.messages import (
    REPLY_BYTES_MAX,
    Clear,
    Done,
    Epochs,
    GetAll,
    Missing,
    PutAll,
    Records,
    RefusalReason,
    RemoveAll,
    Reply,
    Size,
    TakeAny,
    Taken,
)
from grid.storage.options import StorageOptions
from grid.storage.partition import Partition, Table
from grid.storage.partitions import Partitions, RefusedError
from grid.storage.record import VERSION_BYTES
from grid.storage.results import keep_in_all

EXPIRED_AT_ONCE_MAX = 5_000
"""Entries removed in one go because their time is over; then requests are answered."""

ENTRY_BYTES = 16
"""What an entry of a change takes besides key and value, about."""

Version = tuple[int, int, int]
"""(partition, epoch, sequence) of a write."""

_NO_ENTRIES: dict[bytes, bytes] = {}


class ManyEntries:
    """The operations of a store on more than one entry."""

    def __init__(
        self, held: Partitions, options: StorageOptions, clock: Callable[[], float]
    ) -> None:
        """Work on the store's partitions."""
        self._held = held
        self._by_id = held.by_id
        self._key_bytes_max = options.key_bytes_max
        self._value_bytes_max = options.value_bytes_max
        self._clock = clock
        self.largest_bytes = 0
        """No record is larger, or has been: most replies to batches need not be measured."""
        self.has_expiries = False
        """Whether some entry has, or had, a time to live."""
        self.is_with_backup = False
        """What is written now is acknowledged when a backup has it."""

    # -- reading --------------------------------------------------------------------------

    def get_all(self, request: GetAll) -> Records:
        """Read many entries."""
        partitions, keys = request.partitions, request.keys
        concerned = self._held.check_batch(request.epochs, request.digest, partitions, keys)
        entries = self._held.entries_of(request.map)
        if not concerned <= entries.keys():
            entries = {p: entries.get(p, _NO_ENTRIES) for p in concerned}
        records = [entries[p].get(key) for p, key in zip(partitions, keys, strict=True)]
        if self.has_expiries:
            now_s = self._clock()
            for index, (p, key) in enumerate(zip(partitions, keys, strict=True)):
                expiries = self._by_id[p].table(request.map).expiries
                if expiries is not None and expiries.is_over(key, now_s):
                    records[index] = None
        if len(records) * self.largest_bytes > REPLY_BYTES_MAX:
            records = _cut(records)
        self._held.operations += len(records) - 1  # The request itself is counted by the store.
        return Records(request.request, records)

    def unconfirmed_of(self, request: GetAll) -> tuple[tuple[Partition, int], ...]:
        """Return what a reader of these entries has to wait for."""
        waiting = {p for p in set(request.partitions) if self._by_id[p].unconfirmed}
        if not waiting:
            return ()
        last: dict[int, int] = {}
        for p, key in zip(request.partitions, request.keys, strict=True):
            if p in waiting:
                sequence = self._by_id[p].unconfirmed.get((request.map, key), 0)
                last[p] = max(sequence, last.get(p, 0))
        return tuple((self._by_id[p], sequence) for p, sequence in last.items() if sequence)

    def size(self, request: Size) -> Reply:
        """Count a map's entries."""
        tables = self._tables(request.map, request.epochs)
        return Done(request.request, sum(len(table.records) for _, table in tables))

    # -- writing --------------------------------------------------------------------------

    def put_all(self, request: PutAll, client: bytes) -> Reply:
        """Write many entries."""
        partitions, keys, values = request.partitions, request.keys, request.values
        concerned = self._held.check_batch(request.epochs, request.digest, partitions, keys)
        largest_bytes = max(map(len, values), default=0)
        if (
            len(values) != len(keys)
            or max(map(len, keys), default=0) > self._key_bytes_max
            or largest_bytes > self._value_bytes_max
        ):
            raise RefusedError(RefusalReason.TOO_LARGE, partitions[0] if keys else 0)
        self._held.check_writes(concerned, partitions)
        operation = request.operation or request.request
        done = self._done_before(concerned, client, operation)
        if done:
            chosen = [i for i, p in enumerate(partitions) if p not in done]
            partitions = bytes(partitions[i] for i in chosen)
            keys, values = [keys[i] for i in chosen], [values[i] for i in chosen]
            concerned = set(partitions)
        self._held.operations += len(keys) - 1
        self.note_size(largest_bytes)
        entries = self._held.entries_to_write(request.map, concerned)
        versions = self._held.next_versions(concerned)
        for p, key, value in zip(partitions, keys, values, strict=True):
            entries[p][key] = versions[p] + value
        if self.has_expiries or request.ttl_ms:
            for p, key in zip(partitions, keys, strict=True):
                table = self._by_id[p].table_to_write(request.map)
                self.set_expiry(table, (key,), request.ttl_ms)
        reply = Done(request.request, len(request.keys))
        if client:
            by_id = self._by_id
            keep_in_all([by_id[p].results for p in concerned], client, operation, reply)
        self._forget_unconfirmed(request.map, partitions, keys)
        self._tell(
            Changes(request.map, [], partitions, keys, values, request.ttl_ms, client, operation)
        )
        return reply

    def remove_all(self, request: RemoveAll, client: bytes) -> Reply:
        """Remove many entries."""
        partitions, keys = request.partitions, request.keys
        concerned = self._held.check_batch(request.epochs, request.digest, partitions, keys)
        self._held.check_writes(concerned, partitions)
        operation = request.operation or request.request
        done = self._done_before(concerned, client, operation)
        self._held.operations += len(keys) - 1
        count = sum(done.values())
        removed: list[tuple[int, bytes]] = []
        now_s = self._clock() if self.has_expiries else 0.0
        for p, key in zip(partitions, keys, strict=True):
            table = self._by_id[p].table(request.map)
            if p in done or key not in table.records:
                continue
            if table.expiries is None or not table.expiries.is_over(key, now_s):
                table.remove(key)
                removed.append((p, key))
        self.tell_removed(request.map, removed, client, operation)
        if client:  # Also where nothing was removed: see `Store._keep`.
            untouched = concerned - done.keys() - {p for p, _ in removed}
            of_each = [self._by_id[p].results for p in untouched]
            keep_in_all(of_each, client, operation, Done(operation, 0))
        return Done(request.request, count + len(removed))

    def take_any(self, request: TakeAny) -> Reply:
        """Remove some entry and return it."""
        self._held.check(request.epochs)
        self._held.check_writes({p for p, _ in request.epochs}, b"")
        now_s = self._clock() if self.has_expiries else 0.0
        for held, table in self._tables(request.map, request.epochs):
            for key in reversed(table.records):  # From the end: no holes to skip next time.
                if table.expiries is not None and table.expiries.is_over(key, now_s):
                    continue
                record = table.records[key]
                table.remove(key)
                self.tell_removed(request.map, [(held.partition_id, key)], b"", 0)
                return Taken(request.request, key, record)
        return Missing(request.request)

    def clear(self, request: Clear) -> Reply:
        """Remove all entries of a map."""
        self._held.check(request.epochs)
        self._held.check_writes({p for p, _ in request.epochs}, b"")
        count = 0
        versions: list[Version] = []
        for held, table in list(self._tables(request.map, request.epochs)):
            count += len(table.records)
            held.sequence += 1
            held.unconfirmed = {e: s for e, s in held.unconfirmed.items() if e[0] != request.map}
            versions.append((held.partition_id, held.epoch, held.sequence))
            self._held.drop_table(held.partition_id, request.map)
        for outlet, mine in self._outlets_of([p for p, _, _ in versions]):
            outlet.append_many(Cleared(request.map, mine), ENTRY_BYTES * len(mine), len(mine))
        return Done(request.request, count)

    def expire(self) -> bool:
        """Remove entries whose time is over; return whether there may be more of them."""
        room, now_s = EXPIRED_AT_ONCE_MAX, self._clock()
        for partition_id, held in self._by_id.items():
            if held.is_frozen:
                continue
            for map_name, table in held.tables.items():
                if table.expiries is None:
                    continue
                over = table.expiries.take_over(now_s, room)
                for key in over:
                    del table.records[key]
                self.tell_removed(map_name, [(partition_id, key) for key in over], b"", 0)
                room -= len(over)
                if room <= 0:
                    return True
        return False

    # -- what writes have in common -------------------------------------------------------

    def set_expiry(self, table: Table, keys: Iterable[bytes], ttl_ms: int) -> None:
        """Let entries end after a time; 0: they stay, below 0: as before."""
        if ttl_ms > 0:
            self.has_expiries = True
            table.expiries = table.expiries or Expiries()
            at_s = self._clock() + ttl_ms / 1000
            for key in keys:
                table.expiries.set(key, at_s)
        elif ttl_ms == 0 and table.expiries is not None:
            for key in keys:
                table.expiries.forget(key)

    def took_over(self, held: Partition) -> None:
        """A copy has become a primary: take note of what it holds."""
        for table in held.tables.values():
            largest_bytes = max(map(len, table.records.values()), default=0)
            self.largest_bytes = max(self.largest_bytes, largest_bytes)
            self.has_expiries = self.has_expiries or table.expiries is not None

    def note_size(self, value_bytes: int) -> None:
        """Take note of a value's size, before it is stored."""
        if value_bytes + VERSION_BYTES > self.largest_bytes:
            self.largest_bytes = value_bytes + VERSION_BYTES

    def tell_removed(
        self, map_name: str, removed: list[tuple[int, bytes]], client: bytes, operation: int
    ) -> None:
        """Count, keep and tell the copies what has been removed."""
        if not removed:
            return
        partitions = bytes(p for p, _ in removed)
        counts = Counter(partitions)
        for p, count in counts.items():
            held = self._by_id[p]
            held.sequence += 1
            if client:
                held.results.of(client).add(operation, Done(operation, count))
        keys = [key for _, key in removed]
        self._forget_unconfirmed(map_name, partitions, keys)
        self._tell(Changes(map_name, [], partitions, keys, None, 0, client, operation))

    def _done_before(
        self, concerned: Iterable[int], client: bytes, operation: int
    ) -> dict[int, int]:
        """Return the partitions where this has been carried out already, and their counts.

        Raises: RefusedError when that is no longer known of some.
        """
        done: dict[int, int] = {}
        if not client:
            return done
        by_id = self._by_id
        for p in concerned:
            known = by_id[p].results.clients.get(client)
            if known is None or (operation > known.floor and operation not in known.results):
                continue
            if operation in known.results:
                result = known.results[operation]
                done[p] = result.count if isinstance(result, Done) else 0
            else:
                raise RefusedError(RefusalReason.FORGOTTEN, p)
        return done

    def _forget_unconfirmed(self, map_name: str, partitions: bytes, keys: list[bytes]) -> None:
        """These entries have newer writes, whose writers do not wait."""
        by_id = self._by_id
        if any([by_id[p].unconfirmed for p in set(partitions)]):
            for p, key in zip(partitions, keys, strict=True):
                self._by_id[p].unconfirmed.pop((map_name, key), None)

    def _tell(self, change: Changes) -> None:
        """Tell each copy its part of a change; the versions are put in here."""
        places = set(change.partitions)
        for outlet, versions in self._outlets_of(places):
            if len(versions) == len(places):
                partitions, keys, values = change.partitions, change.keys, change.values
            else:
                chosen = {p for p, _, _ in versions}
                indexes = [i for i, p in enumerate(change.partitions) if p in chosen]
                partitions = bytes(change.partitions[i] for i in indexes)
                keys = [change.keys[i] for i in indexes]
                values = None if change.values is None else [change.values[i] for i in indexes]
            size_bytes = sum(map(len, keys)) + sum(map(len, values or ()))
            mine = Changes(
                change.map, versions, partitions, keys, values,
                change.ttl_ms, change.client, change.operation,
            )  # fmt: skip
            size_bytes += ENTRY_BYTES * len(keys)
            outlet.append_many(mine, size_bytes, 0 if self.is_with_backup else len(keys))

    def _outlets_of(self, places: Iterable[int]) -> Iterable[tuple[Outlet, list[Version]]]:
        """Return one outlet for each process that has copies of these, with their last writes."""
        by_id = self._by_id
        chosen: dict[object, tuple[Outlet, list[Version]]] = {}
        for p in places:
            held = by_id[p]
            version = p, held.epoch, held.sequence
            for outlet in held.outlets:
                known = chosen.get(outlet.destination)
                if known is None:
                    chosen[outlet.destination] = outlet, [version]
                else:
                    known[1].append(version)
        return chosen.values()

    def _tables(self, map_name: str, epochs: Epochs) -> Iterator[tuple[Partition, Table]]:
        """Return a map's tables in these partitions, where it has any."""
        self._held.check(epochs)
        for p in dict(epochs):
            table = self._by_id[p].tables.get(map_name)
            if table is not None:
                yield self._by_id[p], table


def _cut(records: list[bytes | None]) -> list[bytes | None]:
    """Return as many of the first records as one reply takes."""
    room_bytes = REPLY_BYTES_MAX
    for count, record in enumerate(records, 1):
        room_bytes -= 0 if record is None else len(record)
        if room_bytes <= 0:
            return records[:count]
    return records
