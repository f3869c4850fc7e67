"""A cluster without processes: real stores behind a shell that loses what a test wants lost.

Requests and replies pass through the real encoding. Time is a number that pauses move on.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections import deque
from collections.abc import Callable, Generator
from enum import Enum
from itertools import count
from random import Random
from typing import Any, TypeVar

from grid.client.async_map import AsyncMap
from grid.client.map import Map
from grid.client.processing.at_data import AtData
from grid.client.requests.core import Core, MakeRequest
from grid.client.requests.routing import Place
from grid.client.requests.steps import Ask, AskAll, FetchTable, Lost, Operation, Pause, Step
from grid.errors import GridError
from grid.partition.table import make_table
from grid.storage.messages import RefusalReason, Refused, Reply, Request, Requests
from grid.storage.options import StorageOptions
from grid.storage.partition import Partition
from grid.storage.replies import Held
from grid.storage.store import Store
from grid.types import PARTITION_COUNT, NodeId, TableStamp
from grid.wire.catalog import (
    decode_storage_reply,
    decode_storage_request,
    encode,
    encode_in_pieces,
)
from grid.wire.control import NodeView, View

T = TypeVar("T")

DEADLINE_S = 15.0
COORDINATOR = NodeId(b"c" * 16)


class Fault(Enum):
    """What happens to a request instead of being answered."""

    NOT_CONNECTED = "nobody takes the connection"
    LOST_BEFORE = "the connection breaks before the request is carried out"
    LOST_AFTER = "the connection breaks after the request was carried out"
    DELAYED = "the connection breaks, and the request is carried out later"
    LATE = "the node is silent until the deadline"
    LATE_AFTER = "the same, but the request was carried out"
    REFUSED = "the node does not have the table yet"


def node_id(number: int) -> NodeId:
    return NodeId(b"node" + number.to_bytes(12, "big"))


class FakeCluster:
    """Nodes of some storage processes each; partition ``p`` begins at node ``p // 2 % nodes``.

    Backups are no more than a word: where a partition is said to have one, it has everything that
    somebody waits for at once.
    """

    def __init__(
        self, nodes: int = 2, storage_processes: int = 2, *, backup_count: int = 1
    ) -> None:
        self.backup_count = backup_count
        self.unprotected: set[int] = set()
        """Partitions whose backup is not complete."""
        self.now_s = 1000.0
        self.storage_processes = storage_processes
        self.owners: list[int | None] = [p // 2 % nodes for p in range(PARTITION_COUNT)]
        self.epochs = [1] * PARTITION_COUNT
        self.version = 1
        self.stores: dict[Place, Store] = {
            (node_id(node), index): Store(StorageOptions(), self.clock)
            for node in range(nodes)
            for index in range(storage_processes)
        }
        self.nodes = nodes
        for place in self.stores:
            self._serve(place)

    def clock(self) -> float:
        return self.now_s

    def _place(self, partition: int) -> Place | None:
        owner = self.owners[partition]
        return None if owner is None else (node_id(owner), partition % self.storage_processes)

    def _serve(self, place: Place) -> None:
        held = {p: self.epochs[p] for p in range(PARTITION_COUNT) if self._place(p) == place}
        store = self.stores[place]
        store.serve(held)
        store.protects = bool(self.backup_count)
        for partition_id, partition in store.partitions.by_id.items():
            is_protected = store.protects and partition_id not in self.unprotected
            partition.is_protected = is_protected
            if not is_protected:
                partition.confirmed = partition.sequence

    def expose(self, *partitions: int) -> None:
        """The backups of partitions are gone."""
        self.unprotected |= set(partitions)
        for place in self.stores:
            self._serve(place)

    def protect(self, *partitions: int) -> None:
        """The backups of partitions are complete again."""
        self.unprotected -= set(partitions)
        for place in self.stores:
            self._serve(place)

    def view(self) -> View:
        """Return the table as a network process tells it."""
        ids = [node_id(number) for number in range(self.nodes)]
        owners = [None if owner is None else ids[owner] for owner in self.owners]
        stamp = TableStamp(1, COORDINATOR, self.version)
        table = make_table(stamp, ids, owners, self.epochs, backup_count=self.backup_count)
        views = [
            NodeView(id_, f"n{number}", "127.0.0.1", 7000 + number, self.storage_processes, 1, 0, 0)
            for number, id_ in enumerate(ids)
        ]
        return View(1, "fake", b"", ids[0], views, table)

    def move(self, partition: int, node: int) -> None:
        """Move a partition with what it holds; its epoch grows."""
        old = self._place(partition)
        self.owners[partition] = node
        self.epochs[partition] += 1
        self.version += 1
        new = self._place(partition)
        assert old is not None
        assert new is not None
        held = self.stores[old].partitions.by_id
        self.stores[new].partitions.by_id[partition] = held.pop(partition)
        for place in {old, new}:
            self._serve(place)

    def copied(self, partition: int) -> Partition:
        """Return a backup of a partition as it is now."""
        place = self._place(partition)
        assert place is not None
        return copy.deepcopy(self.stores[place].partitions.by_id[partition])

    def promote(self, backup: Partition, node: int) -> None:
        """The primary has died, and this backup at `node` takes its place."""
        partition = backup.partition_id
        self.lose(partition)
        self.owners[partition] = node
        self.epochs[partition] += 1
        place = self._place(partition)
        assert place is not None
        self.stores[place].partitions.copies[partition] = backup
        self._serve(place)

    def lose(self, partition: int) -> None:
        """A partition's node has died with it."""
        place = self._place(partition)
        assert place is not None
        self.owners[partition] = None
        self.version += 1
        self._serve(place)

    def accept_loss(self, node: int = 0) -> None:
        """Lost partitions begin anew at `node`."""
        self.version += 1
        for partition, owner in enumerate(self.owners):
            if owner is None:
                self.owners[partition] = node
                self.epochs[partition] += 1
        for place in self.stores:
            self._serve(place)

    def handle(self, place: Place, ask: Ask, client: bytes) -> Reply:
        """Have a storage process answer what has travelled as bytes."""
        if ask.payload is None:
            body = encode(ask.request)
        else:
            body = b"".join(encode_in_pieces(ask.request, ask.payload))
        request = decode_storage_request.raw(body)
        assert not isinstance(request, Requests)
        answer = self.stores[place].handle(request, client)
        if isinstance(answer, Held):
            for partition, sequence in answer.waits:
                partition.confirm(sequence)
            answer = answer.reply
        reply = decode_storage_reply.raw(encode(answer))
        assert reply.request == request.request  # type: ignore[union-attr]
        return reply  # type: ignore[return-value]


Meddle = Callable[[Ask], Fault | None]

_clients = count(1)


class FakeShell:
    """Runs operations in a fake cluster; `meddle` sees each request before it is answered."""

    def __init__(
        self, cluster: FakeCluster, meddle: Meddle = lambda ask: None, *, seed: int = 0
    ) -> None:
        self.cluster = cluster
        self.meddle = meddle
        self.core = Core(cluster.view(), DEADLINE_S, cluster.clock, Random(seed))
        self.client_id = next(_clients).to_bytes(16, "big")
        self.requests: list[Request] = []
        self.delayed: list[Ask] = []
        self.pauses: list[float] = []
        self.fetch_failure: str | None = None
        self.fetches = 0

    @classmethod
    def sharing(cls, other: FakeShell) -> FakeShell:
        """Return one of the same client, as another of its threads, without faults."""
        shell = cls(other.cluster)
        shell.core, shell.client_id = other.core, other.client_id
        return shell

    def run(self, operation: Operation[T]) -> T:
        try:
            step = operation.send(None)
            while True:
                try:
                    result = self.answer(step)
                except GridError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def on_partition(
        self, partition_id: int, make: MakeRequest, payload: bytes | None = None
    ) -> Reply:
        return self.run(self.core.on_partition(partition_id, make, payload))

    def answer(self, step: Step) -> object:
        match step:
            case Ask():
                return self._ask(step)
            case AskAll():
                self._ask_all(step)
            case FetchTable():
                self.fetches += 1
                if self.fetch_failure is None:
                    self.core.adopt(self.cluster.view())
                return self.fetch_failure
            case Pause(seconds=seconds):
                assert seconds > 0
                self.pauses.append(seconds)
                self.cluster.now_s += seconds
        return None

    def _ask_all(self, step: AskAll) -> None:
        waiting: deque[tuple[Ask, Reply | Lost]] = deque()
        for ask in step.asks:
            waiting.append((ask, self._ask(ask)))
            if len(waiting) >= step.window:
                step.take(*waiting.popleft())
        while waiting:
            step.take(*waiting.popleft())

    def _ask(self, ask: Ask) -> Reply | Lost:
        self.requests.append(ask.request)
        fault = self.meddle(ask)
        if fault is None:
            return self.cluster.handle(ask.target.place, ask, self.client_id)
        if fault is Fault.REFUSED:
            return Refused(ask.request.request, RefusalReason.WRONG_EPOCH, 0)
        if fault in (Fault.LOST_AFTER, Fault.LATE_AFTER):
            self.cluster.handle(ask.target.place, ask, self.client_id)
        if fault is Fault.DELAYED:
            self.delayed.append(ask)
        is_late = fault in (Fault.LATE, Fault.LATE_AFTER)
        if is_late:
            self.cluster.now_s = max(self.cluster.now_s, ask.deadline_s)
        return Lost(fault.value, is_sent=fault is not Fault.NOT_CONNECTED, is_late=is_late)

    def deliver(self) -> None:
        """What was delayed arrives, and nobody waits for the replies any more."""
        while self.delayed:
            ask = self.delayed.pop()
            self.cluster.handle(ask.target.place, ask, self.client_id)

    def map(
        self, name: str = "m", limits: StorageOptions | None = None, *, backup_ack: bool = False
    ) -> Map[Any, Any]:
        options = limits or StorageOptions()
        at_data = AtData(self.core, options, no_executor)
        return Map(name, self, options, at_data, backup_ack=backup_ack)  # type: ignore[arg-type]  # what it uses


def no_executor() -> Any:
    raise AssertionError("there are no workers here")


class FakeAsyncShell:
    """The same for asyncio maps."""

    def __init__(self, shell: FakeShell) -> None:
        self._shell = shell
        self.core = shell.core

    async def run(self, operation: Operation[T]) -> T:
        return self._shell.run(operation)

    async def on_partition(
        self, partition_id: int, make: MakeRequest, payload: bytes | None = None
    ) -> Reply:
        return self._shell.on_partition(partition_id, make, payload)


class Calls:
    """A map's operations by their names, of a blocking map or of an asyncio one."""

    def __init__(self, shell: FakeShell, kind: str, *, backup_ack: bool = False) -> None:
        self.shell = shell
        self.users: Map[Any, Any] | AsyncMap[Any, Any] = shell.map(backup_ack=backup_ack)
        if kind == "asyncio":
            made: Any = FakeAsyncShell(shell)
            options = StorageOptions()
            at_data = AtData(shell.core, options, no_executor)
            self.users = AsyncMap("m", made, options, at_data, backup_ack=backup_ack)

    def __call__(self, name: str, *arguments: Any, **named: Any) -> Any:
        result = getattr(self.users, name)(*arguments, **named)
        return asyncio.run(result) if inspect.iscoroutine(result) else result


def once(*faults: Fault | None) -> Meddle:
    """Meddle with the first requests, in order."""
    waiting = list(faults)
    return lambda ask: waiting.pop(0) if waiting else None


def steps_of(operation: Generator[Step, Any, Any], *results: object) -> Step:
    """Drive an operation by hand; return the step it waits at after these results."""
    step = next(operation)
    for result in results:
        step = operation.send(result)
    return step
