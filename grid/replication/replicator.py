"""Replication of one storage process: the store's partitions as the table wants them.

Responsible for: following the table (own, lend, copy, give up), handing over, what the network
process is told, housekeeping.

Not responsible for: the two sides of the stream (``primaries.py``, ``receiving.py``), choosing who
holds what (``partition/``), pipes (``process/storage.py``).

The shell calls `receive`, `serve` and `release`, then `step` when it is due, and sends what is in
`take_outgoing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from grid.partition.messages import Holding, HoldingRole
from grid.replication.agenda import Agenda
from grid.replication.messages import Assignment, Parcel, decode_stream, encode_stream
from grid.replication.options import ReplicationOptions
from grid.replication.primaries import Primaries
from grid.replication.receiving import Copies, Sender
from grid.storage.partition import Partition
from grid.storage.store import Store

RELEASE_DEADLINE_S = 1.5
"""Copies that are not equal by then are not handed over in this round."""


RESULTS_IDLE_S = 120.0
"""Results of a client that has not written for so long, or twice as long, are forgotten: much
longer than a client repeats a request."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Bytes for a storage process of another node."""

    node_id: bytes
    index: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Promotion:
    """This process has become primary of what `source` was primary of."""

    source: bytes
    partitions: int
    lost_at_most: int


@dataclass(frozen=True, slots=True)
class Released:
    """Answer to `Replicator.release`."""

    token: int
    partition_ids: list[int]


@dataclass(slots=True)
class _Release:
    """Partitions frozen for a handover."""

    token: int
    deadline_s: float
    done: list[int]
    waiting: set[int] = field(default_factory=set)


class Replicator:
    """Copies of this process's partitions elsewhere, and of others' here."""

    def __init__(
        self, store: Store, options: ReplicationOptions, clock: Callable[[], float]
    ) -> None:
        """Begin without partitions."""
        self._store = store
        self._partitions = store.partitions
        self._options = options
        self._clock = clock
        self._agenda = Agenda()
        self._primaries = Primaries(store.partitions, options, clock, self._agenda)
        self._copies = Copies(store.partitions, clock, self._primaries.drop)
        self._protects = False
        self._replies: list[Outgoing] = []
        self._releases: list[_Release] = []
        self.released: list[Released] = []
        """To be told to the network process, as are `promotions`."""
        self.promotions: list[Promotion] = []
        self._to_compare: Iterator[int] = iter(())
        self._next_compare_s = clock() + options.digest_interval_s
        self._next_forget_s = clock() + RESULTS_IDLE_S

    # -- the table ------------------------------------------------------------------------

    def serve(self, assignments: Sequence[Assignment], living: frozenset[bytes]) -> None:
        """Hold exactly this. What was frozen and stays is served again.

        `living` are the nodes of the table.
        """
        wanted = {assignment.partition: assignment for assignment in assignments}
        self._copies.begin_table()
        self._agenda.due_s = 0.0
        for p in list(self._partitions.by_id):
            assignment = wanted.get(p)
            if assignment is None or assignment.role is not HoldingRole.PRIMARY:
                self._demote(p, assignment)
        for p in list(self._partitions.copies):
            if p not in wanted:
                self._copies.drop(p)
        self._releases.clear()
        promoted: dict[bytes, int] = {}
        for assignment in assignments:
            p = assignment.partition
            if assignment.role is HoldingRole.PRIMARY:
                self._own(assignment, promoted)
            else:
                is_synced = assignment.role is HoldingRole.BACKUP
                self._copies.follow(p, assignment.epoch, assignment.primary, is_synced=is_synced)
        self._partitions.changed()
        for source, count in promoted.items():
            lost = self._copies.lost_at_most(source)
            self.promotions.append(Promotion(source, count, lost))
        self._primaries.forget_channels(living)
        self._copies.forget_senders(living)
        for sender, receipt in self._copies.take_receipts():
            self._replies.append(Outgoing(*sender, encode_stream(receipt)))

    def _demote(self, p: int, assignment: Assignment | None) -> None:
        held = self._partitions.by_id[p]
        self._primaries.drop(p)
        if assignment is not None and held.is_frozen:
            self._copies.lend(p, assignment.epoch, assignment.primary)
        else:
            self._partitions.give_up(p)

    def _own(self, assignment: Assignment, promoted: dict[bytes, int]) -> None:
        p = assignment.partition
        source = self._copies.take(p)
        before = self._partitions.by_id.get(p)
        is_news = before is not None and before.epoch != assignment.epoch
        held = self._partitions.own(p, assignment.epoch)
        if source is not None:
            self._store.took_over(held)
            promoted[source] = promoted.get(source, 0) + 1
        if held.is_frozen:
            held.thaw()
        self._primaries.set_copies(held, assignment.copies)
        if is_news:
            self._primaries.vouch(held)

    def protect(self, protects: bool) -> None:
        """Say whether there should be backups at all."""
        self._protects = self._store.protects = protects

    def holdings(self) -> list[Holding]:
        """Return everything that is held, and as what."""
        primaries = (
            Holding(
                p,
                held.epoch,
                held.entry_count,
                held.sequence,
                HoldingRole.PRIMARY,
                self._primaries.complete_copies(p),
            )
            for p, held in self._partitions.by_id.items()
        )
        copies = (
            Holding(p, held.epoch, held.entry_count, held.sequence, self._role_of_copy(p), [])
            for p, held in self._partitions.copies.items()
        )
        return [*primaries, *copies]

    def _role_of_copy(self, p: int) -> HoldingRole:
        copy = self._copies.known.get(p)
        is_complete = copy is not None and copy.is_complete
        return HoldingRole.BACKUP if is_complete else HoldingRole.FILLING

    # -- handing over ---------------------------------------------------------------------

    def release(self, token: int, partition_ids: Iterable[int], handovers: Iterable[int]) -> None:
        """Give up what is empty; freeze what is to be handed over until its copies are equal.

        The answer comes in `released`. What is in it stays frozen until the next table.
        """
        released = self._partitions.release(partition_ids)
        for p in released:
            self._primaries.drop(p)
        deadline_s = self._clock() + RELEASE_DEADLINE_S
        release = _Release(token, deadline_s, released)
        for p in handovers:
            held = self._partitions.by_id.get(p)
            if held is None:
                release.done.append(p)
                continue
            self._primaries.freeze(held)
            release.waiting.add(p)
        self._partitions.changed()
        self._agenda.due_s = 0.0
        self._releases.append(release)
        self._check_releases(self._clock())

    def _check_releases(self, now_s: float) -> None:
        for release in list(self._releases):
            for p in sorted(release.waiting):
                held = self._partitions.by_id.get(p)
                if held is None or self._primaries.is_equal(held):
                    release.waiting.discard(p)
                    release.done.append(p)
            if release.waiting and now_s < release.deadline_s:
                continue
            for p in release.waiting:
                frozen = self._partitions.by_id[p]
                frozen.thaw()
                self._primaries.update_gate(frozen)
            self._partitions.changed()
            self._releases.remove(release)
            self.released.append(Released(release.token, release.done))

    # -- the stream -----------------------------------------------------------------------

    def receive(self, node_id: bytes, index: int, body: bytes) -> None:
        """Take what another storage process has sent.

        Raises: msgspec.MsgspecError when that is no message of the stream.
        """
        message = decode_stream(body)
        self._agenda.due_s = 0.0
        if isinstance(message, Parcel):
            receipt = self._copies.receive(Sender(node_id, index), message)
            self._replies.append(Outgoing(node_id, index, encode_stream(receipt)))
        else:
            now_s = self._clock()
            self._primaries.receive(node_id, index, message, now_s)
            if self._releases:
                self._check_releases(now_s)

    @property
    def due_s(self) -> float:
        """When to call `step`: on the clock, and in the past if at once."""
        return self._agenda.due_s

    def step(self) -> None:
        """Do what is due; `due_s` says when there is more to do."""
        now_s = self._clock()
        if self._releases:
            self._check_releases(now_s)
        self._compare_some(now_s)
        is_filling = self._primaries.pump()
        self._primaries.tick(now_s)
        dues = [channel.due_s() for channel in self._primaries.channels.values()]
        dues += [release.deadline_s for release in self._releases]
        dues.append(self._next_compare_s)
        self._agenda.due_s = 0.0 if is_filling else min(due for due in dues if due is not None)

    def _compare_some(self, now_s: float) -> None:
        """Compare one partition after the other, spread over the interval."""
        if now_s >= self._next_forget_s:
            self._next_forget_s = now_s + RESULTS_IDLE_S
            self._copies.drop_unassigned()
            held_all = chain(self._partitions.by_id.values(), self._partitions.copies.values())
            for held in held_all:
                held.results.forget_idle()
        if now_s < self._next_compare_s:
            return
        gap_s = self._options.digest_interval_s / max(1, len(self._partitions.by_id))
        self._next_compare_s = now_s + gap_s
        p = next(self._to_compare, None)
        if p is None:
            self._to_compare = iter(sorted(self._partitions.by_id))
            p = next(self._to_compare, None)
        if p is not None and p in self._partitions.by_id:
            self._primaries.compare(self._partitions.by_id[p])

    def take_outgoing(self) -> list[Outgoing]:
        """Return what is to be sent now, in order."""
        outgoing, self._replies = self._replies, []
        for channel in self._primaries.channels.values():
            if channel.outgoing:
                bodies, channel.outgoing = channel.outgoing, []
                outgoing += [Outgoing(channel.node_id, channel.index, body) for body in bodies]
        return outgoing

    def take_change(self) -> bool:
        """Return whether a copy became complete, or broke, since the last call."""
        has_changed = self._primaries.has_changed or self._copies.has_changed
        self._primaries.has_changed = self._copies.has_changed = False
        return has_changed

    @property
    def is_filling(self) -> bool:
        """Whether some copy elsewhere is not complete yet."""
        return self._primaries.is_filling

    # -- those who wait -------------------------------------------------------------------

    def want(self, entries: Mapping[int, int]) -> None:
        """A request waits for these partitions' gates: see `MustWaitError`."""
        self._primaries.want(entries)

    def hurry(self, partitions: Iterable[Partition]) -> None:
        """A reply waits for the copies of these partitions."""
        self._primaries.hurry(partitions)

    # -- accounting -----------------------------------------------------------------------

    @property
    def at_risk(self) -> int:
        """Acknowledged writes that would be lost with this node."""
        return self._primaries.at_risk

    @property
    def unprotected(self) -> int:
        """Entries without a complete backup, where there should be one."""
        if not self._protects:
            return 0
        return sum(h.entry_count for h in self._partitions.by_id.values() if not h.is_protected)
