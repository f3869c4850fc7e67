"""``grid down``: stop this machine's nodes of one cluster, and wait until they are gone."""

from __future__ import annotations

from grid.config import Config
from grid.errors import AuthenticationError, ConnectError, GridError, ProtocolError
from grid.transport.blocking import BlockingConnection, connect
from grid.transport.unix import local_node_ports
from grid.wire.catalog import decode_client_reply, encode
from grid.wire.control import ShutdownWanted, View, ViewWanted
from grid.wire.handshake import Purpose

STOP_DEADLINE_S = 20.0


def stop_local_nodes(config: Config) -> int:
    """Stop this user's nodes of the configured cluster on this machine; return how many.

    Raises: GridError when one does not stop within the deadline.
    """
    connections = [_of_cluster(port, config.cluster.name) for port in local_node_ports()]
    nodes = [connection for connection in connections if connection is not None]
    for connection in nodes:
        connection.send_frame(encode(ShutdownWanted(1)))
        connection.receive_frame()
    for connection in nodes:
        _wait_until_gone(connection)
    return len(nodes)


def _of_cluster(port: int, cluster: str) -> BlockingConnection | None:
    """Return a connection to the node on `port` if it is one of `cluster`."""
    try:
        connection = connect(port, None, Purpose.CONTROL, timeout_s=STOP_DEADLINE_S)
    except (ConnectError, ProtocolError, AuthenticationError):
        return None  # It has just ended, or another user has taken the name.
    connection.send_frame(encode(ViewWanted(0)))
    view = decode_client_reply(connection.receive_frame())
    if isinstance(view, View) and view.cluster == cluster:
        return connection
    connection.close()
    return None


def _wait_until_gone(connection: BlockingConnection) -> None:
    """The node closes the connection when it has left; its last process ends just after."""
    try:
        connection.set_timeout(STOP_DEADLINE_S)
        connection.receive_frame()
    except TimeoutError as error:
        raise GridError(f"a node has not stopped within {STOP_DEADLINE_S:g} s") from error
    except OSError:
        return
    finally:
        connection.close()
