"""What one storage process holds: partitions of maps, as plain dicts of bytes.

Responsible for: answering each data-plane request, refusing what is not owned or of another
epoch, giving up partitions on request only when they are empty.

Not responsible for: sockets and frames (``process/storage.py``), who should own what
(``partition/``), the meaning of a value (opaque bytes).

Plain function calls, no effect objects: this is the hot path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

from grid.storage.messages import (
    PAGE_BYTES,
    REPLY_BYTES_MAX,
    Delete,
    Done,
    Found,
    Get,
    GetAll,
    Missing,
    Page,
    Put,
    PutAll,
    RefusalReason,
    Refused,
    Scan,
    Size,
    StorageReply,
    StorageRequest,
    Values,
)
from grid.storage.options import StorageOptions

SCANS_MAX = 64
"""Open scans of a storage process; beyond it the longest unused is expired, and refused."""

Entries = dict[bytes, bytes]


class Partition:
    """One partition: its epoch and the entries of each map."""

    __slots__ = ("epoch", "maps")

    def __init__(self, epoch: int) -> None:
        """Start empty."""
        self.epoch = epoch
        self.maps: dict[str, Entries] = {}

    @property
    def entry_count(self) -> int:
        """Entries of all maps."""
        return sum(map(len, self.maps.values()))


class _RefusedError(Exception):
    """Carries a refusal out of a batch's check."""

    def __init__(self, reason: RefusalReason, partition: int) -> None:
        self.reason = reason
        self.partition = partition


class Store:
    """All partitions of one storage process."""

    def __init__(self, options: StorageOptions) -> None:
        """Start without partitions: everything is refused until some are served."""
        self._options = options
        self._partitions: dict[int, Partition] = {}
        self._scans: dict[int, tuple[tuple[str, int], Iterator[tuple[bytes, bytes]]]] = {}
        self._scan_numbers = count(1)
        self._handlers: dict[type[StorageRequest], Callable[[Any], StorageReply]] = {
            Get: self._get,
            Put: self._put,
            Delete: self._delete,
            GetAll: self._get_all,
            PutAll: self._put_all,
            Size: self._size,
            Scan: self._scan,
        }

    # -- control --------------------------------------------------------------------------

    def serve(self, epochs: dict[int, int]) -> None:
        """Serve exactly these partitions with these epochs.

        A partition held and not listed is dropped: the coordinator publishes such a table
        only after `release` has said that it is empty.
        """
        for partition_id in set(self._partitions) - set(epochs):
            del self._partitions[partition_id]
        for partition_id, epoch in epochs.items():
            held = self._partitions.get(partition_id)
            if held is None:
                self._partitions[partition_id] = Partition(epoch)
            else:
                held.epoch = epoch

    def release(self, partition_ids: Iterable[int]) -> list[int]:
        """Give up the empty ones among `partition_ids`; return those not held afterwards."""
        released = []
        for partition_id in partition_ids:
            held = self._partitions.get(partition_id)
            if held is not None and held.entry_count:
                continue
            self._partitions.pop(partition_id, None)
            released.append(partition_id)
        return released

    def holdings(self) -> list[tuple[int, int, int]]:
        """Return (partition, epoch, entries) of everything held."""
        return [(p, held.epoch, held.entry_count) for p, held in self._partitions.items()]

    # -- requests -------------------------------------------------------------------------

    def handle(self, request: StorageRequest) -> StorageReply:
        """Carry out one request."""
        try:
            return self._handlers[type(request)](request)
        except _RefusedError as refusal:
            return Refused(request.request, refusal.reason, refusal.partition)

    def _entries(
        self, map_name: str, partition_id: int, epoch: int, *, create: bool = False
    ) -> Entries:
        held = self._partitions.get(partition_id)
        if held is None:
            raise _RefusedError(RefusalReason.NOT_OWNER, partition_id)
        if held.epoch != epoch:
            raise _RefusedError(RefusalReason.WRONG_EPOCH, partition_id)
        entries = held.maps.get(map_name)
        if entries is None:
            entries = {}
            if create:  # A read leaves no trace of a map that is not there.
                held.maps[map_name] = entries
        return entries

    def _get(self, request: Get) -> StorageReply:
        held = self._partitions.get(request.partition)
        if held is None or held.epoch != request.epoch:
            self._entries(request.map, request.partition, request.epoch)  # Says why not.
            raise AssertionError("unreachable: it was refused")
        entries = held.maps.get(request.map)
        value = None if entries is None else entries.get(request.key)
        return Missing(request.request) if value is None else Found(request.request, value)

    def _put(self, request: Put) -> StorageReply:
        self._check_size(request.partition, request.key, request.value)
        entries = self._entries(request.map, request.partition, request.epoch, create=True)
        entries[request.key] = request.value
        return Done(request.request, 1)

    def _delete(self, request: Delete) -> StorageReply:
        entries = self._entries(request.map, request.partition, request.epoch)
        removed = entries.pop(request.key, None)
        return Done(request.request, 0 if removed is None else 1)

    def _get_all(self, request: GetAll) -> StorageReply:
        groups = [
            (self._entries(request.map, partition_id, epoch), keys)
            for partition_id, epoch, keys in request.groups
        ]
        values: list[bytes | None] = []
        room_bytes = REPLY_BYTES_MAX
        for entries, keys in groups:
            for key in keys:
                value = entries.get(key)
                values.append(value)
                if value is not None:
                    room_bytes -= len(value)
                    if room_bytes <= 0:
                        return Values(request.request, values)
        return Values(request.request, values)

    def _put_all(self, request: PutAll) -> StorageReply:
        groups = []
        for partition_id, epoch, keys, values in request.groups:
            if len(keys) != len(values):
                raise _RefusedError(RefusalReason.TOO_LARGE, partition_id)
            entries = self._entries(request.map, partition_id, epoch, create=True)
            for key, value in zip(keys, values, strict=True):
                self._check_size(partition_id, key, value)
            groups.append((entries, keys, values))
        for entries, keys, values in groups:
            entries.update(zip(keys, values, strict=True))
        return Done(request.request, sum(len(keys) for _, keys, _ in groups))

    def _size(self, request: Size) -> StorageReply:
        sizes = (len(self._entries(request.map, p, epoch)) for p, epoch in request.groups)
        return Done(request.request, sum(sizes))

    def _scan(self, request: Scan) -> StorageReply:
        entries = self._entries(request.map, request.partition, request.epoch)
        if request.scan:
            place, remaining = self._scans.pop(request.scan, (None, iter(())))
            if place != (request.map, request.partition):
                raise _RefusedError(RefusalReason.SCAN_EXPIRED, request.partition)
        else:
            # A snapshot of references, so that the pages are one moment's entries whatever
            # is written meanwhile. It costs pointers, not values.
            remaining = iter(list(entries.items()))
        keys: list[bytes] = []
        values: list[bytes] = []
        room_bytes = PAGE_BYTES
        for key, value in remaining:
            keys.append(key)
            room_bytes -= len(key)
            if request.with_values:
                values.append(value)
                room_bytes -= len(value)
            if room_bytes <= 0:
                return Page(request.request, keys, values, self._keep_scan(request, remaining))
        return Page(request.request, keys, values, 0)

    def _keep_scan(self, request: Scan, remaining: Iterator[tuple[bytes, bytes]]) -> int:
        number = next(self._scan_numbers)
        self._scans[number] = ((request.map, request.partition), remaining)
        if len(self._scans) > SCANS_MAX:
            del self._scans[next(iter(self._scans))]
        return number

    def _check_size(self, partition_id: int, key: bytes, value: bytes) -> None:
        """Refuse what a well-behaved client has refused already."""
        options = self._options
        if len(key) > options.key_bytes_max or len(value) > options.value_bytes_max:
            raise _RefusedError(RefusalReason.TOO_LARGE, partition_id)
