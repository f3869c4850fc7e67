"""A machine in miniature: a network of its own, a state folder, a share of the CPU, its programs.

Responsible for: running programs and nodes as they would run on a machine of the LAN, and the
faults of that machine: lost packets, a firewall, interfaces that go down and come back.

Not separate: process ids, the host name (`start` names the node), the file system. Not here: how
hosts are built and taken down (``network.py``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grid.api import fetch_status
from grid.config import load
from grid.errors import GridError
from grid.hosts.cgroup import CpuGroup
from grid.hosts.netns import DEADLINE_S, Namespace
from grid.hosts.node_process import NodeProcess
from grid.hosts.switch import Lan, Protocol, Switch, replacing

MULTICAST = "224.0.0.0/4"


@dataclass(frozen=True)
class Interface:
    """A network interface of a host."""

    name: str
    lan: Lan
    address: str
    port: str
    """The other end of its cable, in the switch."""


class Host:
    """One host; `network.lan` makes them."""

    def __init__(
        self,
        name: str,
        namespace: Namespace,
        switch: Switch,
        folder: Path,
        config: Path,
        quota: CpuGroup | None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.config = config
        """What commands and nodes of this host use unless told otherwise."""
        self.quota = quota
        self.interfaces: list[Interface] = []
        self.nodes: list[NodeProcess] = []
        self._namespace = namespace
        self._switch = switch
        self._rejected: set[str] = set()

    def __repr__(self) -> str:
        return f"<host {self.name} {' '.join(i.address for i in self.interfaces)}>"

    @property
    def address(self) -> str:
        """The address of the first interface."""
        return self.interfaces[0].address

    def address_on(self, lan: Lan) -> str:
        """Return the address on `lan`."""
        return next(i.address for i in self.interfaces if i.lan == lan)

    def create(self, lans: Sequence[Lan], number: int) -> None:
        """Make its folders, its namespace and an interface on each of `lans`: eth0, eth1..."""
        for folder in (self.folder, self.folder / "state", self.folder / "tmp"):
            folder.mkdir()
        self._namespace.create()
        if self.quota is not None:
            self.quota.create()
        for index, lan in enumerate(lans):
            port = f"{self.name}-{lan.bridge}"
            interface = Interface(f"eth{index}", lan, lan.address(number), port)
            self._switch.connect(lan, interface.port, self._namespace, interface.name)
            self._namespace.ip(f"link set dev {interface.name} addrgenmode none")
            self.interfaces.append(interface)
            self.interface_up(index)

    # -- programs -------------------------------------------------------------------------

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Let this thread be on the host's network: ``with host.inside(): grid.connect()``.

        Sockets and threads made there stay on the host; see `Namespace.inside`.
        """
        with self._namespace.inside():
            yield

    def start(self, *arguments: str, config: Path | None = None) -> NodeProcess:
        """Start ``grid up`` with these arguments; it ends with the host."""
        if "--name" not in arguments:
            arguments = ("--name", self.name, *arguments)
        with self.inside():
            node = NodeProcess(*arguments, prefix=self._wrapped([]), env=self._environment(config))
        self.nodes.append(node)
        return node

    def run(self, *arguments: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run one grid command to its end: ``host.run("status", "--json")``."""
        with self.inside():
            return subprocess.run(
                self._wrapped([sys.executable, "-m", "grid", *arguments]),
                env=self._environment(config),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )

    def program(
        self, *command: str, terminal: int | None = None, has_quota: bool = True
    ) -> subprocess.Popen[str]:
        """Start any program on the host, in a session of its own; it is killed with the host.

        Args:
            command: the program and its arguments.
            terminal: what it reads and writes; else it reads nothing and writes into a pipe.
            has_quota: whether the host's quota is for it, too.
        """
        with self.inside():
            return subprocess.Popen(
                self._wrapped(command, has_quota=has_quota),
                env=self._environment(None),
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=subprocess.PIPE if terminal is None else terminal,
                stderr=terminal,
                text=True,
                start_new_session=True,  # Ctrl-C is for whoever made the hosts.
            )

    def status(self, config: Path | None = None) -> dict[str, Any] | None:
        """Return what the host's own node would tell ``grid status --json``.

        None if none answers: unlike the command, nobody on the LAN is asked instead. Runs in: the
        main thread, as `grid.connect` looks for local nodes in /proc/net.
        """
        options = load(config or self.config)
        # Without a secret the search ends with this host.
        cluster = dataclasses.replace(options.cluster, secret="")
        try:
            with self.inside():
                return fetch_status(dataclasses.replace(options, cluster=cluster))
        except GridError:
            return None

    def alive(self, config: Path | None = None) -> set[str]:
        """Return the names of the members that this host's node sees alive."""
        document = self.status(config)
        members = [] if document is None else document["members"]
        return {member["name"] for member in members if member["state"] == "alive"}

    def pids(self) -> list[int]:
        """Return all processes of the host."""
        return self._namespace.pids()

    def kill(self) -> None:
        """Kill everything that runs on the host, as if its power had gone."""
        for node in self.nodes:
            node.close()
        self._namespace.kill_all()

    def _wrapped(self, command: Sequence[str], *, has_quota: bool = True) -> list[str]:
        # If this program itself is killed nobody takes anything down; then at least no process of
        # ours goes on. (The kernel means the thread that started it: hosts are for the main one.)
        wrapper = ["setpriv", "--pdeathsig", "KILL"]
        if self.quota is not None and has_quota:
            wrapper += self.quota.entering()
        return [*wrapper, *command]

    def _environment(self, config: Path | None) -> dict[str, str]:
        return {
            **os.environ,
            "GRID_CONFIG": str(config or self.config),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "TMPDIR": str(self.folder / "tmp"),
            "COLUMNS": "100",
        }

    # -- faults ---------------------------------------------------------------------------

    def loss(self, share: float, *, protocol: Protocol = "any") -> None:
        """Let this share of the packets *to* the host get lost; 0 ends it.

        TCP leaves a host in pieces of up to 64 KiB, and each is lost as a whole.
        """
        for interface in self.interfaces:
            self._switch.faults.loss.pop(interface.port, None)
            if share:
                self._switch.faults.loss[interface.port] = (share, protocol)
        self._switch.apply()

    def block_udp(self) -> None:
        """Let no UDP to or from the host pass; its other traffic does."""
        self._switch.faults.without_udp |= {interface.port for interface in self.interfaces}
        self._switch.apply()

    def reject_tcp(self, from_host: Host) -> None:
        """Let the host's firewall answer all TCP packets of another host with a reset.

        Open connections end for the other host with its next packet; this host hears nothing more
        of them, and nothing of those it wants to open.
        """
        self._rejected |= {interface.address for interface in from_host.interfaces}
        self._apply_firewall()

    def accept_tcp(self) -> None:
        """End all of `reject_tcp`."""
        if self._rejected:
            self._rejected.clear()
            self._apply_firewall()

    def _apply_firewall(self) -> None:
        lines = ["type filter hook input priority 0; policy accept;"]
        lines += [
            f"ip saddr {address} meta l4proto tcp reject with tcp reset"
            for address in sorted(self._rejected)
        ]
        self._namespace.nft(replacing("inet", "chain input {\n" + "\n".join(lines) + "\n}"))

    def interface_down(self, index: int = 0) -> None:
        """Switch an interface off, as a person or a power saver does; its routes vanish."""
        self._namespace.ip(f"link set dev {self.interfaces[index].name} down")

    def interface_up(self, index: int = 0) -> None:
        """Switch an interface on, and give it what a network manager would: address, routes."""
        interface = self.interfaces[index]
        lines = [
            f"link set dev {interface.name} up",
            f"address replace {interface.address}/24 dev {interface.name}",
        ]
        if index == 0:
            # In place of a default route, which multicast takes when no interface is named.
            lines.append(f"route replace {MULTICAST} dev {interface.name}")
        self._namespace.ip(*lines)

    def unplug(self, index: int = 0) -> None:
        """Pull the cable: no carrier; address and routes stay for as long as they like."""
        self._switch.set_plugged(self.interfaces[index].port, is_plugged=False)

    def plug_in(self, index: int = 0) -> None:
        """Put the cable back."""
        self._switch.set_plugged(self.interfaces[index].port, is_plugged=True)
