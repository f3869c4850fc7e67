"""The copies that this storage process has of others' partitions.

Responsible for: applying parcels in order, once; judging who may change a copy and whether a
change is the next one that it needs; what of a dead sender's writes is missing.

Not responsible for: how changes are applied (``storage/applying.py``), what the sender does
(``channel.py``).

Theory of operation. A copy has a *source*: the process of the node that is primary in the copy's
epoch. A change of a higher epoch proves a newer table, which may not have come here yet: its
sender is the source from then on. The source may lag behind (its table comes late), anybody else
with the copy's epoch or a lower one has been deposed, and gets no receipt that it could count on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from grid.replication.messages import (
    Digest,
    FillBegin,
    FillEnd,
    FillPage,
    Item,
    Parcel,
    Receipt,
)
from grid.storage.applying import apply, digest_of, take_page, take_results
from grid.storage.partition import Partition
from grid.storage.partitions import Partitions


class Sender(NamedTuple):
    """A storage process of another node."""

    node_id: bytes
    number: int


@dataclass(slots=True)
class Copy:
    """What is known of a copy besides its content."""

    source: bytes
    """The node that is primary in the copy's epoch."""
    is_complete: bool = False


@dataclass(slots=True)
class _Stream:
    """How far a sender's parcels have been applied."""

    id: int = 0
    number: int = 0
    entries: int = 0
    allowance: int = 0
    broken: set[int] = field(default_factory=set)


class Copies:
    """All copies of this storage process, and the streams that they follow."""

    def __init__(
        self, partitions: Partitions, clock: Callable[[], float], on_demoted: Callable[[int], None]
    ) -> None:
        """Keep the copies in `partitions`; `on_demoted`: a primary has become a copy."""
        self._partitions = partitions
        self._clock = clock
        self._on_demoted = on_demoted
        self.known: dict[int, Copy] = {}
        self._streams: dict[Sender, _Stream] = {}
        self._living: frozenset[bytes] = frozenset()
        self._to_tell: set[Sender] = set()
        self._assigned: set[int] = set()
        """Copies that the table names."""
        self._unassigned: set[int] = set()
        """Others, found by the last look: begun by a primary with another table than ours."""
        self.has_changed = False
        """A copy was found not to be what it should: the coordinator has to know."""

    # -- the table ------------------------------------------------------------------------

    def follow(
        self, partition_id: int, epoch: int, source: bytes, *, is_synced: bool = False
    ) -> None:
        """The table names this process as holder of a copy.

        Only of a synced one the table says that it belongs to this epoch. Any other may be from
        before, with much missing: it stays of its epoch until its primary sends it something.
        """
        self._assigned.add(partition_id)
        held, copy = self._partitions.copies.get(partition_id), self.known.get(partition_id)
        if held is not None and copy is not None and epoch >= held.epoch:
            if is_synced:
                held.epoch = epoch
            if copy.source != source:
                copy.source = source
                self._trust(source, partition_id)

    def _trust(self, source: bytes, partition_id: int) -> None:
        """Listen to a new source, whatever was wrong between it and a former copy."""
        for sender, stream in self._streams.items():
            if sender.node_id == source:
                stream.broken.discard(partition_id)

    def lend(self, partition_id: int, epoch: int, source: bytes) -> None:
        """A primary that has been handed over goes on as a copy, equal to its successor."""
        self._partitions.lend(partition_id, epoch)
        for stream in self._streams.values():
            stream.broken.discard(partition_id)  # What was sent to a primary is no matter now.
        self.known[partition_id] = Copy(source, is_complete=True)
        self._trust(source, partition_id)

    def begin_table(self) -> None:
        """`follow` says what this process is to hold from now on."""
        self._assigned.clear()

    def drop_unassigned(self) -> None:
        """Drop what no table has come to name since the last call."""
        for p in sorted(self._unassigned - self._assigned):
            self.drop(p)
        self._unassigned = self.known.keys() - self._assigned

    def drop(self, partition_id: int) -> None:
        """Forget a copy; who fills it, by a table that is not here yet, has to know that."""
        self._partitions.copies.pop(partition_id, None)
        copy = self.known.pop(partition_id, None)
        for sender, stream in self._streams.items():
            if copy is not None and sender.node_id == copy.source:
                stream.broken.add(partition_id)
                self._to_tell.add(sender)

    def take_receipts(self) -> list[tuple[Sender, Receipt]]:
        """Return what is to be told besides the answers to parcels."""
        senders = [sender for sender in sorted(self._to_tell) if sender in self._streams]
        self._to_tell.clear()
        streams = [(sender, self._streams[sender]) for sender in senders]
        return [
            (sender, Receipt(stream.number, False, sorted(stream.broken), stream.id))
            for sender, stream in streams
        ]

    def take(self, partition_id: int) -> bytes | None:
        """The copy becomes primary: return whose it was, None if there is no complete one."""
        copy = self.known.pop(partition_id, None)
        if copy is None or not copy.is_complete:
            self._partitions.copies.pop(partition_id, None)
            return None
        return copy.source

    def forget_senders(self, living: frozenset[bytes]) -> None:
        """Nothing comes any more from nodes that are gone.

        One that no table has named yet is no such node: it may have a newer table than this.
        """
        gone, self._living = self._living - living, living
        for sender in [sender for sender in self._streams if sender.node_id in gone]:
            del self._streams[sender]

    def lost_at_most(self, node_id: bytes) -> int:
        """Return how many writes of a dead node's it had acknowledged that are not here."""
        return sum(
            max(0, stream.allowance - stream.entries)
            for sender, stream in self._streams.items()
            if sender.node_id == node_id
        )

    # -- the streams ----------------------------------------------------------------------

    def receive(self, sender: Sender, parcel: Parcel) -> Receipt:
        """Apply a parcel if it is the next one; return what to answer."""
        stream = self._streams.get(sender)
        if stream is None or parcel.stream > stream.id:
            if parcel.number != 1:
                # What came before was for a stream that is forgotten here, or is to come again.
                return Receipt(0, True, [], parcel.stream)
            stream = self._streams[sender] = _Stream(parcel.stream)
        elif parcel.stream < stream.id:
            return Receipt(0, False, [], parcel.stream)
        is_gap = parcel.number > stream.number + 1
        if parcel.number == stream.number + 1:
            stream.number = parcel.number
            for item in parcel.items:
                self._apply(sender, stream, item)
            stream.entries, stream.allowance = parcel.entries, parcel.allowance
        return Receipt(stream.number, is_gap, sorted(stream.broken), stream.id)

    def _apply(self, sender: Sender, stream: _Stream, item: Item) -> None:
        now_s = self._clock()
        match item:
            case FillBegin(partition=p):
                if not self._begin(sender, item):
                    stream.broken.add(p)
                else:
                    stream.broken.discard(p)
            case FillPage(partition=p):
                held = self._filling(sender, stream, p)
                if held is not None:
                    take_page(held, (item.map, item.keys, item.records, item.dates), now_s)
            case FillEnd(partition=p, sequence=sequence):
                held = self._filling(sender, stream, p)
                if held is not None and held.sequence == sequence:
                    take_results(held, item.results)
                    self.known[p].is_complete = True
                elif held is not None:
                    self._break(stream, p)
            case Digest(partition=p, epoch=epoch, sequence=sequence):
                held = self._admit(sender, stream, p, epoch, sequence)
                if held is not None and digest_of(held) != (item.entries, item.digest):
                    self._break(stream, p)
            case _:
                apply(item, partial(self._admit, sender, stream), now_s)

    def _begin(self, sender: Sender, begin: FillBegin) -> bool:
        """Start a copy anew; return False if the sender cannot be its primary."""
        p = begin.partition
        if p in self._partitions.by_id:
            return False
        held = self._partitions.copies.get(p)
        if held is not None and held.epoch > begin.epoch:
            return False
        fresh = Partition(begin.epoch, begin.sequence, p)
        fresh.history = begin.history
        fresh.freeze()
        self._partitions.copies[p] = fresh
        self.known[p] = Copy(sender.node_id)
        return True

    def _filling(self, sender: Sender, stream: _Stream, p: int) -> Partition | None:
        """Return the copy that this sender is filling."""
        held, copy = self._partitions.copies.get(p), self.known.get(p)
        if held is None or copy is None or copy.source != sender.node_id or p in stream.broken:
            stream.broken.add(p)
            return None
        return held

    def _admit(
        self, sender: Sender, stream: _Stream, p: int, epoch: int, before: int
    ) -> Partition | None:
        """Return the copy if the sender may change it, and it is at the sequence `before`."""
        held, copy = self._partitions.copies.get(p), self.known.get(p)
        if (
            held is not None
            and copy is not None
            and epoch == held.epoch
            and before == held.sequence
            and copy.source == sender.node_id
            and p not in stream.broken
        ):
            return held  # The usual case.
        frozen = self._partitions.by_id.get(p)
        if frozen is not None and frozen.is_frozen and epoch > frozen.epoch:
            # Handed over: the successor's first change is here before the table that says so.
            self.lend(p, epoch, sender.node_id)
            self._on_demoted(p)
        held, copy = self._partitions.copies.get(p), self.known.get(p)
        if held is None or copy is None:
            stream.broken.add(p)
            return None
        if epoch > held.epoch:
            held.epoch = epoch
            if copy.source != sender.node_id:
                copy.source = sender.node_id
                stream.broken.discard(p)
        elif copy.source != sender.node_id:
            stream.broken.add(p)  # It has been deposed; the copy is all right.
            return None
        if p in stream.broken:
            return None
        if held.sequence != before:
            self._break(stream, p)
            return None
        return held

    def _break(self, stream: _Stream, p: int) -> None:
        stream.broken.add(p)
        self.known[p].is_complete = False
        self.has_changed = True
