"""The hosts of the demonstrations: a node on each, as a person starts it, its console recorded.

Responsible for: starting and killing nodes, and asking each what it sees.

Not responsible for: what that proves (the demonstrations).

Theory of operation. All demonstrations share one stage, so that together they are one story; each
first brings it into the state that it needs. One further host has no node: the plain process that
the cluster is compared with runs there, under the same quota.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from grid.console.document import ClusterStatus, decode
from grid.console.safety import judge
from grid.demo.narration import Narrator
from grid.demo.recording import RecordedCommand
from grid.hosts.host import Host
from grid.hosts.network import Network, lan, wait_until


class Stage:
    """Hosts with their nodes; `stage` makes it."""

    def __init__(self, network: Network, quota: float, recordings: Path, narrator: Narrator):
        """Use these hosts; the last one stays without a node."""
        *self.hosts, self.alone = network.hosts
        self.quota = quota
        self.narrator = narrator
        self.config = network.config
        self._recordings = recordings
        self._commands: dict[str, RecordedCommand] = {}

    @property
    def victim(self) -> Host:
        """The host that is killed and comes back."""
        return self.hosts[1]

    @property
    def running(self) -> list[Host]:
        """The hosts with a node."""
        return [host for host in self.hosts if host.name in self._commands]

    def start(self, *hosts: Host) -> None:
        """Type the command on each of these hosts, one right after the other."""
        for host in hosts:
            self.narrator.typed(host.name, f"bin/grid up --config {self.config} --name {host.name}")
        for host in hosts:
            command = (sys.executable, "-P", "-m", "grid", "up")
            arguments = ("--config", str(self.config), "--name", host.name)
            path = self._recordings / f"{host.name}.console"
            self._commands[host.name] = RecordedCommand(host, path, *command, *arguments)

    def kill(self, host: Host) -> int:
        """Kill -9 whatever runs on a host; return how many processes that were."""
        pids = host.pids()
        host.kill()
        self._commands.pop(host.name).close()
        return len(pids)

    def status(self, host: Host) -> ClusterStatus | None:
        """Return what a host's own node sees; None if none answers."""
        document = host.status()
        return None if document is None else decode(document)

    def wait_for_members(self, hosts: Sequence[Host]) -> None:
        """Wait until each of these sees all of them alive and nobody else."""
        names = {host.name for host in hosts}
        waiting = list(hosts)

        def all_see_all() -> bool:
            waiting[:] = [host for host in waiting if host.alive() != names]
            return not waiting

        wait_until(all_see_all, lambda: f"{waiting} do not see {sorted(names)} alive")

    def wait_until_safe(self, host: Host) -> None:
        """Wait until a host's node calls everything safe.

        That is when every node holds its share, nothing moves, and all partitions have a backup.
        """
        told = "it does not answer"

        def is_safe() -> bool:
            nonlocal told
            status = self.status(host)
            if status is None:
                return False
            verdict = judge(status)
            told = verdict.text
            return verdict.is_safe

        wait_until(is_safe, lambda: f"{host.name} says: {told}")

    def settle(self) -> None:
        """Wait until the running nodes are all that is left, and safe as far as they can be."""
        self.wait_for_members(self.running)
        if len(self.running) > 1:  # A last one has nobody for its backups.
            self.wait_until_safe(self.hosts[0])

    def form(self) -> None:
        """Have a node on every host, all of them members and everything safe."""
        missing = [host for host in self.hosts if host.name not in self._commands]
        if missing:
            self.narrator.step("A node on each host, without any address:")
            self.start(*missing)
        self.settle()

    def close(self) -> None:
        """Kill all nodes, and finish their recordings."""
        for host in self.running:
            self.kill(host)


@contextlib.contextmanager
def stage(hosts: int, quota: float, recordings: Path, narrator: Narrator) -> Iterator[Stage]:
    """Make hosts for the length of a ``with`` block; no node runs yet."""
    with lan(hosts + 1, quota) as network:
        made = Stage(network, quota, recordings, narrator)
        try:
            yield made
        finally:
            made.close()
