"""What the benchmark needs of a system: a server it can start, and clients of it.

The calls are the clients' own bound methods, so that nothing of ours stands between.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Calls:
    """A connected blocking client.

    `value_of` makes what this client stores without conversion; it is not part of a call.
    """

    get: Callable[[str], object]
    put: Callable[[str, Any], object]
    get_all: Callable[[Sequence[str]], object]
    put_all: Callable[[Mapping[str, Any]], object]
    close: Callable[[], object]
    pipelined_get: Callable[[Sequence[str]], object] | None = None
    pipelined_put: Callable[[Mapping[str, Any]], object] | None = None
    value_of: Callable[[bytes], Any] = bytes


@dataclass(frozen=True, slots=True)
class AsyncCalls:
    """A connected asyncio client."""

    get: Callable[[str], Awaitable[object]]
    put: Callable[[str, Any], Awaitable[object]]
    close: Callable[[], Awaitable[object]]
    value_of: Callable[[bytes], Any] = bytes


class Endpoint(Protocol):
    """One way to reach a server. Can be pickled: client processes get one."""

    def open(self) -> Calls:
        """Connect."""

    async def open_async(self) -> AsyncCalls | None:
        """Connect with the system's asyncio client; None if it has none."""


class Server(Protocol):
    """A system on this machine, between `start` and `stop`."""

    def start(self) -> None:
        """Start it, empty, on loopback only; return when it answers."""

    def stop(self) -> None:
        """End it, whatever state it is in; nothing of it remains."""

    @property
    def tcp(self) -> Endpoint:
        """By TCP on loopback."""

    @property
    def unix(self) -> Endpoint | None:
        """By its unix socket; None if it has none."""

    @property
    def pids(self) -> list[int]:
        """All its processes."""

    @property
    def storage_pid(self) -> int:
        """The process that holds what is stored by TCP."""


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Program:
    """A server program with a folder of its own, both gone after `stop`."""

    def __init__(self, name: str) -> None:
        """Make the folder; nothing runs yet."""
        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix=f"grid-bench-{name}-")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log: IO[bytes] = (self.folder / "log").open("wb")

    @property
    def folder(self) -> Path:
        """For its unix socket and configuration; it is also the working directory."""
        return Path(self._folder.name)

    @property
    def pids(self) -> list[int]:
        """The processes that were started."""
        return [process.pid for process in self._processes]

    def run(self, command: Sequence[str], address: tuple[str, int] | str) -> None:
        """Start a process and return when something accepts connections at `address`.

        Raises: RuntimeError with the end of its log.
        """
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the benchmark, which then stops it.
        )
        self._processes.append(process)
        deadline_s = time.monotonic() + START_DEADLINE_S
        while not _accepts(address):
            if process.poll() is not None or time.monotonic() > deadline_s:
                log = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"{self.name} did not start: {log[-500:]}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End its processes and remove the folder."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        self._log.close()
        self._folder.cleanup()


def _accepts(address: tuple[str, int] | str) -> bool:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe, contextlib.suppress(OSError):
        probe.settimeout(1.0)
        probe.connect(address)
        return True
    return False
