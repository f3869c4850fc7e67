"""What one storage process holds: partitions of maps, as plain dicts of bytes.

Responsible for: answering each data-plane request, letting entries expire.

Not responsible for: which partitions there are (``partitions.py``), sockets and frames
(``process/storage.py``), the meaning of a value (opaque bytes).

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
from grid.storage.partition import Table
from grid.storage.partitions import Partitions, RefusedError
from grid.storage.record import VERSION_BYTES, added, version_of
from grid.storage.scans import Scans

_NO_ENTRIES: dict[bytes, bytes] = {}

EXPIRED_AT_ONCE_MAX = 5_000
"""Entries removed in one go because their time is over; then requests are answered."""


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
        self._held = Partitions()
        self._partitions = self._held.by_id
        self.serve = self._held.serve
        self.release = self._held.release
        self.holdings = self._held.holdings
        self._scans = Scans(self._partitions, clock)
        self._largest_bytes = 0
        """No record is larger, or has been: most replies to batches need not be measured."""
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
        except RefusedError as refusal:
            return Refused(request.request, refusal.reason, refusal.partition)

    def _find(self, request: Get | Delete | Take | Increment | PutIf) -> tuple[Table, bytes | None]:
        """Return the table and the record that is there now."""
        table = self._held.get(request.partition, request.epoch).table(request.map)
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
            held = self._held.get(request.partition, request.epoch)  # Says why not.
        table = held.tables.get(request.map)
        if table is None:
            return Missing(request.request)
        record = table.records.get(request.key)
        if table.expiries is not None:
            record = self._living(table, request.key)
        if record is not None and len(record) <= LARGE_VALUE_BYTES:
            return Found(request.request, record)
        return _found(request.request, record)

    def _put(self, request: Put) -> Reply:
        if len(request.key) > self._key_bytes_max or len(request.value) > self._value_bytes_max:
            raise RefusedError(RefusalReason.TOO_LARGE, request.partition)
        held = self._held.get(request.partition, request.epoch)
        table = held.tables.get(request.map) or self._held.new_table(held, request.map)
        record = table.records[request.key] = held.next_version() + request.value
        if len(record) > self._largest_bytes:
            self._largest_bytes = len(record)
        if table.expiries is not None:
            table.expiries.forget(request.key)
        return Done(request.request, 1)

    def _put_if(self, request: PutIf) -> Reply:
        if len(request.key) > self._key_bytes_max or len(request.value) > self._value_bytes_max:
            raise RefusedError(RefusalReason.TOO_LARGE, request.partition)
        _, present = self._find(request)
        match request.condition:
            case Condition.ABSENT if present is not None:
                return _found(request.request, present)
            case Condition.PRESENT if present is None:
                return Done(request.request, 0)
            case Condition.SAME if present is None or version_of(present) != request.version:
                return Done(request.request, 0)
        held = self._held.get(request.partition, request.epoch)
        table = held.tables.get(request.map) or self._held.new_table(held, request.map)
        table.records[request.key] = held.next_version() + request.value
        self._note_size(len(request.value))
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
            raise RefusedError(RefusalReason.TOO_LARGE, request.partition)
        _, present = self._find(request)
        value = added(present, request.amount)
        if value is None:
            raise RefusedError(RefusalReason.NOT_COUNTABLE, request.partition)
        held = self._held.get(request.partition, request.epoch)
        record = held.next_version() + value
        table = held.tables.get(request.map) or self._held.new_table(held, request.map)
        table.records[request.key] = record  # Its date stays.
        return Found(request.request, record)

    # -- many entries ---------------------------------------------------------------------

    def _get_all(self, request: GetAll) -> Reply:
        partitions, keys = request.partitions, request.keys
        concerned = self._held.check_batch(request.epochs, request.digest, partitions, keys)
        entries = self._held.entries_of(request.map)
        if not concerned <= entries.keys():
            entries = {p: entries.get(p, _NO_ENTRIES) for p in concerned}
        records = [entries[p].get(key) for p, key in zip(partitions, keys, strict=True)]
        if self.has_expiries:
            now_s = self._clock()
            for index, (p, key) in enumerate(zip(partitions, keys, strict=True)):
                expiries = self._partitions[p].table(request.map).expiries
                if expiries is not None and expiries.is_over(key, now_s):
                    records[index] = None
        if len(records) * self._largest_bytes > REPLY_BYTES_MAX:
            records = _cut(records)
        return Records(request.request, records)

    def _put_all(self, request: PutAll) -> Reply:
        partitions, keys, values = request.partitions, request.keys, request.values
        concerned = self._held.check_batch(request.epochs, request.digest, partitions, keys)
        largest_bytes = max(map(len, values), default=0)
        if (
            len(values) != len(keys)
            or max(map(len, keys), default=0) > self._key_bytes_max
            or largest_bytes > self._value_bytes_max
        ):
            raise RefusedError(RefusalReason.TOO_LARGE, partitions[0] if keys else 0)
        self._note_size(largest_bytes)
        entries = self._held.entries_to_write(request.map, concerned)
        versions = self._held.next_versions(concerned)
        for p, key, value in zip(partitions, keys, values, strict=True):
            entries[p][key] = versions[p] + value
        if self.has_expiries or request.ttl_ms:
            for p, key in zip(partitions, keys, strict=True):
                table = self._partitions[p].table_to_write(request.map)
                self._set_expiry(table, (key,), request.ttl_ms)
        return Done(request.request, len(keys))

    def _note_size(self, value_bytes: int) -> None:
        if value_bytes + VERSION_BYTES > self._largest_bytes:
            self._largest_bytes = value_bytes + VERSION_BYTES

    def _tables(self, map_name: str, epochs: Epochs) -> Iterator[Table]:
        """Return a map's tables in these partitions, where it has any."""
        self._held.check(epochs)
        for p in dict(epochs):
            table = self._partitions[p].tables.get(map_name)
            if table is not None:
                yield table

    def _remove_all(self, request: RemoveAll) -> Reply:
        partitions, keys = request.partitions, request.keys
        self._held.check_batch(request.epochs, request.digest, partitions, keys)
        count = 0
        for p, key in zip(partitions, keys, strict=True):
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
            self._held.drop_table(p, request.map)
        return Done(request.request, count)

    def _scan(self, request: Scan) -> Reply:
        self._held.check(request.epochs)
        page = self._scans.next_page(request)
        if page is None:
            raise RefusedError(RefusalReason.SCAN_EXPIRED, 0)
        return page


def _found(request: int, record: bytes | None) -> Reply:
    if record is None:
        return Missing(request)
    if len(record) > LARGE_VALUE_BYTES:
        return FoundLarge(request, memoryview(record))
    return Found(request, record)


def _cut(records: list[bytes | None]) -> list[bytes | None]:
    """Return as many of the first records as one reply takes."""
    room_bytes = REPLY_BYTES_MAX
    for count, record in enumerate(records, 1):
        room_bytes -= 0 if record is None else len(record)
        if room_bytes <= 0:
            return records[:count]
    return records
