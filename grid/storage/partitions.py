"""The partitions that a storage process holds, and whether a request speaks of these epochs.

Responsible for: serving and giving up partitions, refusing what is not held or of another epoch,
and an index of a map's entries by partition for requests about many keys.

Not responsible for: the requests themselves (``store.py``), who should hold what (``partition/``).
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from grid.storage.messages import Epochs, RefusalReason, epochs_digest
from grid.storage.partition import Partition, Table
from grid.storage.record import pack_version

Entries = dict[bytes, bytes]


class RefusedError(Exception):
    """Carries a refusal out of a request's check."""

    def __init__(self, reason: RefusalReason, partition: int) -> None:
        """Keep both for the reply."""
        super().__init__(reason, partition)
        self.reason = reason
        self.partition = partition


class Partitions:
    """What is held now; nothing at first."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.by_id: dict[int, Partition] = {}
        self._sequence = 0
        """The highest of the partitions given up: one may come back with the same epoch."""
        self._epochs: set[tuple[int, int]] = set()
        self._digest = epochs_digest(())
        self._entries_of: dict[str, dict[int, Entries]] = {}
        """Of each map, the entries by partition, where it has any; made when needed."""

    # -- control --------------------------------------------------------------------------

    def serve(self, epochs: dict[int, int]) -> None:
        """Serve exactly these partitions with these epochs.

        A partition held and not listed is dropped: the coordinator publishes such a table
        only after `release` has said that it is empty.
        """
        for partition_id in set(self.by_id) - set(epochs):
            self._give_up(partition_id)
        for partition_id, epoch in epochs.items():
            held = self.by_id.setdefault(partition_id, Partition(epoch, self._sequence))
            held.epoch = epoch
        self._changed()

    def release(self, partition_ids: Iterable[int]) -> list[int]:
        """Give up the empty ones among `partition_ids`; return those not held afterwards."""
        released = []
        for partition_id in partition_ids:
            held = self.by_id.get(partition_id)
            if held is None or not held.entry_count:
                self._give_up(partition_id)
                released.append(partition_id)
        self._changed()
        return released

    def holdings(self) -> list[tuple[int, int, int]]:
        """Return (partition, epoch, entries) of everything held."""
        return [(p, held.epoch, held.entry_count) for p, held in self.by_id.items()]

    def _give_up(self, partition_id: int) -> None:
        held = self.by_id.pop(partition_id, None)
        if held is not None:
            self._sequence = max(self._sequence, held.sequence)

    def _changed(self) -> None:
        self._epochs = {(p, held.epoch) for p, held in self.by_id.items()}
        self._digest = epochs_digest(self._epochs)
        self._entries_of.clear()

    # -- checks ---------------------------------------------------------------------------

    def get(self, partition_id: int, epoch: int) -> Partition:
        """Return a partition.

        Raises: RefusedError.
        """
        held = self.by_id.get(partition_id)
        if held is None:
            raise RefusedError(RefusalReason.NOT_OWNER, partition_id)
        if held.epoch != epoch:
            raise RefusedError(RefusalReason.WRONG_EPOCH, partition_id)
        return held

    def check(self, epochs: Epochs) -> None:
        """Raise RefusedError unless all are held with these epochs."""
        if not self._epochs.issuperset(epochs):
            for partition_id, epoch in epochs:
                self.get(partition_id, epoch)

    def check_batch(
        self, epochs: Epochs, digest: int, partitions: bytes, keys: list[bytes]
    ) -> Set[int]:
        """Return the partitions of a request about many keys, each once.

        Raises: RefusedError for what is not held, of other epochs, or not sound.
        """
        concerned = set(partitions)
        is_sound = len(partitions) == len(keys)
        if digest and not epochs:
            if digest != self._digest:
                raise RefusedError(RefusalReason.WRONG_EPOCH, partitions[0] if partitions else 0)
            if missing := concerned - self.by_id.keys():
                raise RefusedError(RefusalReason.NOT_OWNER, missing.pop())
        else:
            self.check(epochs)
            is_sound = is_sound and concerned <= dict(epochs).keys()
        if not is_sound:
            raise RefusedError(RefusalReason.TOO_LARGE, partitions[0] if partitions else 0)
        return concerned

    # -- a map's entries ------------------------------------------------------------------

    def entries_of(self, map_name: str) -> dict[int, Entries]:
        """Return a map's entries by partition, of those where it has a table."""
        known = self._entries_of.get(map_name)
        if known is None:
            known = {
                p: held.tables[map_name].records
                for p, held in self.by_id.items()
                if map_name in held.tables
            }
            if known:  # A question about a map that is not there leaves no trace.
                self._entries_of[map_name] = known
        return known

    def entries_to_write(self, map_name: str, concerned: Set[int]) -> dict[int, Entries]:
        """Return a map's entries by partition; the `concerned` ones have a table now."""
        for p in concerned - self.entries_of(map_name).keys():
            self.new_table(self.by_id[p], map_name)
        return self.entries_of(map_name)

    def new_table(self, held: Partition, map_name: str) -> Table:
        """Return a map's new table in a partition that had none."""
        self._entries_of.pop(map_name, None)
        return held.table_to_write(map_name)

    def drop_table(self, partition_id: int, map_name: str) -> None:
        """Forget a map's table in a partition, with its entries."""
        self._entries_of.pop(map_name, None)
        self.by_id[partition_id].tables.pop(map_name, None)

    def next_versions(self, concerned: Set[int]) -> dict[int, bytes]:
        """Return a version for one write in each of these partitions."""
        versions = {}
        for p in concerned:
            held = self.by_id[p]
            held.sequence += 1
            versions[p] = pack_version(held.epoch, held.sequence)
        return versions
