"""The partitions that this storage process is primary of, and their copies elsewhere.

Responsible for: which copies are told of changes, what all of them have (`confirmed`), when writers
wait (gates), handing over.

Not responsible for: the stream to another process (``channel.py``), the requests themselves
(``storage/``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set

from grid.replication.agenda import Agenda
from grid.replication.channel import Channel
from grid.replication.messages import CopyTarget, Digest, Receipt
from grid.replication.options import ReplicationOptions
from grid.replication.outlet import CopyOutlet, CopyState, Stream
from grid.storage.applying import digest_of
from grid.storage.partition import SHUT, Partition
from grid.storage.partitions import Partitions

DIGEST_BYTES = 48


class Primaries:
    """Streams the changes of all primaries to their copies."""

    def __init__(
        self,
        partitions: Partitions,
        options: ReplicationOptions,
        clock: Callable[[], float],
        agenda: Agenda,
    ) -> None:
        """Begin without copies."""
        self._partitions = partitions
        self._options = options
        self._clock = clock
        self._agenda = agenda
        self._outlets: dict[int, list[CopyOutlet]] = {}
        self.channels: dict[tuple[bytes, int], Channel] = {}
        self.has_changed = False
        """A copy became complete or broke: the coordinator has to know."""
        partitions.room_for = self._room_for
        partitions.settle = self._settle

    # -- the table ------------------------------------------------------------------------

    def set_copies(self, held: Partition, targets: Iterable[CopyTarget]) -> None:
        """Keep exactly these copies of a primary.

        A synced one that is new here has been handed over together with the partition: it is
        complete.
        """
        p = held.partition_id
        before = {outlet.node_id: outlet for outlet in self._outlets.get(p, ())}
        outlets: list[CopyOutlet] = []
        for target in targets:
            outlet = before.get(target.node_id)
            if outlet is not None and outlet.held is held:
                del before[target.node_id]
            else:
                outlet = CopyOutlet(self._channel(target), held, target.node_id)
            outlet.is_backup, outlet.is_synced = target.is_backup, target.is_synced
            outlets.append(outlet)
        for outlet in before.values():
            outlet.channel.drop(outlet)
        for outlet in outlets:
            if outlet.channel.outlets.get(p) is outlet:
                continue
            if outlet.is_synced:
                outlet.state = CopyState.COMPLETE
                outlet.acked = held.sequence
            outlet.channel.attach(outlet)
        self._outlets[p] = outlets
        self._update(held)

    def drop(self, partition_id: int) -> None:
        """This process is not primary of it any more."""
        for outlet in self._outlets.pop(partition_id, ()):
            outlet.channel.drop(outlet)

    def forget_channels(self, living: frozenset[bytes]) -> None:
        """Nothing is sent any more to nodes that are gone."""
        for place, channel in list(self.channels.items()):
            if channel.node_id not in living and not channel.outlets:
                del self.channels[place]

    def complete_copies(self, partition_id: int) -> list[bytes]:
        """Return the nodes that have complete copies."""
        return [o.node_id for o in self._outlets.get(partition_id, ()) if o.is_complete]

    @property
    def is_filling(self) -> bool:
        """Whether some copy is not complete yet."""
        return any(not o.is_complete for outlets in self._outlets.values() for o in outlets)

    def freeze(self, held: Partition) -> None:
        """Carry out nothing more, and let the copies have everything soon."""
        held.freeze()
        for outlet in self._outlets.get(held.partition_id, ()):
            outlet.settled_by = outlet.channel.last_number
            outlet.channel.hurry()

    def is_equal(self, held: Partition) -> bool:
        """Whether all copies that the next table may promote equal a frozen primary.

        These are the synced backup and what is incoming, which must be complete. That the copy has
        the last write is not enough: it must have answered all that was sent before the freeze, so
        that nothing is on its way any more by which it might be found different.
        """
        for outlet in self._outlets.get(held.partition_id, ()):
            if not outlet.is_complete:
                if outlet.is_backup and not outlet.is_synced:
                    continue
                return False
            is_settled = outlet.channel.receipted_number >= outlet.settled_by
            if outlet.acked < held.sequence or not is_settled:
                return False
        return True

    # -- the streams ----------------------------------------------------------------------

    def receive(self, node_id: bytes, index: int, receipt: Receipt, now_s: float) -> None:
        """Take a receipt from the process that has copies."""
        channel = self.channels.get((node_id, index))
        if channel is None:
            return
        for outlet in channel.receive(receipt, now_s):
            held = outlet.held
            if channel.outlets.get(held.partition_id) is not outlet:
                continue
            is_usual = outlet.is_complete and held.is_protected and held.outlets == (outlet,)
            if is_usual and held.write_gate != SHUT:
                held.confirm(outlet.acked)  # Without what cannot have changed.
            else:
                self._update(held)
        if channel.completed or channel.has_restarted:
            for outlet in channel.completed:
                if outlet.held.epoch != outlet.begun_epoch:
                    self.compare(outlet.held)  # `vouch` came too soon for it.
            channel.completed.clear()
            channel.has_restarted = False
            self.has_changed = True
        for p in receipt.broken:
            told = channel.outlets.get(p)
            if told is None or told.state is CopyState.WAITING:
                continue
            if receipt.number >= told.begun_in:  # Else it speaks of the copy before.
                channel.refill(told)
                self.has_changed = True
                self._update(told.held)

    def tick(self, now_s: float) -> None:
        """Send what is due."""
        for channel in self.channels.values():
            channel.tick(now_s)

    def pump(self) -> bool:
        """Send one page of each fill under way; return whether there is more to send now."""
        is_more = False
        for channel in self.channels.values():
            if channel.has_fill_to_send:
                begun = channel.pump()
                if begun is not None:
                    self._update(begun.held)
                is_more = is_more or channel.has_fill_to_send
        return is_more

    def want(self, entries: Mapping[int, int]) -> None:
        """Writers wait until so many entries may be written to these partitions."""
        wanted: Counter[Stream] = Counter()
        for p, count in entries.items():
            for outlet in self._outlets.get(p, ()):
                if outlet.is_complete:
                    wanted[outlet.channel] += count
        for channel, count in wanted.items():
            channel.want(count)

    def hurry(self, partitions: Iterable[Partition]) -> None:
        """Somebody waits for the copies of these."""
        for held in partitions:
            for outlet in self._outlets.get(held.partition_id, ()):
                outlet.channel.hurry()

    def vouch(self, held: Partition) -> None:
        """Tell copies that the table does not call synced yet that they belong to this epoch."""
        outlets = self._outlets.get(held.partition_id, ())
        if any(outlet.is_complete and not outlet.is_synced for outlet in outlets):
            self.compare(held)

    def compare(self, held: Partition) -> None:
        """Send the digest of a partition to its complete copies."""
        if held.is_frozen:
            return
        outlets = [o for o in self._outlets.get(held.partition_id, ()) if o.is_complete]
        if outlets:
            entries, digest = digest_of(held)
            item = Digest(held.partition_id, held.epoch, held.sequence, entries, digest)
            for outlet in outlets:
                outlet.channel.add(item, DIGEST_BYTES)

    @property
    def at_risk(self) -> int:
        """Acknowledged writes that their backups may not have."""
        return sum(channel.at_risk for channel in self.channels.values())

    def _settle(self) -> Callable[[], bool]:
        """Have nothing at risk, not even by allowance; return what tells whether it was so."""
        settled = [channel.settle() for channel in self.channels.values()]
        return lambda: all(is_settled() for is_settled in settled)

    # -- gates ----------------------------------------------------------------------------

    def _channel(self, target: CopyTarget) -> Channel:
        place = target.node_id, target.storage_index
        channel = self.channels.get(place)
        if channel is None:
            channel = self.channels[place] = Channel(
                target.node_id,
                target.storage_index,
                self._options,
                self._clock,
                self._agenda,
                lambda outlet: self.update_gate(outlet.held),
                self._update_gates,
            )
        return channel

    def _update(self, held: Partition) -> None:
        """Bring up to date what follows from the states of a partition's copies."""
        outlets = self._outlets.get(held.partition_id, [])
        held.outlets = tuple(o for o in outlets if o.state is not CopyState.WAITING)
        complete = [o for o in outlets if o.is_complete]
        held.is_protected = any(o.is_backup and o.is_synced for o in complete)
        if any(o.is_backup for o in outlets):
            held.has_backup = True
        else:
            held.lose_backup()
        if held.is_protected:
            acked = min(o.acked for o in complete)
            if acked > held.confirmed:
                held.confirm(acked)
        self.update_gate(held)

    def update_gate(self, held: Partition) -> None:
        """Let writers in, unless a copy is too far behind."""
        is_writable = not any(o.is_full for o in self._outlets.get(held.partition_id, ()))
        if is_writable != (held.write_gate == held.epoch):
            self._partitions.set_writable(held, is_writable)

    def _update_gates(self, channel: Channel) -> None:
        for outlet in channel.outlets.values():
            self.update_gate(outlet.held)

    def _room_for(self, concerned: Set[int], partitions: bytes) -> Mapping[int, int] | None:
        """Return what must be allowed before these entries are written, None if they may be."""
        if all(channel.room >= len(partitions) for channel in self.channels.values()):
            return None
        needed: Counter[Stream] = Counter()
        counts = Counter(partitions)
        for p in concerned:
            for outlet in self._outlets.get(p, ()):
                if outlet.is_complete:
                    needed[outlet.channel] += counts[p]
        if all(channel.room >= count for channel, count in needed.items()):
            return None
        return counts
