"""All client threads together: started, held for a look at everything, ended."""

from __future__ import annotations

import threading
import time

from grid.chaos.availability import Availability
from grid.chaos.gate import Gate
from grid.chaos.keyspace import KeySpace
from grid.chaos.target import Client
from grid.chaos.worker import Worker
from grid.errors import GridError
from grid.types import PARTITION_COUNT
from grid.verification.history import Operation

MAP = "chaos"

THREADS_PER_CLIENT = 2
"""Threads of one client share connections and table; other clients have their own."""

CLOSE_DEADLINE_S = 60.0
"""Four times as long as one operation may take."""

JOIN_DEADLINE_S = 1.0


class Workload:
    """The writers and readers of one run."""

    def __init__(self, clients: list[Client], keys: KeySpace, *, rate: float, seed: int) -> None:
        """Prepare threads for `clients`, for `rate` operations a second in all."""
        count = THREADS_PER_CLIENT * len(clients)
        self.availability = Availability(PARTITION_COUNT)
        self._gate = Gate(count)
        self._workers = [
            Worker(
                number,
                clients[number % len(clients)].map(MAP),
                keys,
                self._gate,
                self.availability,
                pause_s=count / rate,
                seed=seed,
            )
            for number in range(count)
        ]
        self._threads = [
            threading.Thread(target=worker.run, name=f"worker-{worker.number}", daemon=True)
            for worker in self._workers
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def acknowledged(self) -> int:
        """Return the acknowledged writes so far."""
        return sum(worker.acknowledged for worker in self._workers)

    def unjudged(self) -> int:
        """Return how many operations nobody has taken yet."""
        return sum(len(worker.operations) for worker in self._workers)

    def check(self) -> None:
        """Raise what has ended a worker."""
        for worker in self._workers:
            if worker.error is not None:
                raise GridError(f"a client failed: {worker.error!r}") from worker.error

    def hold(self) -> list[Operation]:
        """Wait until no operation is under way; return and forget those that are over.

        Raises: GridError when one does not end.
        """
        self._gate.close(CLOSE_DEADLINE_S)
        self.check()
        self.availability.pause(time.monotonic())
        taken: list[Operation] = []
        for worker in self._workers:
            taken += worker.operations
            worker.operations = []
        return taken

    def go_on(self) -> None:
        """Let everybody work again."""
        self._gate.open()

    def end(self) -> None:
        """End all threads; those that hang in an operation end with the program."""
        self._gate.end()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout=JOIN_DEADLINE_S)
