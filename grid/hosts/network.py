"""Hosts in miniature, several of them on one machine: built for a while, gone after it.

``with lan(hosts=4) as net:`` makes four hosts on one LAN. Each is a network namespace with an
Ethernet interface, a state folder and, if wanted, a CPU quota; the LAN is a bridge in one more
namespace, so the machine's own network is not touched. Everything is named after a token and taken
down at the end of the block, whatever has happened in it. What a program leaves that is killed goes
when the next network is made.

Needs root, iproute2, nftables and util-linux; `lacking` says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from grid.errors import GridError
from grid.hosts import cgroup, netns
from grid.hosts.cgroup import CpuGroup
from grid.hosts.host import Host
from grid.hosts.leftovers import remove_leftovers
from grid.hosts.netns import DEADLINE_S, FOLDER, Namespace
from grid.hosts.owner import new_token
from grid.hosts.switch import Faults, Lan, Protocol, Switch

POLL_S = 0.05


def lacking(*, with_quotas: bool) -> str:
    """Return why no hosts can be made on this machine, in a sentence; empty if they can."""
    if reason := netns.unavailable():
        return f"hosts in miniature need root, iproute2 and nftables: {reason}"
    if with_quotas and (reason := cgroup.unavailable()):
        return f"CPU quotas need a writable control group: {reason}"
    return ""


class Network:
    """The hosts of one LAN and the wires between them; `lan` makes it."""

    def __init__(
        self, token: str, folder: Path, stack: contextlib.ExitStack, cpu_quota: float | None
    ) -> None:
        self.token = token
        """In the name of everything that was made."""
        self.folder = folder
        self.hosts: list[Host] = []
        self.config = self.write_config("cluster")
        """The cluster.toml of all hosts: a secret, and nothing about addresses."""
        self._stack = stack
        self._cpu_quota = cpu_quota
        self._switch = Switch(self._namespace("switch"))
        self._switch.create()
        self.lan = self.add_lan()
        """The LAN that hosts are on unless told otherwise."""

    # -- building -------------------------------------------------------------------------

    def add_lan(self) -> Lan:
        """Add a LAN; no host is on it, and nothing leads from it to others."""
        return self._switch.add_lan()

    def add_host(self, *lans: Lan) -> Host:
        """Add a host with an interface on each of `lans`, in this order; else on the first LAN.

        ``add_host(net.add_lan(), net.lan)`` makes one whose first interface by name leads to
        none of the others.
        """
        number = len(self.hosts) + 1
        name = f"h{number}"
        quota = None
        if self._cpu_quota is not None:
            quota = CpuGroup(f"{self.token}-{name}", self._cpu_quota)
            self._stack.callback(quota.remove)
        namespace = self._namespace(name)
        host = Host(name, namespace, self._switch, self.folder / name, self.config, quota)
        self._stack.callback(host.kill)
        self.hosts.append(host)
        host.create(lans or [self.lan], number)
        return host

    def write_config(self, cluster: str, *, secret: str = "", more: str = "") -> Path:
        """Write a cluster.toml into the network's folder; return its path.

        Args:
            cluster: its name.
            secret: one is made up if empty.
            more: further sections, as text.
        """
        path = self.folder / f"{cluster}-{secrets.token_hex(4)}.toml"
        path.write_text(
            f"""
            [cluster]
            name = "{cluster}"
            secret = "{secret or secrets.token_hex(16)}"
            [node]
            workers = 1
            storage_processes = 1
            {more}
            """
        )
        return path

    def _namespace(self, name: str) -> Namespace:
        namespace = Namespace(f"{self.token}-{name}")
        # Before it exists: taking down must not depend on how far building up has come.
        self._stack.callback(namespace.remove)
        return namespace

    # -- faults between hosts -------------------------------------------------------------

    def block(self, source: Host, target: Host, *, protocol: Protocol = "any") -> None:
        """Lose the packets from `source` to `target`; the other direction works."""
        for start in source.interfaces:
            for end in target.interfaces:
                if start.lan == end.lan:
                    self._switch.faults.blocked.add((start.port, end.port, protocol))
        self._switch.apply()

    def split(self, *groups: Sequence[Host]) -> None:
        """Cut all wires between these groups; replaces an earlier split.

        Hosts in none of the groups still reach, and are reached by, everybody.
        """
        self._switch.faults.split = [
            frozenset(interface.port for host in group for interface in host.interfaces)
            for group in groups
        ]
        self._switch.apply()

    def heal(self) -> None:
        """End every fault but interfaces that are down or unplugged."""
        self._switch.faults = Faults()
        self._switch.apply()
        for host in self.hosts:
            host.accept_tcp()


@contextlib.contextmanager
def lan(hosts: int, cpu_quota: float | None = None) -> Iterator[Network]:
    """Make hosts on one LAN for the length of a ``with`` block; first remove what the dead left.

    Args:
        hosts: how many; they are called h1, h2 and so on, at 10.77.0.1, 10.77.0.2 and so on.
        cpu_quota: cores that each host may use (0.1 at least); None: no limit. Ask
            `lacking` first.
    """
    remove_leftovers()
    token = new_token()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{token}-"))
        network = Network(token, Path(folder), stack, cpu_quota)
        for _ in range(hosts):
            network.add_host()
        yield network


def left_behind(token: str) -> list[str]:
    """Return what is left of a network: namespaces, control groups, folders, processes."""
    folders = [FOLDER, Path(tempfile.gettempdir()), cgroup.folder()]
    found = [str(path) for folder in folders if folder for path in folder.glob(f"{token}-*")]
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            # The environment of each process names its state folder, which has the token.
            with contextlib.suppress(OSError):
                if token.encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


def wait_until(question: Callable[[], bool], otherwise: Callable[[], object]) -> None:
    """Ask again and again until the answer is yes.

    Raises: GridError with what `otherwise` says, if it never is.
    """
    deadline_s = time.monotonic() + DEADLINE_S
    while not question():
        if time.monotonic() > deadline_s:
            raise GridError(str(otherwise()))
        time.sleep(POLL_S)  # The nodes need the cores more than the question does.
