"""From configuration to the settings of each node: every "choose for me" decided here."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Sequence

from grid.config import Config, resolve_secret
from grid.errors import ConfigError
from grid.machine_secret import machine_secret
from grid.process.settings import NodeSettings
from grid.wire.security import ClusterKeys, derive_keys

LOOPBACK = "127.0.0.1"
ANY = "0.0.0.0"
STORAGE_PROCESSES_MAX = 4
"""Default bound: more storage processes than this rarely have work to share."""


def core_count() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0))


def resolve_keys(config: Config) -> ClusterKeys:
    """Return the keys of a node with this configuration, configured secret or not.

    Raises: ConfigError; StartError.
    """
    return derive_keys(resolve_secret(config) or machine_secret(), config.cluster.name)


def resolve_nodes(
    config: Config, count: int, *, module_paths: Sequence[str] = ()
) -> list[NodeSettings]:
    """Return the settings of `count` nodes on this machine, the cores shared out among them.

    With a fixed port the nodes take it and those after it.
    Raises: ConfigError; StartError.
    """
    keys = resolve_keys(config)
    bind, advertise = _addresses(config, has_secret=resolve_secret(config) is not None)
    node = config.node
    cores = core_count()
    name = node.name or socket.gethostname()
    share = max(1, cores // count)
    first = NodeSettings(
        cluster=config.cluster.name,
        keys=keys,
        name=name,
        bind=bind,
        advertise=advertise,
        port=node.port,
        storage_processes=node.storage_processes or min(STORAGE_PROCESSES_MAX, share),
        workers=node.workers or share,
        membership=config.membership,
        discovery=config.discovery,
        storage=config.storage,
        replication=config.replication,
        executor=config.executor,
        module_paths=tuple(module_paths),
    )
    if count == 1:
        return [first]
    last_port = node.port + count - 1
    if last_port > 65_535:
        raise ConfigError(f"{count} nodes from port {node.port} on would pass port 65535")
    discovery = config.discovery
    if discovery.multicast and node.port <= discovery.multicast_port <= last_port and node.port:
        raise ConfigError(
            f"{count} nodes from port {node.port} on would meet the multicast port "
            f"{discovery.multicast_port}; choose another --port"
        )
    return [
        dataclasses.replace(
            first, name=f"{name}-{index + 1}", port=node.port + index if node.port else 0
        )
        for index in range(count)
    ]


def _addresses(config: Config, *, has_secret: bool) -> tuple[str, str]:
    """Return where to listen and what to tell others; nothing for whatever interfaces there are."""
    bind, advertise = config.node.bind, config.node.advertise
    if not has_secret:
        if bind and not bind.startswith("127."):
            raise ConfigError(
                f'[node] bind = "{bind}": without a secret a node serves this machine only '
                "(127.0.0.1); run 'grid keygen' first"
            )
        return bind or LOOPBACK, advertise or bind or LOOPBACK
    bind = bind or ANY
    return bind, advertise or ("" if bind == ANY else bind)
