"""One partition as a storage process holds it: its epoch, its write counter, its maps' tables.

The same object is a primary or a copy. A primary has *gates*: requests name the epoch they
believe in and are carried out if it is the gate's. A shut gate costs the usual request nothing;
who is stopped by it finds out why elsewhere (``partitions.py``).

Not here: requests and their checks (``store.py``).
"""

from __future__ import annotations

from grid.storage.changes import Outlet
from grid.storage.expiry import Expiries
from grid.storage.record import pack_version
from grid.storage.results import Results

SHUT = -1 << 64
"""No request has this epoch: no message can carry it."""

HISTORY_MAX = 64


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

    __slots__ = (
        "confirmed",
        "epoch",
        "has_backup",
        "history",
        "is_frozen",
        "is_protected",
        "outlets",
        "partition_id",
        "read_gate",
        "results",
        "sequence",
        "tables",
        "unconfirmed",
        "write_gate",
    )

    def __init__(self, epoch: int, sequence: int = 0, partition_id: int = 0) -> None:
        """Start empty, with the versions after `sequence`; open to requests."""
        self.partition_id = partition_id
        self.epoch = epoch
        self.read_gate = epoch
        self.write_gate = epoch
        self.sequence = sequence
        """Counts the writes; it goes on when the epoch changes."""
        self.tables: dict[str, Table] = {}
        self.results = Results()
        self.history: list[tuple[int, int]] = []
        """(epoch, sequence inherited) of each change of primary: what came later is lost."""
        self.outlets: tuple[Outlet, ...] = ()
        """Of the copies elsewhere that are told each change."""
        self.has_backup = False
        """Whether the table names a backup, which may not be complete yet."""
        self.is_protected = False
        """Whether the table names a complete backup."""
        self.is_frozen = False
        """Being handed over: no request is carried out."""
        self.confirmed = sequence
        """All complete copies have the writes up to this one."""
        self.unconfirmed: dict[tuple[str, bytes], int] = {}
        """The last writes of entries whose writers asked for a backup that has not got them yet."""

    @property
    def entry_count(self) -> int:
        """Entries of all maps."""
        return sum(len(table.records) for table in self.tables.values())

    def set_epoch(self, epoch: int) -> None:
        """Take part in a newer table; gates that are open follow."""
        if self.write_gate != SHUT:
            self.write_gate = epoch
        self.epoch = epoch
        self.read_gate = SHUT if self.is_frozen else epoch

    def set_writable(self, is_writable: bool) -> None:
        """Open or shut the gate of writes."""
        self.write_gate = self.epoch if is_writable and not self.is_frozen else SHUT

    def freeze(self) -> None:
        """Carry out nothing more."""
        self.is_frozen = True
        self.read_gate = self.write_gate = SHUT

    def thaw(self) -> None:
        """Carry out requests again."""
        self.is_frozen = False
        self.read_gate = self.write_gate = self.epoch

    def next_version(self) -> bytes:
        """Return the version of the next write (``record.py``)."""
        self.sequence += 1
        return pack_version(self.epoch, self.sequence)

    def confirm(self, sequence: int) -> None:
        """All complete copies have the writes up to this one."""
        self.confirmed = sequence
        unconfirmed = self.unconfirmed
        while unconfirmed:
            entry = next(iter(unconfirmed))
            if unconfirmed[entry] > sequence:
                return
            del unconfirmed[entry]

    def lose_backup(self) -> None:
        """There is no backup, and it is not known when there is one: nobody is to wait for it."""
        self.has_backup = False
        self.unconfirmed.clear()

    def begin_epoch(self, epoch: int) -> None:
        """Become primary: what is here is what this epoch has inherited."""
        self.history.append((epoch, self.sequence))
        del self.history[:-HISTORY_MAX]
        self.epoch = epoch
        self.thaw()

    def has_survived(self, epoch: int, sequence: int) -> bool | None:
        """Whether a write is in what later epochs inherited; None if that is no longer known."""
        if len(self.history) == HISTORY_MAX and epoch < self.history[0][0] - 1:
            return None
        return all(sequence <= inherited for later, inherited in self.history if later > epoch)

    def table(self, map_name: str) -> Table:
        """Return a map's table to read or to remove from; a new one is not kept."""
        return self.tables.get(map_name) or Table()

    def table_to_write(self, map_name: str) -> Table:
        """Return a map's table; from now on there is one."""
        table = self.tables.get(map_name)
        if table is None:
            table = self.tables[map_name] = Table()
        return table
