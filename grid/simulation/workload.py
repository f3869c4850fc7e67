"""What simulated clients do: single writes and reads of few keys, and applies to some counters.

All of it is told to the checker. Half of the writes ask for a backup. Each client does one thing
after the other; `pause` lets all finish, which is a quiet moment in the checker's sense.

Not here: faults (``data_trial.py``), judgements (``verification/``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import count
from random import Random
from typing import Any

from grid.client.entries.entry_operations import EntryOperations, value_of
from grid.client.requests.steps import Operation as ClientOperation
from grid.errors import GridError, OperationError
from grid.simulation.applying import Applies
from grid.simulation.clients import SimulatedClient
from grid.simulation.cluster import SimulatedCluster
from grid.storage.messages import Survived
from grid.storage.options import StorageOptions
from grid.storage.record import version_of
from grid.verification.checker import Checker
from grid.verification.history import Kind, Operation, Outcome
from grid.wire.keys import encode_key
from grid.wire.values import decode_record

MAP = "m"
COUNTERS = 16
PAUSE_S_MEAN = 0.2
"""Of a client between two operations."""


class Workload:
    """Several clients and the keys that they share."""

    def __init__(
        self, cluster: SimulatedCluster, checker: Checker, clients: int, keys: int
    ) -> None:
        """Connect the clients; `resume` sets them going."""
        self._cluster = cluster
        self._checker = checker
        self._random = Random(cluster.random.getrandbits(64))
        self._clients = [SimulatedClient(cluster, number + 1) for number in range(clients)]
        self._maps = {
            client.number: EntryOperations(MAP, client.core, StorageOptions())
            for client in self._clients
        }
        self._applies = {
            client.number: Applies(MAP, client.core, self._random) for client in self._clients
        }
        self.keys = [f"key-{number}" for number in range(keys)]
        self.counters = [f"count-{number}" for number in range(COUNTERS)]
        self.partitions = {key: int(encode_key(key, 64)[0]) for key in [*self.keys, *self.counters]}
        self._values = count(1)
        self._busy: set[int] = set()
        self._waiting: dict[int, SimulatedClient] = {}
        self._rush_until_s = 0.0
        self._is_paused = True
        self.refused = 0
        """Operations that failed without having been applied."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way."""
        return not self._busy

    def resume(self) -> None:
        """Have the clients go on."""
        self._is_paused = False
        for client in self._clients:
            if client.number not in self._busy:
                self._busy.add(client.number)
                self._think(client)

    def rush(self, seconds: float) -> None:
        """Have the clients do without pauses for a while."""
        self._rush_until_s = self._cluster.clock.now_s + seconds
        waiting, self._waiting = self._waiting, {}
        for client in waiting.values():
            self._act(client)

    def pause(self) -> None:
        """Have the clients stop after what they do now."""
        self._is_paused = True

    def _think(self, client: SimulatedClient) -> None:
        if self._is_paused:
            self._busy.discard(client.number)
            return
        if self._cluster.clock.now_s < self._rush_until_s:
            self._act(client)
            return
        self._waiting[client.number] = client
        pause_s = self._random.expovariate(1 / PAUSE_S_MEAN)
        self._cluster.clock.call_later(pause_s, self._wake, client)

    def _wake(self, client: SimulatedClient) -> None:
        if self._waiting.pop(client.number, None) is not None:
            self._act(client)

    def _act(self, client: SimulatedClient) -> None:
        if self._is_paused:
            self._busy.discard(client.number)
            return
        key, dice = self._random.choice(self.keys), self._random.random()
        is_sync = self._random.random() < 0.5
        entries, core = self._maps[client.number], client.core
        value: int | None = None
        operation: ClientOperation[Any]
        if dice < 0.5:
            kind, value = Kind.PUT, next(self._values)
            operation = core.on_partition(*entries.putting(key, value, None, is_sync))
        elif dice < 0.6:
            kind = Kind.DELETE
            operation = core.on_partition(*entries.deleting(key, is_sync))
        elif dice < 0.7:
            kind, key = Kind.APPLY, self._random.choice(self.counters)
            operation = self._applies[client.number].counting(key, with_backup=is_sync)
        else:
            kind, is_sync = Kind.READ, False
            operation = core.on_partition(*entries.getting(key))
        owner = core.owner_of(self.partitions[key])
        begin_s = self._cluster.clock.now_s

        def ended(reply: Any, error: GridError | None) -> None:
            outcome, version, seen, done = Outcome.ACKNOWLEDGED, 0, value, kind
            if error is not None:
                is_refused = isinstance(error, OperationError) and error.outcome == "not_applied"
                outcome = Outcome.REFUSED if is_refused else Outcome.UNKNOWN
                self.refused += is_refused
            elif kind is Kind.APPLY:
                seen, version = decode_record(reply), int.from_bytes(version_of(reply), "big")
            elif kind is Kind.READ:
                seen = value_of(reply, None)
            elif kind is Kind.DELETE and not reply.count:
                done = Kind.READ  # There was nothing: it has changed nothing, and seen that.
            else:
                version = reply.version
            if error is None or kind is not Kind.READ:  # A read that failed has seen nothing.
                self._checker.record(
                    Operation(
                        client.number,
                        key,
                        self.partitions[key],
                        done,
                        seen,
                        begin_s,
                        self._cluster.clock.now_s,
                        outcome,
                        is_sync,
                        version,
                        owner if owner == core.owner_of(self.partitions[key]) else None,
                    )
                )
            self._think(client)

        client.run(operation, ended)

    # -- looking --------------------------------------------------------------------------

    def read_all(self, done: Callable[[dict[Hashable, Hashable]], None]) -> None:
        """Read every key."""
        values: dict[Hashable, Hashable] = {}
        client, entries = self._clients[0], self._maps[self._clients[0].number]
        left = list(self.partitions)

        def next_one() -> None:
            if not left:
                done(values)
                return
            key = left.pop()

            def take(reply: Any, error: GridError | None) -> None:
                if error is not None:
                    raise AssertionError(f"a safe cluster does not answer: {error}")
                found = value_of(reply, None)
                if found is not None:
                    values[key] = found
                next_one()

            client.run(client.core.on_partition(*entries.getting(key)), take)

        next_one()

    def ask_survived(
        self, operations: list[Operation], done: Callable[[dict[Operation, bool]], None]
    ) -> None:
        """Ask of each write whether it has survived."""
        answers: dict[Operation, bool] = {}
        client, left = self._clients[0], [one for one in operations if one.version]

        def next_one() -> None:
            if not left:
                done(answers)
                return
            one = left.pop()

            def take(reply: Any, error: GridError | None) -> None:
                if error is not None:
                    raise AssertionError(f"a safe cluster does not answer: {error}")
                answers[one] = reply.count == 1
                next_one()

            asked = client.core.on_partition(
                one.partition,
                lambda request, epoch: Survived(request, one.partition, epoch, one.version),
            )
            client.run(asked, take)

        next_one()
