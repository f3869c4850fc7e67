"""What one storage process holds: partitions of maps, as plain dicts of bytes.

Responsible for: answering each data-plane request, refusing what is not owned or of another
epoch, giving up partitions on request only when they are empty, letting entries expire.

Not responsible for: sockets and frames (``process/storage.py``), who should own what
(``partition/``), the meaning of a value (opaque bytes).

Plain function calls, no effect objects: this is the hot path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from grid.storage.expiry import Expiries
from grid.storage.messages import (
    LARGE_VALUE_BYTES,
    REPLY_BYTES_MAX,
    Clear,
    Condition,
    Delete,
    Done,
    Epochs,
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
    RefusalReason,
    Refused,
    RemoveAll,
    Reply,
    Request,
    Scan,
    Size,
    Take,
    TakeAny,
    Taken,
)
from grid.storage.options import StorageOptions
from grid.storage.partition import Partition, Table
from grid.storage.record import added, version_of
from grid.storage.scans import Scans

EXPIRED_AT_ONCE_MAX = 5_000
"""Entries removed in one go because their time is over; then requests are answered."""


class _RefusedError(Exception):
    """Carries a refusal out of a request's check."""

    def __init__(self, reason: RefusalReason, partition: int) -> None:
        self.reason = reason
        self.partition = partition


class Store:
    """All partitions of one storage process."""

    def __init__(self, options: StorageOptions, clock: Callable[[], float]) -> None:
        """Start without partitions: everything is refused until some are served.

        Args:
            options: the limits.
            clock: seconds, never going back; read only where entries have a time to live.
        """
        self._key_bytes_max = options.key_bytes_max
        self._value_bytes_max = options.value_bytes_max
        self._clock = clock
        self._partitions: dict[int, Partition] = {}
        self._sequence = 0
        """The highest of the partitions given up: one may come back with the same epoch."""
        self._epochs_held: set[tuple[int, int]] = set()
        """(partition, epoch) of all partitions, to check many at once."""
        self._records_of: dict[str, dict[int, dict[bytes, bytes]]] = {}
        """For requests about many keys: a map's entries by partition, made when needed."""
        self._scans = Scans(self._partitions, clock)
        self.has_expiries = False
        """Whether some entry has, or had, a time to live."""
        self._handlers: dict[type[Request], Callable[[Any], Reply]] = {
            Get: self._get,
            Put: self._put,
            PutIf: self._put_if,
            Delete: self._delete,
            Take: self._take,
            Increment: self._increment,
            GetAll: self._get_all,
            PutAll: self._put_all,
            RemoveAll: self._remove_all,
            TakeAny: self._take_any,
            Size: self._size,
            Clear: self._clear,
            Scan: self._scan,
        }

    # -- control --------------------------------------------------------------------------

    def serve(self, epochs: dict[int, int]) -> None:
        """Serve exactly these partitions with these epochs.

        A partition held and not listed is dropped: the coordinator publishes such a table
        only after `release` has said that it is empty.
        """
        for partition_id in set(self._partitions) - set(epochs):
            self._give_up(partition_id)
        for partition_id, epoch in epochs.items():
            held = self._partitions.setdefault(partition_id, Partition(epoch, self._sequence))
            held.epoch = epoch
        self._partitions_changed()

    def release(self, partition_ids: Iterable[int]) -> list[int]:
        """Give up the empty ones among `partition_ids`; return those not held afterwards."""
        released = []
        for partition_id in partition_ids:
            held = self._partitions.get(partition_id)
            if held is None or not held.entry_count:
                self._give_up(partition_id)
                released.append(partition_id)
        self._partitions_changed()
        return released

    def _give_up(self, partition_id: int) -> None:
        held = self._partitions.pop(partition_id, None)
        if held is not None:
            self._sequence = max(self._sequence, held.sequence)

    def _partitions_changed(self) -> None:
        self._epochs_held = {(p, held.epoch) for p, held in self._partitions.items()}
        self._records_of.clear()

    def holdings(self) -> list[tuple[int, int, int]]:
        """Return (partition, epoch, entries) of everything held."""
        return [(p, held.epoch, held.entry_count) for p, held in self._partitions.items()]

    def expire(self) -> bool:
        """Remove entries whose time is over; return whether there may be more of them."""
        room, now_s = EXPIRED_AT_ONCE_MAX, self._clock()
        for held in self._partitions.values():
            for table in held.tables.values():
                if table.expiries is None:
                    continue
                over = table.expiries.take_over(now_s, room)
                for key in over:
                    del table.records[key]
                room -= len(over)
                if room <= 0:
                    return True
        return False

    # -- requests -------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Carry out one request."""
        try:
            return self._handlers[type(request)](request)
        except _RefusedError as refusal:
            return Refused(request.request, refusal.reason, refusal.partition)

    def _held(self, partition_id: int, epoch: int) -> Partition:
        held = self._partitions.get(partition_id)
        if held is None:
            raise _RefusedError(RefusalReason.NOT_OWNER, partition_id)
        if held.epoch != epoch:
            raise _RefusedError(RefusalReason.WRONG_EPOCH, partition_id)
        return held

    def _find(self, request: Get | Delete | Take | Increment | PutIf) -> tuple[Table, bytes | None]:
        """Return the table and the record that is there now."""
        table = self._held(request.partition, request.epoch).table(request.map)
        return table, self._living(table, request.key)

    def _living(self, table: Table, key: bytes) -> bytes | None:
        """Return the record if its time is not over; remove it if it is."""
        record = table.records.get(key)
        if record is None or table.expiries is None:
            return record
        if not table.expiries.is_over(key, self._clock()):
            return record
        table.remove(key)
        return None

    def _get(self, request: Get) -> Reply:
        held = self._partitions.get(request.partition)
        if held is None or held.epoch != request.epoch:
            held = self._held(request.partition, request.epoch)  # Says why not.
        table = held.tables.get(request.map)
        record = None if table is None else table.records.get(request.key)
        if record is None:
            return Missing(request.request)
        if table is not None and table.expiries is not None:
            record = self._living(table, request.key)
        return _found(request.request, record)

    def _put(self, request: Put) -> Reply:
        if len(request.key) > self._key_bytes_max or len(request.value) > self._value_bytes_max:
            raise _RefusedError(RefusalReason.TOO_LARGE, request.partition)
        held = self._held(request.partition, request.epoch)
        table = held.tables.get(request.map) or self._new_table(held, request.map)
        table.records[request.key] = held.next_version() + request.value
        if table.expiries is not None:
            table.expiries.forget(request.key)
        return Done(request.request, 1)

    def _put_if(self, request: PutIf) -> Reply:
        if len(request.key) > self._key_bytes_max or len(request.value) > self._value_bytes_max:
            raise _RefusedError(RefusalReason.TOO_LARGE, request.partition)
        _, present = self._find(request)
        match request.condition:
            case Condition.ABSENT if present is not None:
                return _found(request.request, present)
            case Condition.PRESENT if present is None:
                return Done(request.request, 0)
            case Condition.SAME if present is None or version_of(present) != request.version:
                return Done(request.request, 0)
        held = self._held(request.partition, request.epoch)
        table = held.tables.get(request.map) or self._new_table(held, request.map)
        table.records[request.key] = held.next_version() + request.value
        self._set_expiry(table, [request.key], request.ttl_ms)
        return Done(request.request, 1)

    def _set_expiry(self, table: Table, keys: Iterable[bytes], ttl_ms: int) -> None:
        if ttl_ms:
            self.has_expiries = True
            table.expiries = table.expiries or Expiries()
            at_s = self._clock() + ttl_ms / 1000
            for key in keys:
                table.expiries.set(key, at_s)
        elif table.expiries is not None:
            for key in keys:
                table.expiries.forget(key)

    def _delete(self, request: Delete) -> Reply:
        table, present = self._find(request)
        if present is None or (request.version and version_of(present) != request.version):
            return Done(request.request, 0)
        table.remove(request.key)
        return Done(request.request, 1)

    def _take(self, request: Take) -> Reply:
        table, present = self._find(request)
        if present is not None:
            table.remove(request.key)
        return _found(request.request, present)

    def _increment(self, request: Increment) -> Reply:
        if len(request.key) > self._key_bytes_max:
            raise _RefusedError(RefusalReason.TOO_LARGE, request.partition)
        _, present = self._find(request)
        value = added(present, request.amount)
        if value is None:
            raise _RefusedError(RefusalReason.NOT_COUNTABLE, request.partition)
        held = self._held(request.partition, request.epoch)
        record = held.next_version() + value
        table = held.tables.get(request.map) or self._new_table(held, request.map)
        table.records[request.key] = record  # Its date stays.
        return Found(request.request, record)

    # -- many entries ---------------------------------------------------------------------

    def _check_epochs(self, epochs: Epochs) -> None:
        if not self._epochs_held.issuperset(epochs):
            for partition_id, epoch in epochs:
                self._held(partition_id, epoch)

    def _check_batch(self, request: GetAll | PutAll | RemoveAll) -> None:
        """Refuse partitions of other epochs, and what a well-behaved client does not send."""
        self._check_epochs(request.epochs)
        partitions = request.partitions
        is_covered = dict(request.epochs).keys() >= set(partitions)
        if len(partitions) != len(request.keys) or not is_covered:
            raise _RefusedError(RefusalReason.TOO_LARGE, partitions[0] if partitions else 0)

    def _records_by_partition(self, map_name: str) -> dict[int, dict[bytes, bytes]]:
        """Return a map's entries in each partition held, only to be read where it has none."""
        known = self._records_of.get(map_name)
        if known is None:
            empty: dict[bytes, bytes] = {}
            known = {p: empty for p in self._partitions}
            for p, held in self._partitions.items():
                if map_name in held.tables:
                    known[p] = held.tables[map_name].records
                    self._records_of[map_name] = known
        return known

    def _new_table(self, held: Partition, map_name: str) -> Table:
        self._records_of.pop(map_name, None)
        return held.table_to_write(map_name)

    def _get_all(self, request: GetAll) -> Reply:
        self._check_batch(request)
        records_in = self._records_by_partition(request.map)
        asked = zip(request.partitions, request.keys, strict=True)
        records = [records_in[p].get(key) for p, key in asked]
        if self.has_expiries:
            now_s = self._clock()
            for index, (p, key) in enumerate(zip(request.partitions, request.keys, strict=True)):
                expiries = self._partitions[p].table(request.map).expiries
                if expiries is not None and expiries.is_over(key, now_s):
                    records[index] = None
        return Records(request.request, _cut(records))

    def _put_all(self, request: PutAll) -> Reply:
        self._check_batch(request)
        keys, values = request.keys, request.values
        if (
            len(values) != len(keys)
            or max(map(len, keys), default=0) > self._key_bytes_max
            or max(map(len, values), default=0) > self._value_bytes_max
        ):
            raise _RefusedError(RefusalReason.TOO_LARGE, request.partitions[0] if keys else 0)
        versions: dict[int, bytes] = {}
        for p, _ in request.epochs:
            held = self._partitions[p]
            if request.map not in held.tables:
                self._new_table(held, request.map)
            versions[p] = held.next_version()
        records_in = self._records_by_partition(request.map)
        for p, key, value in zip(request.partitions, keys, values, strict=True):
            records_in[p][key] = versions[p] + value
        if self.has_expiries or request.ttl_ms:
            for p, key in zip(request.partitions, keys, strict=True):
                table = self._partitions[p].table_to_write(request.map)
                self._set_expiry(table, (key,), request.ttl_ms)
        return Done(request.request, len(keys))

    def _tables(self, map_name: str, epochs: Epochs) -> Iterator[Table]:
        """Return a map's tables in these partitions, where it has any."""
        self._check_epochs(epochs)
        for p in dict(epochs):
            table = self._partitions[p].tables.get(map_name)
            if table is not None:
                yield table

    def _remove_all(self, request: RemoveAll) -> Reply:
        self._check_batch(request)
        count = 0
        for p, key in zip(request.partitions, request.keys, strict=True):
            table = self._partitions[p].table(request.map)
            if self._living(table, key) is not None:
                table.remove(key)
                count += 1
        return Done(request.request, count)

    def _take_any(self, request: TakeAny) -> Reply:
        for table in self._tables(request.map, request.epochs):
            while table.records:
                key = next(reversed(table.records))  # From the end: no holes to skip next time.
                record = self._living(table, key)
                if record is not None:
                    table.remove(key)
                    return Taken(request.request, key, record)
        return Missing(request.request)

    def _size(self, request: Size) -> Reply:
        tables = self._tables(request.map, request.epochs)
        return Done(request.request, sum(len(table.records) for table in tables))

    def _clear(self, request: Clear) -> Reply:
        count = 0
        for table in self._tables(request.map, request.epochs):
            count += len(table.records)
        for p, _ in request.epochs:
            self._partitions[p].tables.pop(request.map, None)
        self._records_of.pop(request.map, None)
        return Done(request.request, count)

    def _scan(self, request: Scan) -> Reply:
        self._check_epochs(request.epochs)
        page = self._scans.next_page(request)
        if page is None:
            raise _RefusedError(RefusalReason.SCAN_EXPIRED, 0)
        return page


def _found(request: int, record: bytes | None) -> Reply:
    if record is None:
        return Missing(request)
    if len(record) > LARGE_VALUE_BYTES:
        return FoundLarge(request, memoryview(record))
    return Found(request, record)


def _cut(records: list[bytes | None]) -> list[bytes | None]:
    """Return as many of the first records as one reply takes."""
    if sum(map(len, filter(None, records))) <= REPLY_BYTES_MAX:
        return records
    room_bytes = REPLY_BYTES_MAX
    for count, record in enumerate(records, 1):
        room_bytes -= 0 if record is None else len(record)
        if room_bytes <= 0:
            return records[:count]
    return records
