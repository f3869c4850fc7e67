"""Nodes as a person starts them: ``grid up`` in a process, watched by its printed lines."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from grid.api import fetch_status
from grid.config import load
from grid.transport.multicast import MulticastSockets
from grid.transport.unix import local_node_ports

DEADLINE_S = 60.0
"""Generous: the machine may be busy with other tests. Nothing normal takes a tenth of it."""


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


class Node:
    """A ``grid up`` under test."""

    def __init__(
        self,
        *arguments: str,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, by `prefix` if given; its output is read all the time."""
        self.arguments = arguments
        self.port = 0
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "grid", "up", *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._new_lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._seen: dict[int, psutil.Process] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._new_lines.put(line.rstrip())
        self._new_lines.put(None)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the first match of `pattern` in a line not looked at yet."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._new_lines.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} yet in:\n" + "\n".join(self.lines)) from None
            assert line is not None, f"ended without {pattern!r}:\n" + "\n".join(self.lines)
            self.lines.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def so_far(self) -> str:
        """Return what it has printed by now, to explain a failure; `wait_for` sees none of it."""
        with contextlib.suppress(queue.Empty):
            while (line := self._new_lines.get_nowait()) is not None:
                self.lines.append(line)
        return "\n".join(self.lines)

    def wait_until_ready(self) -> int:
        """Wait until the node serves its partitions; return its port."""
        self.port = int(self.wait_for(r"listening on [\d.]+:(\d+)")[1])
        self.wait_for("ready")
        self.family()
        return self.port

    def status(self) -> dict[str, Any]:
        """Ask the node itself for the document of ``grid status --json``."""
        config = self.arguments[self.arguments.index("--config") + 1]
        return fetch_status(load(Path(config)), f"127.0.0.1:{self.port}")

    def family(self) -> list[psutil.Process]:
        """Return all processes of the node now, and remember them for `assert_gone`."""
        parent = psutil.Process(self.process.pid)
        now = [parent, *parent.children(recursive=True)]
        self._seen.update({process.pid: process for process in now})
        return now

    def member_named(self, comm: str) -> psutil.Process:
        """Return the process of the family with this name in process listings."""
        return next(p for p in self.family() if p.name().startswith(comm))

    def end(self) -> int:
        """Wait for the exit code."""
        return self.process.wait(timeout=DEADLINE_S)

    def assert_gone(self) -> None:
        """Every process ever seen of this node has ended."""
        _, alive = psutil.wait_procs(list(self._seen.values()), timeout=DEADLINE_S)
        assert alive == []

    def output(self) -> str:
        """Return everything printed, once the node has ended."""
        while (line := self._new_lines.get(timeout=DEADLINE_S)) is not None:
            self.lines.append(line)
        return "\n".join(self.lines)

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.family()
        for process in self._seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.process.kill()
        self.process.wait()


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
