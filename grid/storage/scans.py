"""Open scans of one storage process: pages of a map's entries, partition after partition.

Each partition is delivered as it was when the scan reached it, from a list of references that
costs pointers, not values; so a scan takes memory for one partition at a time. The number of open
scans is bounded: one that nobody has asked for a page for some time expires, and its reader begins
again at the partition it was in; while all are in use, a further one is refused until later.

Not here: whether the partitions of a first request are held (``store.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, repeat

from grid.storage.messages import PAGE_BYTES, Epochs, Page, Scan
from grid.storage.partition import Partition, Table

SCANS_MAX = 64
"""Open scans of a storage process."""

IDLE_S = 10.0
"""Unused for so long, a scan may be expired to make room."""


@dataclass(slots=True)
class _OpenScan:
    """What is still to be delivered."""

    map_name: str
    with_values: bool
    remaining: deque[tuple[int, int]]
    entries: Iterator[tuple[bytes, bytes]] | None = None
    """The rest of the first of `remaining`, once it was begun."""
    used_s: float = 0.0


class Scans:
    """The scans of all maps."""

    def __init__(self, partitions: Mapping[int, Partition], clock: Callable[[], float]) -> None:
        """Read from `partitions`, the store's own."""
        self._partitions = partitions
        self._clock = clock
        self._open: dict[int, _OpenScan] = {}
        self._numbers = count(1)

    def next_page(self, request: Scan) -> Page | None:
        """Return the next page.

        None when the scan has expired, its partition has moved, or too many are open.
        """
        if not request.scan:
            if not self._has_room():
                return None
            epochs: Epochs = request.epochs
            scan = _OpenScan(request.map, request.with_values, deque(dict(epochs).items()))
        else:
            known = self._open.pop(request.scan, None)
            if known is None or known.map_name != request.map:
                return None
            scan = known
        keys: list[bytes] = []
        records: list[bytes] = []
        finished = 0
        room_bytes = PAGE_BYTES
        while scan.remaining:
            entries = scan.entries or self._begin(scan)
            if entries is None or not self._is_held(*scan.remaining[0]):
                return None
            scan.entries = entries
            first = len(keys)
            for key, record in entries:
                keys.append(key)
                room_bytes -= len(key)
                if scan.with_values:
                    records.append(record)
                    room_bytes -= len(record)
                if room_bytes <= 0:
                    number, trailing = self._keep(scan), len(keys) - first
                    return Page(request.request, keys, records, number, finished, trailing)
            scan.entries = None
            scan.remaining.popleft()
            finished += 1
        return Page(request.request, keys, records, 0, finished, 0)

    def _begin(self, scan: _OpenScan) -> Iterator[tuple[bytes, bytes]] | None:
        """Take the references of the next partition's entries."""
        partition_id, _ = scan.remaining[0]
        held = self._partitions.get(partition_id)
        if held is None:
            return None
        table = held.table(scan.map_name)
        if table.expiries is not None:
            return self._living(table)
        keys = list(table.records)
        records = list(table.records.values()) if scan.with_values else repeat(b"")
        return iter(zip(keys, records, strict=False))

    def _living(self, table: Table) -> Iterator[tuple[bytes, bytes]]:
        assert table.expiries is not None
        now_s = self._clock()
        is_over = table.expiries.is_over
        return iter([entry for entry in table.records.items() if not is_over(entry[0], now_s)])

    def _is_held(self, partition_id: int, epoch: int) -> bool:
        held = self._partitions.get(partition_id)
        return held is not None and held.epoch == epoch

    def _has_room(self) -> bool:
        """Whether another scan may be begun; expires one that is unused, if need be."""
        if len(self._open) < SCANS_MAX:
            return True
        # Each use puts a scan at the end.
        number, oldest = next(iter(self._open.items()))
        if self._clock() - oldest.used_s < IDLE_S:
            return False
        del self._open[number]
        return True

    def _keep(self, scan: _OpenScan) -> int:
        number = next(self._numbers)
        scan.used_s = self._clock()
        self._open[number] = scan
        return number
