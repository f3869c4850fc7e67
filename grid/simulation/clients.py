"""Clients of a simulated cluster: the shipped operations, run on virtual time.

Responsible for: what the shells of ``client/`` do: connections that take time, break or stay
silent, the client's patience, the table it fetches.

Not responsible for: what clients ask (``workload.py``), the operations (``client/``).

Clients stand beside the cluster: no split cuts them off, and what they send goes through the real
encoding.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from grid.client.requests.core import PATIENCE_S, Core
from grid.client.requests.steps import Ask, AskAll, FetchTable, Lost, Operation, Pause, Step
from grid.errors import GridError
from grid.process.status import view_of
from grid.simulation.cluster import ClusterNode, SimulatedCluster
from grid.storage.messages import Reply, Request
from grid.storage.partitions import MustWaitError
from grid.storage.replies import Held
from grid.wire.catalog import decode_storage_reply, decode_storage_request, encode
from grid.wire.control import View

DIAL_TIMEOUT_S = 3.0
DEADLINE_S = 15.0

Then = Callable[[Any], None]
Ended = Callable[[Any, GridError | None], None]


def serve(
    node: ClusterNode,
    request: Request,
    client_id: bytes,
    answer: Callable[[Reply], None],
    reset: Callable[[], None],
) -> None:
    """Do what a storage process does with a request; one of the calls may come much later."""
    try:
        reply = node.store.handle(request, client_id)
    except MustWaitError as wait:
        node.replicator.want(wait.entries)
        node.on_progress.append(lambda: serve(node, request, client_id, answer, reset))
        node.step_in()
        return
    node.step_in()
    if isinstance(reply, Held):
        node.replicator.hurry(held for held, _ in reply.waits)
        _answer_when_over(node, reply, answer, reset)
    else:
        answer(reply)


def _answer_when_over(
    node: ClusterNode, held: Held, answer: Callable[[Reply], None], reset: Callable[[], None]
) -> None:
    if held.is_hopeless:
        reset()
    elif held.is_over:
        answer(held.reply)
    else:
        node.on_progress.append(lambda: _answer_when_over(node, held, answer, reset))


class SimulatedClient:
    """One client: its core, and its way to the nodes."""

    def __init__(self, cluster: SimulatedCluster, number: int) -> None:
        """Connect; some node must have a table."""
        self.number = number
        self.cluster = cluster
        self.client_id = cluster.random.randbytes(16)
        self._random = Random(cluster.random.getrandbits(64))
        self._numbers = count(1)
        view = self._view()
        assert view is not None, "clients come when there is a cluster"
        self.core = Core(view, DEADLINE_S, lambda: cluster.clock.now_s, self._random)

    def run(self, operation: Operation[Any], ended: Ended) -> None:
        """Carry out an operation; `ended` is given its result or its error."""
        self._go_on(operation, None, ended)

    def _go_on(self, operation: Operation[Any], result: object, ended: Ended) -> None:
        try:
            step = operation.send(result)
        except StopIteration as end:
            ended(end.value, None)
        except GridError as error:
            ended(None, error)
        else:
            self._do(step, lambda value: self._go_on(operation, value, ended))

    def _do(self, step: Step, then: Then) -> None:
        match step:
            case Ask():
                self._ask(step, then)
            case AskAll():
                self._ask_next(step, then)
            case FetchTable():
                self._later(self._fetch, then)
            case Pause(seconds=seconds):
                self.cluster.clock.call_later(seconds, then, None)

    def _later(self, call: Callable[..., None], *args: object) -> None:
        self.cluster.clock.call_later(self.cluster.network.delay_s(), call, *args)

    # -- tables ---------------------------------------------------------------------------

    def _fetch(self, then: Then) -> None:
        view = self._view()
        if view is None:
            self._later(then, "no node answers")
            return
        self.core.adopt(view)
        self._later(then, None)

    def _view(self) -> View | None:
        nodes = [n for n in self.cluster.running if n.plane.follower.table and not n.is_paused]
        if not nodes:
            return None
        return view_of(self._random.choice(nodes).plane, "simulated", b"", 0)

    # -- requests -------------------------------------------------------------------------

    def _ask_next(self, step: AskAll, then: Then) -> None:
        """One after the other: the order of arrival is what counts."""
        ask = next(step.asks, None)
        if ask is None:
            then(None)
            return

        def take(result: Reply | Lost) -> None:
            step.take(ask, result)
            self._ask_next(step, then)

        self._ask(ask, take)

    def _ask(self, ask: Ask, then: Then) -> None:
        node = next((n for n in self.cluster.nodes if n.node_id == ask.target.node_id), None)
        if node is None or not node.is_running:
            is_silent = node is not None and self.cluster.is_dead_machine(node)
            wait_s = DIAL_TIMEOUT_S if is_silent else self.cluster.network.delay_s()
            lost = Lost(f"{ask.target.name} does not answer", is_sent=False)
            self.cluster.clock.call_later(wait_s, then, lost)
            return
        _Exchange(self, node, ask, then).begin()

    def number_of_exchange(self) -> int:
        """Return a new number."""
        return next(self._numbers)


class _Exchange:
    """One request and its reply, or its loss; whichever comes first counts."""

    def __init__(self, client: SimulatedClient, node: ClusterNode, ask: Ask, then: Then) -> None:
        self._client = client
        self._node = node
        self._ask = ask
        self._then: Then | None = then
        self._key = id(client) + client.number_of_exchange()

    def begin(self) -> None:
        """Send."""
        self._node.on_reset[self._key] = self._reset
        request = decode_storage_request(encode(self._ask.request))
        self._later(
            self._node.deliver,
            lambda: serve(
                self._node,
                request,  # type: ignore[arg-type]
                self._client.client_id,
                self._answer,
                self._reset,
            ),
        )
        self._client.cluster.clock.call_later(PATIENCE_S, self._lose_patience)

    def _answer(self, reply: Reply) -> None:
        decoded = decode_storage_reply(encode(reply))
        if self._node.is_running:
            self._later(self._end, decoded)

    def _reset(self) -> None:
        self._end(Lost("reset", is_sent=True))

    def _end(self, result: object) -> None:
        then, self._then = self._then, None
        self._node.on_reset.pop(self._key, None)
        if then is not None:
            then(result)

    def _lose_patience(self) -> None:
        if self._then is None:
            return
        ask, core = self._ask, self._client.core
        if self._client.cluster.clock.now_s >= ask.deadline_s:
            self._end(Lost(f"{ask.target.name} is silent", is_sent=True, is_late=True))
            return

        def look(_: object) -> None:
            if not core.is_still_at(ask.target):
                self._end(Lost(f"{ask.target.name} is gone", is_sent=True))
            else:
                self._client.cluster.clock.call_later(PATIENCE_S, self._lose_patience)

        self._client._fetch(look)

    def _later(self, call: Callable[..., None], *args: object) -> None:
        cluster = self._client.cluster
        cluster.clock.call_later(cluster.network.delay_s(), call, *args)
