"""Nodes as a person starts them: ``grid up`` in a process, watched by its printed lines."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from grid.api import fetch_status
from grid.config import load
from grid.hosts.node_process import DEADLINE_S, NodeProcess
from grid.transport.multicast import MulticastSockets
from grid.transport.unix import local_node_ports


def free_port() -> int:
    """Return a port that was free a moment ago, for multicast: it may be shared anyway."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def has_multicast() -> bool:
    """Whether loopback carries multicast on this machine."""
    sockets = MulticastSockets("239.255.77.1", free_port())
    try:
        sockets.refresh(["127.0.0.1"])
    except OSError:
        return False
    finally:
        sockets.close()
    return True


def ask_until(question: Callable[[], bool]) -> None:
    """Ask a running cluster again and again until the answer is yes."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not question():
        assert time.monotonic() < deadline_s, "the cluster did not get there"


class Node(NodeProcess):
    """A ``grid up`` under test."""

    def status(self) -> dict[str, Any]:
        """Ask the node itself for the document of ``grid status --json``."""
        config = self.arguments[self.arguments.index("--config") + 1]
        return fetch_status(load(Path(config)), f"127.0.0.1:{self.port}")

    def member_named(self, comm: str) -> psutil.Process:
        """Return the process of the family with this name in process listings."""
        return next(p for p in self.family() if p.name().startswith(comm))

    def assert_gone(self) -> None:
        """Every process ever seen of this node has ended."""
        _, alive = psutil.wait_procs(list(self._seen.values()), timeout=DEADLINE_S)
        assert alive == []


@contextlib.contextmanager
def node(*arguments: str) -> Iterator[Node]:
    """Run a node for the length of a ``with`` block."""
    started = Node(*arguments)
    try:
        yield started
    finally:
        started.close()


def write_config(folder: Path, *, multicast: bool = False, secret: str = "") -> Path:
    """Write a cluster.toml for a cluster that no other test can meet."""
    path = folder / "cluster.toml"
    path.write_text(
        f"""
        [cluster]
        name = "test-{secrets.token_hex(4)}"
        secret = "{secret}"
        [node]
        bind = "127.0.0.1"
        port = 0
        workers = 1
        storage_processes = 1
        [discovery]
        multicast = {str(multicast).lower()}
        multicast_port = {free_port()}
        """
    )
    return path


def run_grid(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "grid", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


def assert_port_is_free(port: int) -> None:
    """Nothing listens there any more, neither TCP, UDP nor the unix socket."""
    assert port not in local_node_ports()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
