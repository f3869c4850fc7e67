"""Finding a cluster: `connect` for a running one, `local` for one of this program's own.

Not here: how a node is searched for (``finding/``), what is done with the cluster (``client/``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from grid.client.async_session import AsyncGrid
from grid.client.options import ClientOptions
from grid.client.requests.connections import Connections, Gateway
from grid.client.session import Grid, status_from
from grid.config import Config, NodeOptions, load, resolve_secret
from grid.errors import ConfigError, ConnectError
from grid.finding.search import Search
from grid.option import OptionError, specs_of
from grid.remembered_peers import RememberedPeers
from grid.storage.options import StorageOptions
from grid.transport.unix import local_node_ports
from grid.types import Address
from grid.wire.security import ClusterKeys, derive_keys

T = TypeVar("T")

CONFIG_VARIABLE = "GRID_CONFIG"
CONFIG_NAME = "cluster.toml"
LOCAL_CLUSTER = "local-cluster"
"""The command by which `local_cluster` starts its launcher."""

LOCAL_STOP_DEADLINE_S = 60.0

NODES_MAX = 64
"""Whole nodes that one command or call starts on this machine."""


class LocalRequest(msgspec.Struct, frozen=True):
    """What `local` tells the launcher it starts, as one JSON line on its standard input."""

    cluster: str
    secret: str
    nodes: int
    workers: int
    storage_processes: int
    spin_us: int
    module_paths: list[str]


class LocalReady(msgspec.Struct, frozen=True):
    """What that launcher answers, as one JSON line, once every node is ready."""

    addresses: list[tuple[str, int]]


def find_config(path: str | Path | None) -> Path | None:
    """Return the configuration to use: the given one, $GRID_CONFIG, ./cluster.toml, or None."""
    if path is not None:
        return Path(path)
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    here = Path(CONFIG_NAME)
    return here if here.exists() else None


def load_config(path: str | Path | None) -> Config:
    """Return the configuration of `find_config`.

    Raises: ConfigError; it names the variable if that has named the file.
    """
    try:
        return load(find_config(path))
    except ConfigError as error:
        if path is None and os.environ.get(CONFIG_VARIABLE):
            raise ConfigError(f"{error} (${CONFIG_VARIABLE} names this file)") from None
        raise


def connect(address: str | None = None, *, config: str | Path | None = None) -> Grid:
    """Connect to a running cluster.

    `address` is ``host:port``, or a host with a node on the configured port. Without it: this
    user's nodes on this machine; else, if there is a secret, whoever of the cluster answers first
    among the configured seeds, the peers that this user's nodes have met, and the nodes that
    announce themselves on the network, which each does every few seconds. It ends after
    ``client.connect_deadline_s`` and needs no node on this machine.

    Cluster name, secret and deadlines come from `config`, else $GRID_CONFIG, else
    ./cluster.toml, else the defaults.

    Raises: ConnectError with what was tried; AuthenticationError when the node at `address` has
        another secret; ConfigError.
    """
    return open_client(load_config(config), address)


def open_client(config: Config, address: str | None = None) -> Grid:
    """Connect with a configuration that is loaded already; see `connect`."""

    def make(gateways: Sequence[Gateway], keys: ClusterKeys | None) -> Grid:
        return Grid(
            gateways,
            keys,
            config.cluster.name,
            config.client,
            storage_options=config.storage,
            executor_options=config.executor,
        )

    return find_grid(config, address, make)


def aconnect(address: str | None = None, *, config: str | Path | None = None) -> AsyncGrid:
    """Connect an asyncio program: ``async with grid.aconnect() as g: ...``.

    Arguments and search are those of `connect`; the search runs in a thread, and so do rare
    questions to the cluster. Errors of the search are raised on entering.

    Raises: ConfigError.
    """
    settings = load_config(config)

    def make(gateways: Sequence[Gateway], keys: ClusterKeys | None) -> Connections:
        return Connections(gateways, keys, settings.cluster.name, settings.client)

    return AsyncGrid(
        lambda: find_grid(settings, address, make),
        storage_options=settings.storage,
        executor_options=settings.executor,
    )


def fetch_status(config: Config, address: str | None = None) -> dict[str, Any]:
    """Return the status document, also of a node that has not joined a cluster yet.

    Without `address` a node is searched for as by `connect`.

    Raises: ConnectError; AuthenticationError.
    """

    with contextlib.closing(open_connections(config, address)) as connections:
        return status_from(connections)


def open_connections(config: Config, address: str | None = None) -> Connections:
    """Connect for questions to network processes only; the node need not have joined a cluster yet.

    Without `address` a node is searched for as by `connect`.

    Raises: ConnectError; AuthenticationError.
    """

    def make(gateways: Sequence[Gateway], keys: ClusterKeys | None) -> Connections:
        return Connections(gateways, keys, config.cluster.name, config.client)

    return find_grid(config, address, make)


def find_grid(
    config: Config,
    address: str | None,
    make: Callable[[Sequence[Gateway], ClusterKeys | None], T],
) -> T:
    """Search for a node and return what `make` makes of it: gateways in order, and the keys.

    Called again with others if it raises ConnectError. With an `address` nothing is searched.
    Blocks for up to ``client.connect_deadline_s``, and uses nothing of the calling thread.

    Raises: ConnectError with what was tried; ConfigError; what `make` raises.
    """
    keys = _keys(config)
    if address is not None:
        return make([_parsed(address, config.node.port or NodeOptions().port)], keys)
    search = Search(
        config.cluster.name,
        keys,
        config.discovery,
        deadline_s=config.client.connect_deadline_s,
        # The configured port first: it is the likeliest of several local nodes.
        local_ports=sorted(local_node_ports(), key=lambda port: (port != config.node.port, port)),
        remembered=RememberedPeers(config.cluster.name).load() if keys is not None else (),
    )
    with contextlib.closing(search.found()) as found:
        for gateways in found:
            try:
                return make(gateways, keys)
            except ConnectError as error:  # It has ended since.
                search.note(gateways[0], error)
    raise search.failure()


def _keys(config: Config) -> ClusterKeys | None:
    secret = resolve_secret(config)
    return derive_keys(secret, config.cluster.name) if secret is not None else None


def _parsed(address: str, usual_port: int) -> Address:
    try:
        return Address.parse(address if ":" in address else f"{address}:{usual_port}")
    except ValueError as error:
        raise ConnectError(f"{error}; an address looks like 192.168.1.5:7701") from error


@dataclasses.dataclass(frozen=True, slots=True)
class LocalCluster:
    """A running cluster of this program's own: what a client needs to reach it."""

    name: str
    keys: ClusterKeys
    addresses: tuple[Address, ...]

    def client(self, options: ClientOptions | None = None) -> Grid:
        """Return a new client; close it, or use it with ``with``."""
        return Grid(self.addresses, self.keys, self.name, options or ClientOptions())

    def aclient(self, options: ClientOptions | None = None) -> AsyncGrid:
        """Return a new asyncio client, for ``async with``."""
        return AsyncGrid(
            lambda: Connections(self.addresses, self.keys, self.name, options or ClientOptions())
        )


class LocalGrid(Grid):
    """The client of a cluster of its own, which ends when the client is closed or given up."""

    def __init__(self, cluster: LocalCluster) -> None:
        """Connect; use `grid.local()` instead. Raises: ConnectError."""
        super().__init__(cluster.addresses, cluster.keys, cluster.name, ClientOptions())
        self._cluster = contextlib.ExitStack()
        self._end_cluster = weakref.finalize(self, self._cluster.close)

    def own(self, cluster: contextlib.ExitStack) -> None:
        """Take over what ends the cluster."""
        self._cluster.push(cluster)

    def close(self) -> None:
        """Close as `Grid.close`, and end the cluster; idempotent."""
        super().close()
        self._end_cluster()


def local(nodes: int = 1, *, workers: int = 0, storage_processes: int = 0) -> Grid:
    """Run a cluster of `nodes` whole nodes and return its client; the two end together.

    That is at the end of a ``with`` block, or where there is none, as in a notebook, by `close` or
    with the program. See `local_cluster`.

    Raises: ConnectError when the nodes do not start; ValueError for numbers that cannot be.
    """
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(
            local_cluster(nodes, workers=workers, storage_processes=storage_processes)
        )
        client = LocalGrid(cluster)
        client.own(stack.pop_all())
        return client


@contextlib.contextmanager
def local_cluster(
    nodes: int = 1, *, workers: int = 0, storage_processes: int = 0, spin_us: int = 0
) -> Iterator[LocalCluster]:
    """Run `nodes` whole nodes on this machine for the length of a ``with`` block.

    The nodes are processes of their own (a fresh interpreter, never a fork of this program)
    on free loopback ports, with a secret of their own; they end with the block, and also if
    this program is killed.

    Args:
        nodes: how many, at least 1.
        workers: per node; 0 shares out the cores.
        storage_processes: per node; 0 shares out the cores, at most 4 each.
        spin_us: the storage option of that name; see cluster.toml.

    Raises: ConnectError when they do not start; ValueError for numbers that cannot be.
    """
    _check_numbers(nodes, workers, storage_processes, spin_us)
    owner = os.getpid()
    request = LocalRequest(
        cluster=f"local-{secrets.token_hex(4)}",
        secret=secrets.token_urlsafe(32),
        nodes=nodes,
        workers=workers,
        storage_processes=storage_processes,
        spin_us=spin_us,
        module_paths=[path or os.getcwd() for path in sys.path],
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "grid", LOCAL_CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for this program; it ends the cluster by the pipe.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(request.module_paths)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(OSError):  # It has ended already; so does what it says.
            process.stdin.write(msgspec.json.encode(request) + b"\n")
            process.stdin.flush()
        line = process.stdout.readline()  # The launcher has a start deadline of its own.
        if not line:
            raise ConnectError("the local cluster did not start (its reason is printed above)")
        ready = msgspec.json.decode(line, type=LocalReady)
        yield LocalCluster(
            request.cluster,
            derive_keys(request.secret.encode(), request.cluster),
            tuple(Address(*address) for address in ready.addresses),
        )
    finally:
        if os.getpid() == owner:  # A forked child may end as it likes.
            _end(process)


def _check_numbers(nodes: int, workers: int, storage_processes: int, spin_us: int) -> None:
    """Refuse here what the launcher could only die of."""
    if not isinstance(nodes, int) or isinstance(nodes, bool) or not 1 <= nodes <= NODES_MAX:
        raise ValueError(f"nodes = {nodes!r}: must be a whole number from 1 to {NODES_MAX}")
    node, storage = specs_of(NodeOptions), specs_of(StorageOptions)
    for spec, value in (
        (node["workers"], workers),
        (node["storage_processes"], storage_processes),
        (storage["spin_us"], spin_us),
    ):
        try:
            spec.accept(value)
        except OptionError as error:
            raise ValueError(f"{spec.name} = {value!r}: {error}") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the launcher of a local cluster, and wait for it."""
    assert process.stdin is not None
    assert process.stdout is not None
    # Said, and not only by closing: a child that this program has forked would keep the
    # pipe open.
    with contextlib.suppress(OSError), process.stdin:
        process.stdin.write(b"stop\n")
    try:
        process.wait(timeout=LOCAL_STOP_DEADLINE_S)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def local_config(request: LocalRequest) -> Config:
    """Return the configuration of a local cluster's nodes."""
    config = Config()
    return dataclasses.replace(
        config,
        cluster=dataclasses.replace(config.cluster, name=request.cluster, secret=request.secret),
        node=dataclasses.replace(
            config.node,
            name="local",
            bind="127.0.0.1",
            port=0,
            workers=request.workers,
            storage_processes=request.storage_processes,
        ),
        discovery=dataclasses.replace(config.discovery, multicast=False, seeds=()),
        storage=dataclasses.replace(config.storage, spin_us=request.spin_us),
    )
