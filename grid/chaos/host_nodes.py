"""Nodes on hosts in miniature: each on a machine of its own, and a LAN that loses packets.

Responsible for: at most one node on a host, started as a person starts it (``grid up``, found by
multicast, no addresses); killing all of it at once; the host on which the run's own clients are.

Not responsible for: hosts (``grid/hosts``), what is done to the nodes (``run.py``).

Runs in: the main thread of the command, which stays on the clients' host meanwhile, for threads
and sockets belong to the host on which they are made.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from types import TracebackType

from grid.chaos.nodes import COMPLAINTS
from grid.chaos.resident import resident_bytes
from grid.chaos.target import Client
from grid.client.session import Grid
from grid.config import Config, load
from grid.errors import GridError
from grid.hosts.host import Host
from grid.hosts.network import Network, lacking, lan
from grid.hosts.node_process import NodeProcess
from grid.types import Address
from grid.wire.security import ClusterKeys, derive_keys


class HostNodes:
    """Starts, kills and ends nodes. A context manager."""

    def __init__(self, hosts: int, loss: float) -> None:
        """`hosts` machines, to each of which this share of the packets gets lost.

        Raises: GridError when no hosts can be made here.
        """
        if reason := lacking(with_quotas=False):
            raise GridError(reason)
        self._count = hosts
        self._loss = loss
        self._stack = contextlib.ExitStack()
        self._net: Network | None = None
        self._starts = itertools.count(1)
        self._nodes: dict[str, tuple[Host, NodeProcess]] = {}

    def start(self) -> str:
        """Start a node on a host that has none; return its name."""
        assert self._net is not None, "only within a with block"
        taken = {host.name for host, node in self._nodes.values() if node.process.poll() is None}
        host = next(host for host in self._net.hosts[: self._count] if host.name not in taken)
        name = f"{host.name}-{next(self._starts)}"
        self._nodes[name] = host, host.start("--name", name)
        return name

    def wait_until_ready(self, name: str) -> None:
        """Wait until a node is a member. Raises: GridError."""
        self._nodes[name][1].wait_until_ready()

    def alive(self) -> list[str]:
        """Return the nodes that run."""
        return [name for name, (_, node) in self._nodes.items() if node.process.poll() is None]

    def kill(self, name: str) -> None:
        """Kill all processes of a node's host at once, as if its power had gone."""
        self._nodes[name][0].kill()

    def client(self) -> Client:
        """Connect to whichever node answers first."""
        assert self._net is not None, "only within a with block"
        config = self._config
        hosts = self._net.hosts[: self._count]
        addresses = [Address(host.address, config.node.port) for host in hosts]
        return Grid(addresses, self.keys, config.cluster.name, config.client)

    @property
    def cluster(self) -> str:
        """The name of the cluster."""
        return self._config.cluster.name

    @property
    def keys(self) -> ClusterKeys:
        """What its clients prove themselves with."""
        return derive_keys(self._config.cluster.secret.encode(), self.cluster)

    @property
    def _config(self) -> Config:
        assert self._net is not None, "only within a with block"
        return load(Path(self._net.config))

    def complaints(self) -> list[str]:
        """Return the warnings and errors of the nodes since the last call."""
        found = []
        for name, (_, node) in self._nodes.items():
            node.so_far()
            lines, node.lines = node.lines, []  # Not kept: a run may last for days.
            for line in lines:
                _, _, rest = line.partition(" ")  # The time.
                level, _, text = rest.partition(" ")
                if level in COMPLAINTS:
                    found.append(f"{name}: {text.strip()}")
        return found

    def resident_bytes(self) -> dict[str, int]:
        """Return the size of each process of the nodes that run."""
        return resident_bytes({name: self._nodes[name][1].process.pid for name in self.alive()})

    def close(self) -> None:
        """Kill all nodes that are left."""
        for host, node in self._nodes.values():
            if node.process.poll() is None:
                host.kill()

    def __enter__(self) -> HostNodes:
        """Make the hosts, and go to that of the clients."""
        with contextlib.ExitStack() as stack:
            net = stack.enter_context(lan(hosts=self._count + 1))
            for host in net.hosts:
                host.loss(self._loss)
            stack.enter_context(net.hosts[-1].inside())
            self._net, self._stack = net, stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take everything down, whatever has happened."""
        self._stack.close()
