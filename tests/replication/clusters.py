"""Several storage processes, a table that changes under them, and what must be true of both.

The cluster plays the coordinator by its rules, and keeps what every partition was after each of
its writes: so it is known what a copy must be, whatever sequence it has reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from grid.partition.messages import Holding, HoldingRole
from grid.replication.messages import Assignment
from grid.replication.options import ReplicationOptions
from grid.storage.messages import Done, Flush, Missing, PutAll, Refused, RemoveAll, Reply, Request
from grid.storage.partition import Partition
from grid.storage.partitions import MustWaitError
from grid.storage.replies import Held

from .pairs import MAP, Process, World, id_of

PARTITIONS = (1, 2, 3)
OPTIONS = ReplicationOptions(
    window_operations_max=6, window_bytes_max=2_000, digest_interval_s=3_600
)

TRAVEL_MAX_S = 3.0
"""A parcel takes no longer, even if it is lost a few times."""

State = tuple[dict[bytes, bytes], set[tuple[bytes, int]]]
"""The records of a partition, and the writes (client, number) whose results are kept."""


def state_of(held: Partition) -> State:
    known = {
        (client, number)
        for client, of_client in held.results.clients.items()
        for number, result in of_client.results.items()
        if not isinstance(result, Missing) and not (isinstance(result, Done) and not result.count)
    }
    return dict(held.table(MAP).records), known


@dataclass(frozen=True)
class Roles:
    """What the table says of one partition."""

    epoch: int
    primary: str
    backup: str = ""
    is_synced: bool = False
    incoming: str = ""

    @property
    def text(self) -> str:
        return f"{self.primary}{self.backup}{'+' * self.is_synced}/{self.incoming}"


@dataclass
class Past:
    """What one partition was after each of its writes, and what its writers were told."""

    states: dict[int, State] = field(default_factory=dict)
    acked: list[tuple[int, int]] = field(default_factory=list)
    """(sequence, entries) of writes that were acknowledged at once."""
    confirmed: int = 0
    waiting: list[Held] = field(default_factory=list)

    def note_confirmed(self) -> None:
        for held in self.waiting:
            if held.is_over:
                self.confirmed = max(self.confirmed, *(s for _, s in held.waits))
        self.waiting = [held for held in self.waiting if not held.is_over]

    def forget_after(self, sequence: int) -> int:
        """Forget what is lost; return how many entries were acknowledged at once and are lost."""
        lost = sum(entries for written, entries in self.acked if written > sequence)
        self.states = {s: state for s, state in self.states.items() if s <= sequence}
        self.acked = [(s, entries) for s, entries in self.acked if s <= sequence]
        self.waiting = []
        return lost


class Cluster:
    """Processes, the table of each, and the past of each partition."""

    def __init__(self) -> None:
        self.world = World("abc", OPTIONS)
        self.table = {1: Roles(1, "a", "b"), 2: Roles(1, "a", "c"), 3: Roles(1, "b", "a")}
        self.pasts = {p: Past({0: ({}, set())}) for p in PARTITIONS}
        self.to_deliver: dict[str, list[tuple[dict[int, Roles], str]]] = {n: [] for n in "abc"}
        self.lost = 0
        self.tried = dict.fromkeys("abc", 0)
        """Of each process, how many writes were asked of it."""
        self.flushes: dict[str, tuple[int, Held]] = {}
        """The last flush of each process, and what had been tried before."""
        for process in self.world.processes.values():
            keep_all_results(process)
        self.publish()
        self.deliver_all()

    # -- requests -------------------------------------------------------------------------

    def primary_of(self, p: int) -> tuple[str, Partition] | None:
        """Return who serves a partition now, by what the processes know."""
        serving = [
            (held.epoch, name, held)
            for name, process in self.world.processes.items()
            if (held := process.store.partitions.by_id.get(p)) and not held.is_frozen
        ]
        assert len(serving) <= 1, "two processes serve one partition"
        return None if not serving else (serving[0][1], serving[0][2])

    def try_to(self, name: str, request: Request, client: bytes) -> Reply | Held | None:
        """Carry out a request and keep what follows; None: it has to wait."""
        process = self.world.processes[name]
        self.tried[name] += 1
        by_id = process.store.partitions.by_id
        before = {p: held.sequence for p, held in by_id.items()}
        counts = {p: held.entry_count for p, held in by_id.items()}
        try:
            reply = process.store.handle(request, client)
        except MustWaitError as wait:
            process.replicator.want(wait.entries)
            assert {p: held.sequence for p, held in by_id.items()} == before
            return None
        written = {p: held for p, held in by_id.items() if held.sequence != before[p]}
        assert not (isinstance(reply, Refused) and written)
        for p, held in written.items():
            past = self.pasts[p]
            past.states[held.sequence] = state_of(held)
            if isinstance(reply, Held):
                past.waiting.append(Held(reply.reply, ((held, held.sequence),)))
                process.replicator.hurry([held])
            else:
                entries = 1
                if isinstance(request, PutAll):
                    entries = request.partitions.count(p)
                elif isinstance(request, RemoveAll):
                    entries = counts[p] - held.entry_count
                past.acked.append((held.sequence, entries))
        return reply

    def flush(self, name: str) -> None:
        """Begin a flush of what has a backup."""
        process = self.world.processes[name]
        by_id = process.store.partitions.by_id
        served = {p: held for p, held in by_id.items() if held.is_protected and not held.is_frozen}
        epochs = [(p, held.epoch) for p, held in served.items()]
        reply = process.store.handle(Flush(1, epochs))
        held = reply if isinstance(reply, Held) else Held(reply, ())
        process.replicator.hurry(partition for partition, _ in held.waits)
        self.flushes[name] = self.tried[name], held

    def has_flushed(self, name: str) -> bool:
        """Whether a flush is over, and nothing was asked since it began."""
        tried, held = self.flushes.get(name, (-1, None))
        return tried == self.tried[name] and held is not None and held.is_over

    def expire(self) -> None:
        for name, process in self.world.processes.items():
            self.tried[name] += 1
            process.store.expire()
            for p, held in process.store.partitions.by_id.items():
                self.pasts[p].states[held.sequence] = state_of(held)

    def compare_all(self) -> None:
        """Compare all copies, as is done once in an interval."""
        for process in self.world.processes.values():
            for held in process.store.partitions.by_id.values():
                process.replicator._primaries.compare(held)

    def turn(self, seconds: float = 0.001) -> None:
        self.world.turn(seconds)
        for past in self.pasts.values():
            past.note_confirmed()

    # -- the table ------------------------------------------------------------------------

    def holding(self, name: str, p: int) -> Holding | None:
        held = self.world.processes[name].replicator.holdings() if name in self.names else []
        return next((holding for holding in held if holding.partition_id == p), None)

    @property
    def names(self) -> str:
        return "".join(sorted(self.world.processes))

    def publish(self, **changed: Roles) -> None:
        """Let the next table be on its way to everybody."""
        for number, roles in changed.items():
            self.table[int(number[1:])] = roles
        for name in self.names:
            self.to_deliver[name].append((dict(self.table), self.names))

    def deliver(self, name: str) -> None:
        """Let a process have the next table."""
        if self.to_deliver[name]:
            table, living = self.to_deliver[name].pop(0)
            nodes = frozenset(id_of(letter) for letter in living)
            self.world.processes[name].replicator.serve(assignments(name, table), nodes)

    def deliver_all(self) -> None:
        for name in self.names:
            while self.to_deliver[name]:
                self.deliver(name)

    def is_complete(self, p: int, name: str) -> bool:
        """Whether primary and copy both say, in the epoch of the table, that it is complete.

        Tables and questions come to each node in order: who answers has every table before.
        """
        roles = self.table[p]
        if self.to_deliver[roles.primary] or self.to_deliver[name]:
            return False
        primary, copy = self.holding(roles.primary, p), self.holding(name, p)
        return (
            primary is not None
            and copy is not None
            and primary.role == HoldingRole.PRIMARY
            and copy.role == HoldingRole.BACKUP
            and primary.epoch == copy.epoch == roles.epoch
            and id_of(name) in primary.complete
        )

    def synchronize(self, p: int) -> None:
        """The backup counts from now on, if it is complete."""
        roles = self.table[p]
        if roles.backup and not roles.is_synced and self.is_complete(p, roles.backup):
            self.publish(**{f"p{p}": replace(roles, is_synced=True)})

    def name_copy(self, p: int, name: str) -> None:
        """Have a backup, or a third copy, filled."""
        roles = self.table[p]
        if name in (roles.primary, roles.backup, roles.incoming):
            return
        if not roles.backup:
            self.publish(**{f"p{p}": replace(roles, backup=name)})
        elif not roles.incoming:
            self.publish(**{f"p{p}": replace(roles, incoming=name)})
        else:
            self.publish(**{f"p{p}": replace(roles, epoch=roles.epoch + 1, incoming=name)})

    def exchange_backup(self, p: int) -> None:
        """The third copy, once complete, becomes the backup."""
        roles = self.table[p]
        if roles.incoming and roles.is_synced and self.is_complete(p, roles.incoming):
            now = Roles(roles.epoch + 1, roles.primary, roles.incoming, True)
            self.publish(**{f"p{p}": now})

    def hand_over(self, p: int) -> bool:
        """Move the primary to a complete copy: freeze, wait for the answer, publish."""
        roles = self.table[p]
        to = roles.incoming or roles.backup
        if not roles.is_synced or not self.is_complete(p, to):
            return False  # Protect first, move afterwards.
        primary = self.world[roles.primary]
        primary.released.clear()
        primary.replicator.release(1, [], [p])
        for _ in range(200):
            self.turn(0.01)
            if primary.released:
                break
        if p not in primary.released[0]:
            self.publish()
            return False
        backup = roles.backup if to == roles.incoming else roles.primary
        self.publish(**{f"p{p}": Roles(roles.epoch + 1, to, backup, True)})
        return True

    def kill(self, name: str, newcomer: str) -> None:
        """End a process, promote the backups of its partitions, start another process."""
        for past in self.pasts.values():
            past.note_confirmed()
        has_flushed = self.has_flushed(name)
        dead = self.world.kill(name)
        del self.to_deliver[name]
        self.world.start(newcomer)
        self.tried[newcomer] = 0
        keep_all_results(self.world[newcomer])
        self.to_deliver[newcomer] = []
        promoted: dict[str, list[int]] = {}
        for p, roles in self.table.items():
            if roles.primary == name:
                if roles.is_synced:
                    promoted.setdefault(roles.backup, []).append(p)
                self.table[p] = self._led_by_another(p, roles, newcomer)
            elif name in (roles.backup, roles.incoming):
                backup = "" if roles.backup == name else roles.backup
                incoming = "" if roles.incoming == name else roles.incoming
                synced = roles.is_synced and bool(backup)
                self.table[p] = Roles(roles.epoch + 1, roles.primary, backup, synced, incoming)
        self.publish()
        for heir, partition_ids in promoted.items():
            self._promote(heir, partition_ids, dead, lost_max=0 if has_flushed else None)

    def _led_by_another(self, p: int, roles: Roles, newcomer: str) -> Roles:
        if roles.is_synced:
            return Roles(roles.epoch + 1, roles.backup, roles.incoming)
        self.pasts[p] = Past({0: ({}, set())})  # Lost, and begun anew.
        return Roles(roles.epoch + 1, newcomer)

    def _promote(
        self, heir: str, partition_ids: list[int], dead: Process, lost_max: int | None
    ) -> None:
        process = self.world[heir]
        process.promotions.clear()
        while self.to_deliver[heir]:
            self.deliver(heir)
        self.turn(0)
        lost = 0
        for p in partition_ids:
            held, past = process.store.partitions.by_id[p], self.pasts[p]
            assert held.sequence >= past.confirmed, "a confirmed write is lost"
            lost += past.forget_after(held.sequence)
            self.check_past(p, held)
        told = sum(one.lost_at_most for one in process.promotions if one.source == dead.node_id)
        assert lost <= told, "more is lost than was said"
        assert lost_max is None or told <= lost_max, "more is said to be lost than can be"
        self.lost += lost

    # -- what must be true ----------------------------------------------------------------

    def check_past(self, p: int, held: Partition) -> None:
        """A copy is what the partition was at the sequence that it has reached."""
        expected = self.pasts[p].states.get(held.sequence)
        assert expected is not None, f"{held.sequence} was never a state of {p}"
        assert state_of(held) == expected

    def come_to_rest(self) -> None:
        """Let everything arrive; then all complete copies are equal, and all copies complete."""
        world = self.world
        world.loss = world.repetition = world.delay_max_s = 0.0
        self.deliver_all()
        for turn in range(300):
            self.turn(0.02)
            if turn == 150:
                self.compare_all()
        for p, roles in self.table.items():
            primary = world[roles.primary].store.partitions.by_id[p]
            self.check_past(p, primary)
            assert not primary.unconfirmed or not primary.is_protected
            assert self.pasts[p].waiting == [] or not primary.is_protected
            for name in (roles.backup, roles.incoming):
                if name:
                    assert self.is_complete(p, name)
                    copy = world[name].store.partitions.copies[p]
                    assert copy.sequence == primary.sequence
                    self.check_past(p, copy)
                    same_dates(primary, copy, world.now_s)


def keep_all_results(process: Process) -> None:
    """Let no client be forgotten, however long it is silent: these clients are slow."""
    process.replicator._next_forget_s = float("inf")


def same_dates(primary: Partition, copy: Partition, now_s: float) -> None:
    """Entries end at the copy when they end at the primary, but for what parcels took."""
    ours, theirs = primary.table(MAP).expiries, copy.table(MAP).expiries
    dates = {} if ours is None else ours._dates
    copied = {} if theirs is None else theirs._dates
    assert dates.keys() == copied.keys()
    for key, at_s in dates.items():
        is_over = at_s <= now_s and copied[key] <= now_s
        assert is_over or abs(at_s - copied[key]) < TRAVEL_MAX_S


def assignments(name: str, table: dict[int, Roles]) -> list[Assignment]:
    return World("").assignments(name, {p: (r.epoch, r.text) for p, r in table.items()})
