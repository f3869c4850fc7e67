"""Memcached: one server for TCP and one for its unix socket, pymemcache."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from pymemcache.client.base import Client

from bench.peers.base import Calls, Endpoint, Program, free_port

MEMORY_MB = 4096
"""Room for everything that is ever stored here: an eviction would flatter."""


@dataclass(frozen=True, slots=True)
class MemcachedEndpoint:
    """The server at a port, or at a socket path if there is one."""

    port: int
    path: str = ""

    def open(self) -> Calls:
        """Connect; each write waits for its answer, which is not the client's default."""
        where = self.path or ("127.0.0.1", self.port)
        client = Client(where, default_noreply=False, no_delay=not self.path)
        return Calls(client.get, client.set, client.get_many, client.set_many, client.close)

    async def open_async(self) -> None:
        """Nothing: pymemcache has no asyncio client."""
        return


class MemcachedServer:
    """Two processes: with a unix socket memcached does not listen on TCP."""

    def __init__(self) -> None:
        """Choose where they will listen."""
        self._program = Program("memcached")
        self._port = free_port()
        self._path = str(self._program.folder / "socket")

    def start(self) -> None:
        """Start both."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        command = ["memcached", "-u", user, "-m", str(MEMORY_MB)]
        by_tcp = [*command, "-l", "127.0.0.1", "-p", str(self._port), "-U", "0"]
        self._program.run(by_tcp, ("127.0.0.1", self._port))
        self._program.run([*command, "-s", self._path], self._path)

    def stop(self) -> None:
        """End both."""
        self._program.stop()

    @property
    def tcp(self) -> Endpoint:
        """By TCP."""
        return MemcachedEndpoint(self._port)

    @property
    def unix(self) -> Endpoint | None:
        """By the unix socket of the second process."""
        return MemcachedEndpoint(self._port, self._path)

    @property
    def pids(self) -> list[int]:
        """Both processes."""
        return self._program.pids

    @property
    def storage_pid(self) -> int:
        """The one that listens on TCP."""
        return self.pids[0]


def make() -> MemcachedServer:
    """Return a server, not started."""
    return MemcachedServer()
