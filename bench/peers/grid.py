"""grid itself, as the peers are seen: a cluster of this program's own and its clients."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import local_processes
from bench.peers.base import AsyncCalls, Calls, Endpoint
from grid.api import LocalCluster, local_cluster
from grid.client.options import ClientOptions

MAP = "bench"
STORAGE_TITLE = "grid-storage"
"""How the names of storage processes begin."""

SPREAD_KEYS = 2000
SPREAD_DEADLINE_S = 60.0
SPREAD_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class GridEndpoint:
    """The cluster, by TCP or by its unix socket."""

    cluster: LocalCluster
    spin_us: int
    is_unix: bool

    def open(self) -> Calls:
        """Connect."""
        client = self.cluster.client(self._options())
        mapped = client.map(MAP)
        return Calls(mapped.get, mapped.put, mapped.get_all, mapped.put_all, client.close)

    async def open_async(self) -> AsyncCalls:
        """Connect with the asyncio client."""
        stack = contextlib.AsyncExitStack()
        client = await stack.enter_async_context(self.cluster.aclient(self._options()))
        mapped = client.map(MAP)
        return AsyncCalls(mapped.get, mapped.put, stack.aclose)

    def _options(self) -> ClientOptions:
        # The plain rows take the defaults: what a user gets who sets nothing.
        chosen: dict[str, Any] = {"unix_sockets": self.is_unix}
        if self.spin_us:
            chosen["spin_us"] = self.spin_us
        return ClientOptions(**chosen)


class GridServer:
    """A local cluster, by default with one storage process a node, so that one core serves."""

    def __init__(self, nodes: int = 1, spin_us: int = 0, storage_processes: int = 1) -> None:
        """Choose the shape (0 storage processes: as many as a node has); nothing runs yet."""
        self._storage_processes = storage_processes
        self._nodes = nodes
        self._spin_us = spin_us
        self._stack = contextlib.ExitStack()
        self._cluster: LocalCluster | None = None
        self._pids: list[int] = []

    def start(self) -> None:
        """Start the nodes."""
        before = set(local_processes())
        chosen: dict[str, Any] = {"spin_us": self._spin_us} if self._spin_us else {}
        self._cluster = self._stack.enter_context(
            local_cluster(
                self._nodes, workers=1, storage_processes=self._storage_processes, **chosen
            )
        )
        self._pids = [pid for pid in local_processes() if pid not in before]

    def stop(self) -> None:
        """End the nodes."""
        self._stack.close()

    def wait_until_spread(self) -> None:
        """Return when every node holds its share of the partitions.

        Raises: TimeoutError.
        """
        assert self._cluster is not None
        deadline_s = time.monotonic() + SPREAD_DEADLINE_S
        while True:
            with self._cluster.client() as client:
                owners = Counter(map(client.map(MAP).owner_of, range(SPREAD_KEYS)))
            if len(owners) == self._nodes and min(owners.values()) > SPREAD_KEYS / self._nodes / 2:
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError("the partitions do not spread over the nodes")
            time.sleep(SPREAD_POLL_S)

    @property
    def tcp(self) -> Endpoint:
        """By TCP."""
        assert self._cluster is not None
        return GridEndpoint(self._cluster, self._spin_us, is_unix=False)

    @property
    def unix(self) -> Endpoint | None:
        """By the nodes' unix sockets."""
        assert self._cluster is not None
        return GridEndpoint(self._cluster, self._spin_us, is_unix=True)

    @property
    def pids(self) -> list[int]:
        """Launcher, supervisors and their children."""
        return self._pids

    @property
    def storage_pid(self) -> int:
        """The first storage process."""
        return next(
            pid
            for pid in self._pids
            if Path(f"/proc/{pid}/comm").read_text().startswith(STORAGE_TITLE)
        )
