"""``grid down``: stop this machine's nodes of one cluster, and wait until they are gone.

A node moves what it holds to other nodes before it goes; meanwhile it is asked how much is left.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import msgspec

from grid.config import Config, resolve_secret
from grid.errors import AuthenticationError, ConnectError, GridError, ProtocolError
from grid.transport.blocking import BlockingConnection, NothingYetError, connect
from grid.transport.unix import local_node_ports
from grid.types import counted
from grid.wire.catalog import decode_client_reply, encode
from grid.wire.control import ShutdownWanted, Status, StatusWanted, View, ViewWanted
from grid.wire.handshake import Purpose
from grid.wire.security import ClusterKeys, derive_keys

STOP_DEADLINE_S = 20.0
"""How long a node may take to stop, besides leaving."""

LOOK_INTERVAL_S = 0.5
"""How often a node that has not gone is asked how far it is."""


class _Member(msgspec.Struct):
    """What is read of a member in a status document."""

    id: str
    state: str
    primaries: int
    backups: int


class _Document(msgspec.Struct):
    members: list[_Member]


def stop_local_nodes(
    config: Config,
    on_progress: Callable[[str], None] = lambda text: None,
    on_stranger: Callable[[str], None] = lambda text: None,
) -> int:
    """Stop this user's nodes of the configured cluster on this machine; return how many.

    `on_progress` is told now and then what is waited for; `on_stranger` of each node that is left
    alone because its cluster has the same name, but another secret than the configured one.

    Raises: ConfigError; GridError when one does not stop within the deadline.
    """
    cluster = config.cluster.name
    secret = resolve_secret(config)
    keys = derive_keys(secret, cluster) if secret is not None else None
    connections = [_of_cluster(port, cluster, keys, on_stranger) for port in local_node_ports()]
    nodes = [connection for connection in connections if connection is not None]
    for connection in nodes:
        # One that ends meanwhile is found gone below, by its connection.
        with contextlib.suppress(OSError):
            connection.send_frame(encode(ShutdownWanted(1)))
            connection.receive_frame()
    limit_s = config.replication.leave_deadline_s + STOP_DEADLINE_S
    deadline_s = time.monotonic() + limit_s
    waiting = [connection.node_id.hex() for connection in nodes]
    for connection in nodes:
        if not _has_gone(connection, deadline_s, lambda d: on_progress(left_text(d, waiting))):
            raise GridError(f"a node has not stopped within {limit_s:g} s")
        waiting.remove(connection.node_id.hex())
    return len(nodes)


def left_text(document: bytes, node_ids: Sequence[str]) -> str:
    """Return what is still to be done before the nodes (boot ids in hex) can go."""
    members = msgspec.json.decode(document, type=_Document).members
    leaving = [m for m in members if m.id in node_ids and m.state in ("alive", "suspect")]
    copies = sum(member.primaries + member.backups for member in leaving)
    nodes = counted(len(leaving), "node")
    if not copies:
        return f"waiting for {nodes} to end"
    return f"waiting for {nodes}: {copies} copies of partitions to move to other nodes"


def _of_cluster(
    port: int, cluster: str, keys: ClusterKeys | None, on_stranger: Callable[[str], None]
) -> BlockingConnection | None:
    """Return a connection to the node on `port` if it is one of `cluster`."""
    try:
        connection = connect(port, None, Purpose.CONTROL, timeout_s=STOP_DEADLINE_S)
    except (ConnectError, ProtocolError, AuthenticationError):
        return None  # It has just ended, or another user has taken the name.
    try:
        connection.send_frame(encode(ViewWanted(0)))
        view = decode_client_reply(connection.receive_frame())
        if isinstance(view, View) and view.cluster == cluster:
            stranger = view.stranger(cluster, keys)
            if not stranger:
                return connection
            on_stranger(f"{stranger} runs on port {port} and is left alone")
    except (OSError, ProtocolError):
        pass  # It has ended before it could say which cluster's it is.
    connection.close()
    return None


def _has_gone(
    connection: BlockingConnection, deadline_s: float, on_status: Callable[[bytes], None]
) -> bool:
    """Wait until the node closes the connection: it has left, its last process ends just after.

    Returns: False when it has not by the deadline.
    """
    try:
        connection.set_timeout(LOOK_INTERVAL_S)
        while time.monotonic() < deadline_s:
            try:
                reply = decode_client_reply(connection.receive_frame())
            except NothingYetError:
                connection.send_frame(encode(StatusWanted(2)))
                continue
            if isinstance(reply, Status):
                on_status(reply.document)
    except OSError:
        return True
    finally:
        connection.close()
    return False
