"""Real nodes on this machine, each a process group that can be killed without the others.

They listen on free ports of 127.0.0.1, belong to a cluster with a name and a secret of its own, and
leave nothing behind: sockets are abstract or the kernel's, and each node stops by itself when its
pipe ends, so also when this program is killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import secrets
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import msgspec

from grid.chaos.node import NodeRequest
from grid.chaos.resident import resident_bytes
from grid.chaos.target import Client
from grid.client.session import Grid
from grid.config import Config
from grid.errors import GridError, ProtocolError
from grid.supervisor.resolve import STORAGE_PROCESSES_MAX, core_count
from grid.types import Address
from grid.wire.catalog import decode_supervisor_to_launcher
from grid.wire.family import Admitted, Listening, LogText, StartFailed
from grid.wire.security import derive_keys

READY_DEADLINE_S = 60.0
END_DEADLINE_S = 10.0
COMPLAINTS = frozenset({"WARNING", "ERROR", "CRITICAL"})


@dataclasses.dataclass(slots=True, eq=False)
class _Node:
    """A node as its starter knows it."""

    name: str
    process: subprocess.Popen[bytes]
    pipe: Connection
    address: Address | None = None
    is_admitted: bool = False
    failure: str = ""


class LocalNodes:
    """Starts, kills and ends nodes. A context manager."""

    def __init__(self, config: Config, count: int) -> None:
        """Share out the machine's cores for `count` nodes at a time; start none yet."""
        name = f"chaos-{secrets.token_hex(4)}"
        secret = secrets.token_urlsafe(32)
        share = max(1, core_count() // count)
        node = config.node
        self._config = dataclasses.replace(
            config,
            cluster=dataclasses.replace(config.cluster, name=name, secret=secret, secret_file=""),
            node=dataclasses.replace(
                node,
                bind="127.0.0.1",
                advertise="",
                port=0,
                storage_processes=node.storage_processes or min(STORAGE_PROCESSES_MAX, share),
                workers=1,
            ),
            discovery=dataclasses.replace(config.discovery, multicast=False, seeds=()),
        )
        self.keys = derive_keys(secret.encode(), name)
        self.cluster = name
        self._names = (f"node-{number}" for number in itertools.count(1))
        self._nodes: dict[str, _Node] = {}
        self._complaints: list[str] = []

    def start(self) -> str:
        """Start a node that finds those that listen already; return its name."""
        name = next(self._names)
        ours, theirs = Pipe()
        module_paths = [path or os.getcwd() for path in sys.path]
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "grid.chaos.node", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Its own process group; Ctrl-C is not for it.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(module_paths)},
            )
        finally:
            theirs.close()
        self._nodes[name] = _Node(name, process, ours)
        config = dataclasses.replace(
            self._config, node=dataclasses.replace(self._config.node, name=name)
        )
        seeds = [str(node.address) for node in self._living() if node.address is not None]
        with contextlib.suppress(OSError):  # If it has ended already, waiting for it will say so.
            ours.send_bytes(msgspec.json.encode(NodeRequest(config, seeds, module_paths)))
        return name

    def wait_until_ready(self, name: str) -> None:
        """Wait until a node is a member of the cluster.

        Raises: GridError when it ends, fails, or takes too long.
        """
        node = self._nodes[name]
        deadline_s = time.monotonic() + READY_DEADLINE_S
        while not node.is_admitted:
            if node.failure or node.pipe.closed:
                raise GridError(f"{name} did not start: {node.failure or 'it has ended'}")
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise GridError(f"{name} did not join within {READY_DEADLINE_S:g} s")
            if node.pipe.poll(min(left_s, 1.0)):
                self._read(node)

    def alive(self) -> list[str]:
        """Return the nodes whose supervisors run."""
        return [node.name for node in self._living()]

    def kill(self, name: str) -> None:
        """Kill all processes of a node at once."""
        _kill(self._nodes[name])

    def client(self) -> Client:
        """Connect to whichever node answers first."""
        addresses = [node.address for node in self._living() if node.address is not None]
        return Grid(addresses, self.keys, self.cluster, self._config.client)

    def complaints(self) -> list[str]:
        """Return warnings and errors of the nodes since the last call."""
        for node in self._nodes.values():
            while not node.pipe.closed and node.pipe.poll():
                self._read(node)
        complaints, self._complaints = self._complaints, []
        return complaints

    def resident_bytes(self) -> dict[str, int]:
        """Return the size of each process of the nodes that run."""
        return resident_bytes({node.name: node.process.pid for node in self._living()})

    def close(self) -> None:
        """Kill all nodes that are left."""
        for node in self._nodes.values():
            _kill(node)
            node.pipe.close()

    def __enter__(self) -> LocalNodes:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End all nodes, whatever has happened."""
        self.close()

    def _living(self) -> list[_Node]:
        return [node for node in self._nodes.values() if node.process.poll() is None]

    def _read(self, node: _Node) -> None:
        """Take one message of a node, or the end of its pipe."""
        try:
            message = decode_supervisor_to_launcher(node.pipe.recv_bytes())
        except (EOFError, OSError, ProtocolError):
            node.pipe.close()
            return
        match message:
            case Listening(host=host, port=port):
                node.address = Address(host, port)
            case Admitted():
                node.is_admitted = True
            case StartFailed(reason=reason):
                node.failure = reason
            case LogText(level=level, text=text) if level in COMPLAINTS:
                self._complaints.append(f"{node.name}: {text}")
            case _:
                return


def _kill(node: _Node) -> None:
    """SIGKILL to the whole group. Until its leader is reaped, nobody else can have its number."""
    if node.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.process.pid, signal.SIGKILL)
        node.process.wait(timeout=END_DEADLINE_S)
