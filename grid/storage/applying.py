"""How a copy of a partition becomes, and stays, equal to its primary.

A copy is first *filled*: pages of entries as they are at the primary when each page is cut, in one
ordered stream with the changes that happen meanwhile. So whatever comes later is newer, and
nothing need be compared: an entry removed after its page was cut is removed by the change that
follows, one removed before is not in the page. A removal stays in the stream until every copy has
it; that is all the tombstone there is.

Not here: the order of the stream and who may send it (``replication/``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import cast
from zlib import crc32

from grid.storage.changes import AnyChange, Change, Changes, Result
from grid.storage.expiry import Expiries
from grid.storage.messages import Done, Found, Missing
from grid.storage.partition import Partition, Table
from grid.storage.record import SEQUENCE_BITS, pack_version
from grid.storage.results import ClientResults, KeptResult, keep_in_all, kept

Admit = Callable[[int, int, int], Partition | None]
"""(partition, epoch, sequence before) -> the copy, if it may be changed and is there."""

PAGE_BYTES = 64 * 1024
PAGE_ENTRIES = 500
"""A page of a fill ends at either; cutting one keeps a storage process from its clients."""

LEFT_MS_MAX = 2**63 - 1
"""Some hundred million years, and no more than a message can carry."""

Page = tuple[str, list[bytes], list[bytes], list[tuple[int, int]]]
"""Map, keys, records, and (index, milliseconds) of those that end."""

ResultsOf = list[tuple[bytes, int, list[tuple[int, Done | Found | Missing | None]]]]
"""(client, highest number forgotten, results by number)."""


# -- changes ------------------------------------------------------------------------------


def apply(change: AnyChange, admit: Admit, now_s: float) -> None:
    """Apply what `admit` lets pass."""
    if isinstance(change, Change):
        held = admit(change.partition, change.epoch, change.sequence - 1)
        if held is not None:
            _apply_one(held, change, now_s)
        return
    if isinstance(change, Changes):
        if change.values is None:
            _remove_many(change, admit)
        else:
            _store_many(change, change.values, admit, now_s)
        return
    for p, epoch, sequence in change.versions:
        held = admit(p, epoch, sequence - 1)
        if held is not None:
            held.sequence = sequence
            held.tables.pop(change.map, None)


def _apply_one(held: Partition, change: Change, now_s: float) -> None:
    held.sequence = change.sequence
    table = held.table_to_write(change.map)
    key, operation = change.key, change.operation
    before = table.records.get(key)
    version = (change.epoch << SEQUENCE_BITS) + change.sequence
    result: KeptResult = Done(operation, 1, version)
    if change.value is None:
        if before is not None:
            table.remove(key)
            if change.result is Result.TAKEN:
                result = kept(operation, before)
    else:
        record = pack_version(change.epoch, change.sequence) + change.value
        table.records[key] = record
        _set_date(table, key, change.ttl_ms, now_s)
        if change.result is Result.COUNTED:
            result = kept(operation, record)
    if change.client:
        held.results.of(change.client).add(operation, result)


def _remove_many(change: Changes, admit: Admit) -> None:
    counts = Counter(change.partitions)
    tables: dict[int, Table] = {}
    for p, epoch, sequence in change.versions:
        held = admit(p, epoch, sequence - 1)
        if held is None:
            continue
        held.sequence = sequence
        tables[p] = held.table(change.map)
        if change.client:
            done = Done(change.operation, counts[p])
            held.results.of(change.client).add(change.operation, done)
    for p, key in zip(change.partitions, change.keys, strict=True):
        if p in tables and key in tables[p].records:
            tables[p].remove(key)


def _store_many(change: Changes, values: list[bytes], admit: Admit, now_s: float) -> None:
    """Batches are most of a copy's work: one pass over the partitions, one over the entries."""
    name, may_end = change.map, change.ttl_ms > 0
    copies: dict[int, Partition] = {}
    records: dict[int, dict[bytes, bytes]] = {}
    headers: dict[int, bytes] = {}
    for p, epoch, sequence in change.versions:
        held = admit(p, epoch, sequence - 1)
        if held is None:
            continue
        held.sequence = sequence
        table = held.tables.get(name) or held.table_to_write(name)
        may_end = may_end or table.expiries is not None
        copies[p] = held
        records[p] = table.records
        headers[p] = pack_version(epoch, sequence)
    if change.client:
        done = Done(change.operation, len(change.keys))  # What of it was here is no matter.
        of_each = [held.results for held in copies.values()]
        keep_in_all(of_each, change.client, change.operation, done)
    if len(copies) == len(change.versions):
        for p, key, value in zip(change.partitions, change.keys, values, strict=True):
            records[p][key] = headers[p] + value
    else:
        for p, key, value in zip(change.partitions, change.keys, values, strict=True):
            if p in records:
                records[p][key] = headers[p] + value
    if may_end:
        for p, key in zip(change.partitions, change.keys, strict=True):
            if p in copies:
                _set_date(copies[p].table(name), key, change.ttl_ms, now_s)


def _set_date(table: Table, key: bytes, ttl_ms: int, now_s: float) -> None:
    if ttl_ms > 0:
        table.expiries = table.expiries or Expiries()
        table.expiries.set(key, now_s + ttl_ms / 1000)
    elif ttl_ms == 0 and table.expiries is not None:
        table.expiries.forget(key)


# -- filling ------------------------------------------------------------------------------


def pages_of(held: Partition, clock: Callable[[], float]) -> Iterator[tuple[Page, int]]:
    """Yield all entries, each as it is when its page is cut, and the bytes of each page."""
    for map_name, keys in [(name, list(table.records)) for name, table in held.tables.items()]:
        start, count = 0, PAGE_ENTRIES
        while start < len(keys):
            table = held.table(map_name)  # It may have been cleared meanwhile.
            chosen = keys[start : start + count]
            records = list(map(table.records.get, chosen))
            if None in records:
                chosen = [key for key in chosen if key in table.records]
                records = list(map(table.records.__getitem__, chosen))
            size_bytes = sum(map(len, chosen)) + sum(map(len, cast(list[bytes], records)))
            if size_bytes > 2 * PAGE_BYTES and count > 1:
                count = max(1, count * PAGE_BYTES // size_bytes)
                continue
            start += count
            if chosen:
                dates = _dates_of(table, chosen, clock())
                yield (map_name, chosen, cast(list[bytes], records), dates), size_bytes


def _dates_of(table: Table, keys: list[bytes], now_s: float) -> list[tuple[int, int]]:
    if table.expiries is None:
        return []
    left = ((index, table.expiries.left_s(key, now_s)) for index, key in enumerate(keys))
    dates = [(index, round(left_s * 1000)) for index, left_s in left if left_s is not None]
    return [(index, min(max(1, left_ms), LEFT_MS_MAX)) for index, left_ms in dates]


def take_page(held: Partition, page: Page, now_s: float) -> None:
    """Put a page's entries into a copy."""
    map_name, keys, records, dates = page
    table = held.table_to_write(map_name)
    table.records.update(zip(keys, records, strict=True))
    if table.expiries is not None:
        for key in keys:
            table.expiries.forget(key)
    for index, ttl_ms in dates:
        _set_date(table, keys[index], ttl_ms, now_s)


def results_of(held: Partition) -> ResultsOf:
    """Return the kept results of all clients."""
    return [
        (client, known.floor, list(known.results.items()))
        for client, known in held.results.clients.items()
    ]


def take_results(held: Partition, results: ResultsOf) -> None:
    """Let a copy know the results from before it was filled; newer ones stay the newest."""
    for client, floor, items in results:
        newer = held.results.of(client)
        known = held.results.clients[client] = ClientResults(max(floor, newer.floor))
        for operation, result in [*items, *newer.results.items()]:
            known.add(operation, result)


def digest_of(held: Partition) -> tuple[int, int]:
    """Return (entries, digest) of all entries; the order in which they were stored is no matter."""
    digest = 0
    for map_name, table in held.tables.items():
        records = table.records
        seed = crc32(map_name.encode())
        digest += sum(map(crc32, records.values(), map(crc32, records))) + seed * len(records)
    return held.entry_count, digest % (1 << 63)
