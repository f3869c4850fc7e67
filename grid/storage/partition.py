"""One partition as a storage process holds it: its epoch, its write counter, its maps' tables.

Not here: requests and their checks (``store.py``).
"""

from __future__ import annotations

from grid.storage.expiry import Expiries
from grid.storage.record import pack_version


class Table:
    """The entries of one map in one partition."""

    __slots__ = ("expiries", "records")

    def __init__(self) -> None:
        """Start empty."""
        self.records: dict[bytes, bytes] = {}
        self.expiries: Expiries | None = None
        """Only where some entry has, or had, a time to live."""

    def remove(self, key: bytes) -> None:
        """Remove an entry that is there."""
        del self.records[key]
        if self.expiries is not None:
            self.expiries.forget(key)


class Partition:
    """One partition: its epoch and the tables of its maps."""

    __slots__ = ("epoch", "sequence", "tables")

    def __init__(self, epoch: int, sequence: int = 0) -> None:
        """Start empty, with the versions after `sequence`."""
        self.epoch = epoch
        self.sequence = sequence
        """Counts the writes; it goes on when the epoch changes."""
        self.tables: dict[str, Table] = {}

    @property
    def entry_count(self) -> int:
        """Entries of all maps."""
        return sum(len(table.records) for table in self.tables.values())

    def next_version(self) -> bytes:
        """Return the version of the next write (``record.py``)."""
        self.sequence += 1
        return pack_version(self.epoch, self.sequence)

    def table(self, map_name: str) -> Table:
        """Return a map's table to read or to remove from; a new one is not kept."""
        return self.tables.get(map_name) or Table()

    def table_to_write(self, map_name: str) -> Table:
        """Return a map's table; from now on there is one."""
        table = self.tables.get(map_name)
        if table is None:
            table = self.tables[map_name] = Table()
        return table
