"""A cluster of single nodes that a benchmark starts, kills and asks whether it is safe."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from grid.chaos.host_nodes import HostNodes
from grid.chaos.nodes import LocalNodes
from grid.chaos.target import Nodes
from grid.client.options import ClientOptions
from grid.client.session import Grid
from grid.config import Config
from grid.types import PARTITION_COUNT, Address
from grid.wire.keys import encode_key
from grid.wire.security import ClusterKeys

SAFE_DEADLINE_S = 120.0
POLL_S = 0.01
KEY_BYTES_MAX = 64


@contextmanager
def nodes_of(
    count: int, *, storage_processes: int = 0, backup_count: int = 1
) -> Iterator[LocalNodes]:
    """Start so many nodes, and end all of them afterwards."""
    config = Config()
    config = dataclasses.replace(
        config,
        node=dataclasses.replace(config.node, storage_processes=storage_processes),
        replication=dataclasses.replace(config.replication, backup_count=backup_count),
    )
    with LocalNodes(config, count) as nodes:
        for _ in range(count):
            nodes.wait_until_ready(nodes.start())
        yield nodes


@contextmanager
def hosts_of(count: int, loss: float, *, hosts: int = 0) -> Iterator[HostNodes]:
    """Start nodes on hosts in miniature, one on each, on a LAN that loses packets.

    `hosts`: if there are to be more hosts than nodes now.
    """
    with HostNodes(max(count, hosts), loss) as nodes:
        for _ in range(count):
            nodes.wait_until_ready(nodes.start())
        yield nodes


def connected(nodes: Nodes) -> Grid:
    """Return a client."""
    client = nodes.client()
    assert isinstance(client, Grid), "real nodes have real clients"
    return client


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """How a client in another process finds the nodes. Can be pickled."""

    addresses: list[Address]
    keys: ClusterKeys
    cluster: str


def where(nodes: LocalNodes | HostNodes) -> Where:
    """Return how to find these nodes."""
    with connected(nodes) as client:
        addresses = [Address(node.host, node.port) for node in client.nodes()]
    return Where(addresses, nodes.keys, nodes.cluster)


def open_at(place: Where) -> Grid:
    """Connect."""
    return Grid(place.addresses, place.keys, place.cluster, ClientOptions())


def is_safe(status: dict[str, Any], nodes: int) -> bool:
    """Whether everything is backed and in its place, on so many nodes."""
    partitions = status["partitions"]
    alive = [member for member in status["members"] if member["state"] == "alive"]
    owned = [member["primaries"] for member in alive]
    return (
        len(alive) == nodes
        and partitions["safe"] == partitions["total"]
        and not partitions["moving"]
        and max(owned) - min(owned) <= 1
    )


def wait_until_safe(client: Grid, nodes: int) -> float:
    """Wait; return when it was so, on the monotonic clock.

    Raises: TimeoutError.
    """
    deadline_s = time.monotonic() + SAFE_DEADLINE_S
    while not is_safe(client.status(), nodes):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not safe after {SAFE_DEADLINE_S:g} s: {client.status()}")
        time.sleep(POLL_S)
    return time.monotonic()


def a_key_of_each_partition() -> list[str]:
    """Return a key that lives in each partition, by its number."""
    keys: dict[int, str] = {}
    number = 0
    while len(keys) < PARTITION_COUNT:
        key = f"probe-{number}"
        keys.setdefault(encode_key(key, KEY_BYTES_MAX)[0], key)
        number += 1
    return [keys[p] for p in range(PARTITION_COUNT)]
