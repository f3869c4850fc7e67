"""Hazelcast: one member on the JVM, its Python client."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import hazelcast
import hazelcast.asyncio

from bench.peers import HAZELCAST_JAR
from bench.peers.base import AsyncCalls, Calls, Endpoint, Program, free_port

MAP = "bench"

_CONFIG = """\
<hazelcast xmlns="http://www.hazelcast.com/schema/config">
  <cluster-name>{cluster}</cluster-name>
  <network>
    <port auto-increment="false">{port}</port>
    <join><auto-detection enabled="false"/><multicast enabled="false"/></join>
    <interfaces enabled="true"><interface>127.0.0.1</interface></interfaces>
  </network>
</hazelcast>
"""


@dataclass(frozen=True, slots=True)
class HazelcastEndpoint:
    """The member at a port."""

    port: int
    cluster: str

    def open(self) -> Calls:
        """Connect. `set` is its quicker put: it does not return the value it replaces."""
        client = hazelcast.HazelcastClient(**self._where())
        mapped = client.get_map(MAP).blocking()

        # A bytearray is its array of bytes; a bytes object it would pickle.
        return Calls(
            mapped.get,
            mapped.set,
            mapped.get_all,
            mapped.put_all,
            client.shutdown,
            value_of=bytearray,
        )

    async def open_async(self) -> AsyncCalls:
        """Connect with its asyncio client."""
        client = await hazelcast.asyncio.HazelcastClient.create_and_start(**self._where())
        mapped = await client.get_map(MAP)
        return AsyncCalls(mapped.get, mapped.set, client.shutdown, value_of=bytearray)

    def _where(self) -> dict[str, Any]:
        return {"cluster_members": [f"127.0.0.1:{self.port}"], "cluster_name": self.cluster}


class HazelcastServer:
    """One member that looks for no others."""

    def __init__(self) -> None:
        """Write its configuration."""
        self._program = Program("hazelcast")
        self._port = free_port()
        self._cluster = f"bench-{secrets.token_hex(4)}"
        self._config = self._program.folder / "hazelcast.xml"
        self._config.write_text(_CONFIG.format(cluster=self._cluster, port=self._port))

    def start(self) -> None:
        """Start the JVM."""
        properties = {
            "hazelcast.config": str(self._config),
            "hazelcast.phone.home.enabled": "false",
            "hazelcast.socket.bind.any": "false",
        }
        command = ["java", *(f"-D{name}={value}" for name, value in properties.items())]
        command += ["-cp", str(HAZELCAST_JAR), "com.hazelcast.core.server.HazelcastMemberStarter"]
        self._program.run(command, ("127.0.0.1", self._port))

    def stop(self) -> None:
        """End the JVM."""
        self._program.stop()

    @property
    def tcp(self) -> Endpoint:
        """By TCP."""
        return HazelcastEndpoint(self._port, self._cluster)

    @property
    def unix(self) -> Endpoint | None:
        """Nothing: it has no unix socket."""
        return None

    @property
    def pids(self) -> list[int]:
        """The JVM."""
        return self._program.pids

    @property
    def storage_pid(self) -> int:
        """The JVM."""
        return self.pids[0]


def make() -> HazelcastServer:
    """Return a server, not started."""
    return HazelcastServer()
