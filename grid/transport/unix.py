"""Unix sockets of a node: abstract names, so nothing is left behind in the file system.

One name per user and port, ``@grid-<uid>-<port>``, one namespace per network namespace. The
kernel tells each side the other's user id (SO_PEERCRED, unix(7)); that is the authentication.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

_PREFIX = "@grid-"
_SOCKETS_LISTING = Path("/proc/net/unix")


def socket_name(port: int, uid: int | None = None) -> str:
    """Return the abstract name of the node of this user that listens on `port`."""
    return f"\0grid-{os.getuid() if uid is None else uid}-{port}"


def peer_uid(sock: socket.socket) -> int:
    """Return the user id of the process at the other end."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


def is_trusted(sock: socket.socket) -> bool:
    """Whether the other end runs as this user, or as root."""
    return peer_uid(sock) in (os.getuid(), 0)


def local_node_ports() -> list[int]:
    """Return the ports of this user's nodes in this network namespace, lowest first."""
    prefix = f"{_PREFIX}{os.getuid()}-"
    try:
        # Any user may have given a socket a name that is no text.
        lines = _SOCKETS_LISTING.read_text(errors="replace").splitlines()
    except OSError:
        return []
    names = {line.rpartition(" ")[2] for line in lines}
    suffixes = (name[len(prefix) :] for name in names if name.startswith(prefix))
    ports = (int(s) for s in suffixes if s.isascii() and s.isdecimal() and len(s) <= 5)
    return sorted(port for port in ports if 0 < port < 65_536)
