"""A cluster without processes: real stores behind a shell that loses what a test wants lost.

Requests and replies pass through the real encoding. Time is a number that pauses move on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from enum import Enum
from random import Random
from typing import Any, TypeVar

from grid.client.core import Core, MakeRequest
from grid.client.map import Map
from grid.client.routing import Place
from grid.client.steps import Ask, AskAll, FetchTable, Lost, Operation, Pause, Step
from grid.partition.table import make_table
from grid.storage.messages import PutIf, RefusalReason, Refused, Reply, Request, Requests
from grid.storage.options import StorageOptions
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
    LATE = "the node is silent until the deadline"
    REFUSED = "the node does not have the table yet"


def node_id(number: int) -> NodeId:
    return NodeId(b"node" + number.to_bytes(12, "big"))


class FakeCluster:
    """Nodes of some storage processes each; partition ``p`` begins at node ``p // 2 % nodes``."""

    def __init__(self, nodes: int = 2, storage_processes: int = 2) -> None:
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
        self.stores[place].serve(held)

    def view(self) -> View:
        """Return the table as a network process tells it."""
        ids = [node_id(number) for number in range(self.nodes)]
        owners = [None if owner is None else ids[owner] for owner in self.owners]
        stamp = TableStamp(1, COORDINATOR, self.version)
        table = make_table(stamp, ids, owners, self.epochs)
        views = [
            NodeView(id_, f"n{number}", "127.0.0.1", 7000 + number, self.storage_processes, 1, 0, 0)
            for number, id_ in enumerate(ids)
        ]
        return View(1, "fake", ids[0], views, table)

    def move(self, partition: int, node: int) -> None:
        """Move a partition with what it holds; its epoch grows."""
        old = self._place(partition)
        self.owners[partition] = node
        self.epochs[partition] += 1
        self.version += 1
        new = self._place(partition)
        assert old is not None
        assert new is not None
        self.stores[new]._partitions[partition] = self.stores[old]._partitions[partition]
        for place in {old, new}:
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

    def handle(self, place: Place, ask: Ask) -> Reply:
        """Have a storage process answer what has travelled as bytes."""
        if ask.payload is None:
            body = encode(ask.request)
        else:
            assert isinstance(ask.request, PutIf)
            body = b"".join(encode_in_pieces(ask.request, ask.payload))
        request = decode_storage_request.raw(body)
        assert not isinstance(request, Requests)
        reply = decode_storage_reply.raw(encode(self.stores[place].handle(request)))
        assert reply.request == request.request  # type: ignore[union-attr]
        return reply  # type: ignore[return-value]


Meddle = Callable[[Ask], Fault | None]


class FakeShell:
    """Runs operations in a fake cluster; `meddle` sees each request before it is answered."""

    def __init__(
        self, cluster: FakeCluster, meddle: Meddle = lambda ask: None, *, seed: int = 0
    ) -> None:
        self.cluster = cluster
        self.meddle = meddle
        self.core = Core(cluster.view(), DEADLINE_S, cluster.clock, Random(seed))
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self.fetch_failure: str | None = None
        self.fetches = 0

    def run(self, operation: Operation[T]) -> T:
        result: object = None
        try:
            while True:
                result = self.answer(operation.send(result))
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
            return self.cluster.handle(ask.target.place, ask)
        if fault is Fault.REFUSED:
            return Refused(ask.request.request, RefusalReason.WRONG_EPOCH, 0)
        if fault is Fault.LOST_AFTER:
            self.cluster.handle(ask.target.place, ask)
        if fault is Fault.LATE:
            self.cluster.now_s = max(self.cluster.now_s, ask.deadline_s)
        is_sent = fault is not Fault.NOT_CONNECTED
        return Lost(fault.value, is_sent=is_sent, is_late=fault is Fault.LATE)

    def map(self, name: str = "m", limits: StorageOptions | None = None) -> Map[Any, Any]:
        return Map(name, self, limits or StorageOptions())  # type: ignore[arg-type]  # what it uses


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
