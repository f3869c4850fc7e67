"""Storage processes without processes: stores with replicators, and a relay that can be cut."""

from __future__ import annotations

from random import Random

from grid.partition.messages import HoldingRole
from grid.replication.messages import Assignment, CopyTarget
from grid.replication.options import ReplicationOptions
from grid.replication.replicator import Outgoing, Promotion, Replicator
from grid.storage.messages import Put, Reply, Request
from grid.storage.options import StorageOptions
from grid.storage.partitions import MustWaitError
from grid.storage.replies import Held
from grid.storage.store import Store

MAP = "m"
CLIENT = b"client-of-16-byt"


def id_of(name: str) -> bytes:
    """Return the id of the node with this letter."""
    return name.encode() * 16


def is_over(held: Held) -> bool:
    """Tell whether a reply can be sent: as a call, since it changes between two looks."""
    return held.is_over


class Process:
    """One storage process: number 0 of its node."""

    def __init__(self, world: World, node_id: bytes) -> None:
        """Hold nothing."""
        self.node_id = node_id
        self.store = Store(StorageOptions(), lambda: world.now_s)
        self.replicator = Replicator(self.store, world.options, lambda: world.now_s)
        self.replicator.protect(protects=True)
        self.promotions: list[Promotion] = []
        self.released: list[list[int]] = []

    def entries(self, partition: int = 1) -> dict[bytes, bytes]:
        """Return the records of the map in a partition, primary or copy."""
        partitions = self.store.partitions
        held = partitions.by_id.get(partition) or partitions.copies[partition]
        return dict(held.table(MAP).records)


class World:
    """Processes, the messages between them, and the time."""

    def __init__(self, names: str = "ab", options: ReplicationOptions | None = None) -> None:
        """Start one process for each letter."""
        self.now_s = 100.0
        self.options = options or ReplicationOptions()
        self.processes = {name: Process(self, id_of(name)) for name in names}
        self.by_id = {process.node_id: process for process in self.processes.values()}
        self.on_the_way: list[tuple[float, bytes, Outgoing]] = []
        """When it arrives, who has sent it, and what."""
        self.is_cut = False
        self.loss = self.repetition = self.delay_max_s = 0.0
        """What becomes of messages: how many of them are lost or come twice, how late they are."""
        self.random = Random(1)
        self.number = 0

    def __getitem__(self, name: str) -> Process:
        """Return a process by its letter."""
        return self.processes[name]

    def serve(self, table: dict[int, tuple[int, str]], living: str | None = None) -> None:
        """Serve a table: partition -> (epoch, primary, then backup, '+' if synced, then '/x')."""
        nodes = frozenset(id_of(name) for name in living or self.processes)
        for name, process in self.processes.items():
            if process.node_id in nodes:
                process.replicator.serve(self.assignments(name, table), nodes)

    def assignments(self, name: str, table: dict[int, tuple[int, str]]) -> list[Assignment]:
        """Return what a table gives to one process."""
        found = []
        for partition, (epoch, text) in table.items():
            roles, _, incoming = text.partition("/")
            primary, backup, is_synced = roles[0], roles[1:2].strip("+"), roles.endswith("+")
            primary_id = id_of(primary)
            targets = []
            if backup:
                target_id = id_of(backup)
                targets.append(CopyTarget(target_id, 0, True, is_synced))
            if incoming:
                targets.append(CopyTarget(id_of(incoming), 0, False, False))
            if name == primary:
                role, copies = HoldingRole.PRIMARY, targets
            elif name == backup and is_synced:
                role, copies = HoldingRole.BACKUP, []
            elif name in (backup, incoming):
                role, copies = HoldingRole.FILLING, []
            else:
                continue
            found.append(Assignment(partition, epoch, role, primary_id, copies))
        return found

    def turn(self, seconds: float = 0.001) -> None:
        """Let time pass, every process do what is due, and messages arrive."""
        self.now_s += seconds
        for process in self.by_id.values():
            if process.replicator.due_s <= self.now_s:
                process.replicator.step()
            for outgoing in process.replicator.take_outgoing():
                self._send(process.node_id, outgoing)
            process.promotions += process.replicator.promotions
            process.replicator.promotions.clear()
            process.released += [answer.partition_ids for answer in process.replicator.released]
            process.replicator.released.clear()
        arriving = [message for message in self.on_the_way if message[0] <= self.now_s]
        self.on_the_way = [message for message in self.on_the_way if message[0] > self.now_s]
        for _, sender_id, outgoing in arriving:
            receiver = self.by_id.get(outgoing.node_id)
            if receiver is not None:
                receiver.replicator.receive(sender_id, 0, outgoing.body)

    def _send(self, sender_id: bytes, outgoing: Outgoing) -> None:
        for chance in (1.0, self.repetition):
            if self.is_cut or self.random.random() >= chance or self.random.random() < self.loss:
                continue
            arrives_s = self.now_s + self.random.random() * self.delay_max_s
            self.on_the_way.append((arrives_s, sender_id, outgoing))

    def start(self, name: str) -> None:
        """Start one more process."""
        process = self.processes[name] = Process(self, id_of(name))
        self.by_id[process.node_id] = process

    def kill(self, name: str) -> Process:
        """End a process; what it has sent may still arrive."""
        process = self.processes.pop(name)
        del self.by_id[process.node_id]
        return process

    def settle(self, turns: int = 100) -> None:
        """Let so many milliseconds pass."""
        for _ in range(turns):
            self.turn()

    def ask(self, name: str, request: Request, client: bytes = CLIENT) -> Reply | Held:
        """Carry out a request as soon as its gate is open."""
        process = self.processes[name]
        for _ in range(10_000):
            try:
                return process.store.handle(request, client)
            except MustWaitError as wait:
                process.replicator.want(wait.entries)
                self.turn()
        raise AssertionError("the gate stays shut")

    def put(
        self, name: str, key: bytes, value: bytes = b"v", *, partition: int = 1, number: int = 0,
        epoch: int | None = None,
    ) -> Reply | Held:  # fmt: skip
        """Put one entry."""
        held = self.processes[name].store.partitions.by_id[partition]
        self.number += 1
        number = number or self.number
        return self.ask(name, Put(number, MAP, partition, epoch or held.epoch, key, value))
