"""The other systems that `bench.map` measures beside grid: which there are and what they need."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from pathlib import Path

from bench.peers.base import Server

PEERS = ("redis", "memcached", "hazelcast")

CACHE = Path.home() / ".cache" / "grid-bench"
"""Where what belongs to no package manager is kept."""

HAZELCAST_VERSION = "5.7.0"
HAZELCAST_JAR = CACHE / f"hazelcast-{HAZELCAST_VERSION}.jar"

_CLIENT_MODULES = {
    "redis": ("redis", "hiredis"),
    "memcached": ("pymemcache",),
    "hazelcast": ("hazelcast",),
}
_PROGRAMS = {"redis": "redis-server", "memcached": "memcached", "hazelcast": "java"}


def lacking(name: str) -> list[str]:
    """Return what a peer needs and this machine has not; empty if it can be measured."""
    missing = [
        f"Python's {module}"
        for module in _CLIENT_MODULES[name]
        if importlib.util.find_spec(module) is None
    ]
    if shutil.which(_PROGRAMS[name]) is None:
        missing.append(_PROGRAMS[name])
    if name == "hazelcast" and not HAZELCAST_JAR.exists():
        missing.append(str(HAZELCAST_JAR))
    return missing


def server(name: str) -> Server:
    """Return a server of the peer, not started; its modules are imported only now."""
    made: Server = importlib.import_module(f"bench.peers.{name}").make()
    return made
