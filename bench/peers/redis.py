"""Redis: one redis-server without persistence, redis-py with hiredis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

from bench.peers.base import AsyncCalls, Calls, Endpoint, Program, free_port

POOL_CONNECTIONS = 50
"""Of the asyncio client: one for each concurrent caller."""


@dataclass(frozen=True, slots=True)
class RedisEndpoint:
    """The server at a port, or at a socket path if there is one."""

    port: int
    path: str = ""

    def open(self) -> Calls:
        """Connect."""
        client = redis.Redis(**self._where())

        def pipelined_get(keys: Sequence[str]) -> object:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key)
            return pipeline.execute()

        def pipelined_put(entries: Mapping[str, bytes]) -> object:
            pipeline = client.pipeline(transaction=False)
            for key, value in entries.items():
                pipeline.set(key, value)
            return pipeline.execute()

        return Calls(
            client.get,
            client.set,
            client.mget,
            client.mset,
            client.close,
            pipelined_get,
            pipelined_put,
        )

    async def open_async(self) -> AsyncCalls:
        """Connect with redis.asyncio and its connection pool."""
        client = redis.asyncio.Redis(**self._where(), max_connections=POOL_CONNECTIONS)
        return AsyncCalls(client.get, client.set, client.aclose)

    def _where(self) -> dict[str, Any]:
        if self.path:
            return {"unix_socket_path": self.path}
        return {"host": "127.0.0.1", "port": self.port}


class RedisServer:
    """One redis-server that listens on both."""

    def __init__(self) -> None:
        """Choose where it will listen."""
        self._program = Program("redis")
        self._port = free_port()
        self._path = str(self._program.folder / "socket")

    def start(self) -> None:
        """Start it."""
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self._port)]
        command += ["--unixsocket", self._path, "--save", "", "--appendonly", "no"]
        self._program.run(command, ("127.0.0.1", self._port))

    def stop(self) -> None:
        """End it."""
        self._program.stop()

    @property
    def tcp(self) -> Endpoint:
        """By TCP."""
        return RedisEndpoint(self._port)

    @property
    def unix(self) -> Endpoint | None:
        """By its unix socket."""
        return RedisEndpoint(self._port, self._path)

    @property
    def pids(self) -> list[int]:
        """The one process."""
        return self._program.pids

    @property
    def storage_pid(self) -> int:
        """The same process."""
        return self.pids[0]


def make() -> RedisServer:
    """Return a server, not started."""
    return RedisServer()
