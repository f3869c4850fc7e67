"""A cluster of coordinators and followers over an unreliable network, on a virtual clock.

Every rule that must hold at every moment is checked at every table: see `Cluster.check_table`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from random import Random

from grid.partition.coordinator import Coordinator, coordinator_of
from grid.partition.effects import (
    AskHoldings,
    AskRelease,
    LeaveGranted,
    PartitionEffect,
    SendToNode,
    ServeTable,
)
from grid.partition.follower import Follower
from grid.partition.messages import (
    Collect,
    CoordinatorMessage,
    LeaveAllowed,
    LeaveWanted,
    PartitionMessage,
    Publish,
    Release,
    RoundWanted,
    TableWanted,
)
from grid.partition.table import PartitionTable
from grid.types import (
    PARTITION_COUNT,
    LogLine,
    NodeId,
    PartitionId,
    SetTimer,
    TableStamp,
    short,
)

from .samples import node
from .stores import FakeStore, PromotedIncompleteError

RELEASE_WAIT_S = 1.5
GOSSIP_S = 1.0


class Machine:
    """One node: its cores, its store, its timers."""

    def __init__(self, cluster: Cluster, node_id: NodeId, host: str, backup_count: int) -> None:
        self.cluster, self.node_id, self.host = cluster, node_id, host
        self.follower = Follower(node_id)
        self.coordinator = Coordinator(self.follower, backup_count=backup_count)
        self.store = FakeStore(node_id)
        self.known: dict[NodeId, str] = {node_id: host}
        self.is_running = True
        self.wants_to_leave = False
        self.served: PartitionTable | None = None
        self._timers: dict[object, int] = {}
        self._released: dict[int, list[int]] = {}

    @property
    def table(self) -> PartitionTable | None:
        return self.follower.table

    def perform(self, effects: Sequence[PartitionEffect]) -> None:
        for effect in effects:
            match effect:
                case SendToNode(node_id=node_id, message=message):
                    self.cluster.send(self, node_id, message)
                case AskHoldings(token=token):
                    held = self.store.holdings()
                    self.later(0.001, partial(self.follower.holdings_known, token, held))
                case AskRelease():
                    self._release(effect)
                case ServeTable(table=table):
                    self.cluster.serve(self, table)
                case SetTimer(timer=timer, delay_s=delay_s):
                    number = self._timers[timer] = next(self.cluster.numbers)
                    self.later(delay_s, partial(self._fire, timer, number))
                case LeaveGranted():
                    if self.wants_to_leave:
                        self.cluster.end(self)
                case LogLine(text=text):
                    self.cluster.lines.append(text)

    def handle(self, sender: NodeId, message: PartitionMessage) -> list[PartitionEffect]:
        if isinstance(message, Collect | Release | Publish | TableWanted | LeaveAllowed):
            return self.follower.handle_message(sender, message)
        asked: CoordinatorMessage = message
        return self.coordinator.handle_message(sender, asked)

    def later(self, delay_s: float, make: Callable[[], list[PartitionEffect]]) -> None:
        def run() -> None:
            if self.is_running:
                self.perform(make())

        self.cluster.later(delay_s, run)

    def to_coordinator(self, message: PartitionMessage) -> list[PartitionEffect]:
        coordinator = coordinator_of(self.table, self.known)
        return [] if coordinator is None else [SendToNode(coordinator, message)]

    def leave(self) -> list[PartitionEffect]:
        """Ask to leave, and again every second."""
        self.wants_to_leave = True
        self.later(1.0, self.leave)
        return self.to_coordinator(LeaveWanted())

    def _fire(self, timer: object, number: int) -> list[PartitionEffect]:
        if self._timers.get(timer) != number:
            return []
        return self.coordinator.handle_timer(str(timer))

    def _release(self, effect: AskRelease) -> None:
        given = self.store.give_up(effect.partition_ids)
        for p in effect.handovers:
            held = self.store.primaries.get(p)
            if held is not None:
                held.is_frozen = True
        served = self.table
        until_s = self.cluster.now_s + RELEASE_WAIT_S

        def check() -> list[PartitionEffect]:
            if self.table is not served:
                return []
            done = [p for p in effect.handovers if self.store.is_equal(p)]
            if len(done) < len(effect.handovers) and self.cluster.now_s < until_s:
                self.later(0.02, check)
                return []
            for p in set(effect.handovers) - set(done):
                self.store.primaries[p].is_frozen = False
            return self.follower.released(effect.token, [*given, *done])

        self.later(0.001, check)


class Cluster:
    """Machines, the network between them, and what must be true of them."""

    def __init__(
        self, seed: int, *, loss: float = 0.0, backup_count: int = 1, delay_s: float = 0.03
    ) -> None:
        self.random = Random(seed)
        self.numbers = count(1)
        self.now_s = 0.0
        self.machines: list[Machine] = []
        self.tables: dict[TableStamp, PartitionTable] = {}
        self.lines: list[str] = []
        self.accepted: dict[int, list[int]] = {p: [] for p in range(PARTITION_COUNT)}
        self.kills = 0
        self.at_risk: set[int] = set()
        """Writes of dead primaries that a copy did not have yet."""
        self.ever_lost: set[int] = set()
        self.broken: set[int] = set()
        self._loss, self._delay_s, self._backup_count = loss, delay_s, backup_count
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._primary_of: dict[tuple[int, int], NodeId] = {}
        self.is_filling = True
        """False: no copy that is begun becomes complete."""

    # -- people ---------------------------------------------------------------------------

    def add(self, host: str = "") -> Machine:
        """Start a node; the first one founds the cluster."""
        number = len(self.machines) + 1
        machine = Machine(self, node(number), host or f"host{number}", self._backup_count)
        self.machines.append(machine)
        if number == 1:
            machine.perform(machine.coordinator.found())
        self._tell_of(machine)
        machine.later(self.random.random(), lambda: self._copy(machine))
        machine.later(self.random.random(), lambda: self._gossip(machine))
        return machine

    def kill(self, machine: Machine) -> None:
        """End a node without a word."""
        self.kills += 1
        for p, held in machine.store.primaries.items():
            logs = [other.store.copies[p].log for other in self.running if p in other.store.copies]
            for number in held.log:
                if not all(number in log for log in logs):
                    self.at_risk.add(number)
        self.end(machine)

    def end(self, machine: Machine) -> None:
        machine.is_running = False
        for other in self.running:
            other.later(self.random.uniform(0.2, 3), partial(self._forget, other, machine))

    def write(self, p: int) -> None:
        """Write to the partition wherever it is served, if it is."""
        for machine in self.running:
            number = next(self.numbers)
            if machine.store.write(p, number):
                self.accepted[p].append(number)
                return

    def run(self, seconds: float, each: Callable[[], object] | None = None) -> None:
        """Let time pass; call `each` before every event."""
        until_s = self.now_s + seconds
        while self._queue and self._queue[0][0] <= until_s:
            self.now_s, _, run = heapq.heappop(self._queue)
            run()
            if each is not None:
                each()
        self.now_s = until_s

    def break_copy(self) -> None:
        """Let some complete copy turn out not to be what it should."""
        machine = self.random.choice(self.running)
        # What is frozen does not change any more: nothing is found to be wrong with it then.
        primaries = machine.store.primaries.items()
        served = [p for p, held in primaries if held.complete and not held.is_frozen]
        if not served:
            return
        p = self.random.choice(served)
        node_id = self.random.choice(machine.store.primaries[p].complete)
        machine.store.primaries[p].copies[node_id] = -1
        self.broken.add(p)
        for other in self.running:
            if other.node_id == node_id and p in other.store.copies:
                other.store.copies[p].is_complete = False
        machine.perform(machine.to_coordinator(RoundWanted()))

    # -- what there is --------------------------------------------------------------------

    @property
    def running(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.is_running]

    @property
    def table(self) -> PartitionTable:
        """The newest table that anybody has adopted."""
        newest = self.running[0].table
        for machine in self.running:
            table = machine.table
            if table and (newest is None or table.stamp.supersedes(newest.stamp)):
                newest = table
        assert newest is not None
        return newest

    def missing(self) -> list[int]:
        """Return the partitions whose primary does not have every accepted write."""
        logs: dict[int, list[int]] = {}
        for machine in self.running:
            for p, held in machine.store.primaries.items():
                logs[p] = held.log
        return [
            p
            for p, numbers in self.accepted.items()
            if p not in self.ever_lost and not set(numbers) <= {*logs.get(p, ()), *self.at_risk}
        ]

    # -- the world ------------------------------------------------------------------------

    def later(self, delay_s: float, run: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now_s + delay_s, next(self.numbers), run))

    def send(self, sender: Machine, node_id: NodeId, message: PartitionMessage) -> None:
        target = next((m for m in self.running if m.node_id == node_id), None)
        if target is None:
            return
        if target is sender:
            target.later(0, lambda: target.handle(sender.node_id, message))
        elif self.random.random() >= self._loss:
            # Later ones may overtake.
            delay_s = self.random.uniform(0.001, self._delay_s)
            target.later(delay_s, lambda: target.handle(sender.node_id, message))

    def _tell_of(self, machine: Machine) -> None:
        for other in self.running:
            if other is not machine:
                # Who joins is given the list of the members; they hear of it one by one.
                machine.known[other.node_id] = other.host
                delay_s = self.random.uniform(0.01, 0.5)
                other.later(delay_s, partial(self._meet, other, machine))
        machine.perform(machine.coordinator.alive_changed(machine.known))

    def _meet(self, one: Machine, other: Machine) -> list[PartitionEffect]:
        if not other.is_running:
            return []
        one.known[other.node_id] = other.host
        return one.coordinator.alive_changed(one.known)

    def _forget(self, one: Machine, gone: Machine) -> list[PartitionEffect]:
        if one.known.pop(gone.node_id, None) is None:
            return []
        return one.coordinator.alive_changed(one.known)

    def _gossip(self, machine: Machine) -> list[PartitionEffect]:
        machine.later(GOSSIP_S, lambda: self._gossip(machine))
        other = self.random.choice(self.running)
        if other.follower.stamp.supersedes(machine.follower.stamp):
            return [SendToNode(other.node_id, TableWanted(machine.follower.stamp))]
        return []

    def _copy(self, machine: Machine) -> list[PartitionEffect]:
        """Stream what has been written, and fill what is not complete yet."""
        machine.later(self.random.uniform(0.01, 0.1), lambda: self._copy(machine))
        stores = {m.node_id: m.store for m in self.running}
        has_completed = False
        for p, held in list(machine.store.primaries.items()):
            for node_id, have in held.copies.items():
                if have >= 0 and node_id in stores and not stores[node_id].has_copy(p):
                    # A table that came late did not name it: it has dropped what it had.
                    have = held.copies[node_id] = -1
                is_due = have < len(held.log) if have >= 0 else self._may_fill()
                if is_due and node_id in stores:
                    has_completed |= machine.store.copy_to(p, stores[node_id])
        return machine.to_coordinator(RoundWanted()) if has_completed else []

    def _may_fill(self) -> bool:
        return self.is_filling and self.random.random() < 0.1

    # -- rules ----------------------------------------------------------------------------

    def serve(self, machine: Machine, table: PartitionTable) -> None:
        """Let a node's store serve a table, and see that nothing is wrong with that."""
        assert self.tables.setdefault(table.stamp, table) == table, "two tables, one stamp"
        if NodeId(table.coordinator) == machine.node_id:
            self.check_table(machine.served or table, table)
        machine.served = table
        before = {p: held.epoch for p, held in machine.store.primaries.items()}
        before |= {p: copy.epoch for p, copy in machine.store.copies.items()}
        try:
            begun = machine.store.serve(table)
        except PromotedIncompleteError as error:
            raise AssertionError(f"{short(machine.node_id)}: {error}") from error
        for p in begun:
            if p not in self.ever_lost:
                known = set(self.accepted[p]) - self.at_risk
                assert not known, f"{p} begins anew although it was written"
        for p, held in machine.store.primaries.items():
            assert held.epoch >= before.get(p, 0), f"the epoch of {p} falls"
            owner = self._primary_of.setdefault((p, held.epoch), machine.node_id)
            assert owner == machine.node_id, f"two primaries of {p} in epoch {held.epoch}"

    def check_table(self, last: PartitionTable, table: PartitionTable) -> None:
        """Check what a coordinator has just decided."""
        living = {machine.node_id for machine in self.running}
        staying = [m for m in self.running if not m.wants_to_leave]
        if living.issuperset(last.order) and len(staying) > 1:
            for p in set(map(PartitionId, range(PARTITION_COUNT))) - self.broken:
                # A copy that became complete a moment ago may lose its role; nobody relied on it.
                before = min(self._copies(last, p), 1 + last.synced[p])
                after = self._copies(table, p)
                assert after >= before, f"{p} has {after} copies instead of {before}"
        for p in table.lost():
            if p in self.ever_lost:
                continue
            self.ever_lost.add(p)
            for machine in self.running:
                copy, held = machine.store.copies.get(p), machine.store.primaries.get(p)
                is_served = held is not None and held.epoch >= last.epochs[p]
                assert not is_served, f"{p} is lost and served"
                is_copy = copy is not None and copy.is_complete and copy.epoch >= last.epochs[p]
                assert not is_copy, f"{p} is lost, but there is a copy"

    def _copies(self, table: PartitionTable, p: PartitionId) -> int:
        """Return how many nodes with a role have all that was written, if anything was."""
        named = (table.primary_of(p), table.backup_of(p), table.incoming_of(p))
        copies = 0
        for machine in self.running:
            held, copy = machine.store.primaries.get(p), machine.store.copies.get(p)
            if machine.node_id in named:
                is_copy = copy is not None and copy.is_complete and bool(copy.log)
                copies += is_copy or (held is not None and bool(held.log))
        return copies
