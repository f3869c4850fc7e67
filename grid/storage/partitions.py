"""The partitions that a storage process holds, and whether a request speaks of these epochs.

Responsible for: serving and giving up partitions, refusing what is not held or of another epoch,
having requests wait while a gate is shut, and an index of a map's entries by partition for requests
about many keys.

Not responsible for: the requests themselves (``store.py``), who should hold what (``partition/``),
why a gate is shut (``replication/``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set

from grid.storage.messages import Epochs, RefusalReason, epochs_digest
from grid.storage.partition import SHUT, Partition, Table
from grid.storage.record import pack_version
from grid.storage.replies import at_once

Entries = dict[bytes, bytes]


class RefusedError(Exception):
    """Carries a refusal out of a request's check."""

    def __init__(self, reason: RefusalReason, partition: int) -> None:
        """Keep both for the reply."""
        super().__init__(reason, partition)
        self.reason = reason
        self.partition = partition


class MustWaitError(Exception):
    """The request cannot be carried out now, but soon: nothing was changed, try again.

    `entries`: how many more entries their copies' processes must allow first, by partition.
    """

    def __init__(self, entries: Mapping[int, int] | None = None) -> None:
        """Keep what it waits for."""
        super().__init__("wait until a gate opens")
        self.entries = entries or {}


class Partitions:
    """What is held now; nothing at first."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.by_id: dict[int, Partition] = {}
        """Those this process is primary of."""
        self.copies: dict[int, Partition] = {}
        """Those others are primary of."""
        self.shut: set[int] = set()
        """Those that take no writes now."""
        self.operations = 0
        """What clients have had carried out here since the start; each key of a batch counts."""
        self.room_for: Callable[[Set[int], bytes], Mapping[int, int] | None] | None = None
        """Says what must be allowed before so many entries of these partitions are written."""
        self.settle: Callable[[], Callable[[], bool]] = lambda: at_once
        """Has copies know that nothing is missing; what it returns tells whether they do."""
        self._has_frozen = False
        self._given_up: dict[int, int] = {}
        """Sequences of partitions given up: one may come back with the same epoch."""
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
            self.give_up(partition_id)
        for partition_id, epoch in epochs.items():
            self.own(partition_id, epoch)
        self.changed()

    def own(self, partition_id: int, epoch: int) -> Partition:
        """Be primary with this epoch, of what is held already, of a copy, or of nothing yet.

        Call `changed` afterwards.
        """
        held = self.by_id.get(partition_id)
        if held is not None:
            held.set_epoch(epoch)
            return held
        held = self.copies.pop(partition_id, None)
        if held is None:
            held = Partition(epoch, self._given_up.get(partition_id, 0), partition_id)
            held.history.append((epoch, 0))
        else:
            held.begin_epoch(epoch)
        self.by_id[partition_id] = held
        return held

    def lend(self, partition_id: int, epoch: int) -> None:
        """Be a copy of what another process is primary of now; call `changed` afterwards."""
        held = self.by_id.pop(partition_id)
        held.outlets = ()
        held.freeze()
        held.lose_backup()
        held.epoch = epoch
        self.copies[partition_id] = held

    def set_writable(self, held: Partition, is_writable: bool) -> None:
        """Open or shut the gate of a primary's writes."""
        held.set_writable(is_writable)
        if held.write_gate == SHUT:
            self.shut.add(held.partition_id)
        else:
            self.shut.discard(held.partition_id)

    def give_up(self, partition_id: int) -> Partition | None:
        """Hold a partition no longer; call `changed` afterwards."""
        held = self.by_id.pop(partition_id, None)
        self.shut.discard(partition_id)
        if held is not None:
            held.freeze()  # An open scan, or a reply that waits, may still know it.
            held.lose_backup()
            self._given_up[partition_id] = held.sequence
        return held

    def release(self, partition_ids: Iterable[int]) -> list[int]:
        """Give up the empty ones among `partition_ids`; return those not held afterwards."""
        released = []
        for partition_id in partition_ids:
            held = self.by_id.get(partition_id)
            if held is None or not held.entry_count:
                self.give_up(partition_id)
                released.append(partition_id)
        self.changed()
        return released

    def holdings(self) -> list[tuple[int, int, int]]:
        """Return (partition, epoch, entries) of everything held."""
        return [(p, held.epoch, held.entry_count) for p, held in self.by_id.items()]

    def changed(self) -> None:
        """Bring up to date what follows from the partitions, their epochs and their gates."""
        self._epochs = {(p, held.read_gate) for p, held in self.by_id.items()}
        self._digest = epochs_digest((p, held.epoch) for p, held in self.by_id.items())
        self._has_frozen = any(held.is_frozen for held in self.by_id.values())
        self.shut = {p for p, held in self.by_id.items() if held.write_gate == SHUT}
        self._entries_of.clear()

    # -- checks ---------------------------------------------------------------------------

    def get(self, partition_id: int, epoch: int) -> Partition:
        """Return a partition to read from.

        Raises: RefusedError; MustWaitError while it is being handed over.
        """
        held = self.by_id.get(partition_id)
        if held is None:
            raise RefusedError(RefusalReason.NOT_OWNER, partition_id)
        if held.read_gate == epoch:
            return held
        if held.is_frozen and held.epoch == epoch:
            raise MustWaitError
        raise RefusedError(RefusalReason.WRONG_EPOCH, partition_id)

    def get_to_write(self, partition_id: int, epoch: int) -> Partition:
        """Return a partition to write to.

        Raises: RefusedError; MustWaitError while its copies are too far behind.
        """
        held = self.get(partition_id, epoch)
        if held.write_gate != epoch:
            raise MustWaitError({partition_id: 1})
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

        Raises: RefusedError for what is not held, of other epochs, or not sound; MustWaitError.
        """
        concerned = set(partitions)
        is_sound = len(partitions) == len(keys)
        if digest and not epochs:
            if self._has_frozen:
                raise MustWaitError
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

    def check_writes(self, concerned: Set[int], partitions: bytes) -> None:
        """Raise MustWaitError unless so many entries may be written now."""
        if not self.shut.isdisjoint(concerned):
            raise MustWaitError(dict.fromkeys(self.shut & concerned, 1))
        if self.room_for is not None:
            missing = self.room_for(concerned, partitions)
            if missing is not None:
                raise MustWaitError(missing)

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

    def next_versions(self, concerned: Iterable[int]) -> dict[int, bytes]:
        """Return a version for one write in each of these partitions."""
        by_id = self.by_id
        versions: dict[int, bytes] = {}
        for p in concerned:
            held = by_id[p]
            held.sequence = sequence = held.sequence + 1
            versions[p] = pack_version(held.epoch, sequence)
        return versions
