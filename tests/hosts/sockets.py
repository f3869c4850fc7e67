"""Sockets on hosts, to see what the network lets pass without any node.

"It did not arrive" is never concluded from waiting: something sent later, which must arrive, has
arrived, and the earlier one was not before it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from grid.hosts.host import Host
from grid.hosts.network import wait_until

PORT = 9000
GROUP = "239.255.77.9"
TIMEOUT_S = 60.0
BUFFER_BYTES = 16 << 20
SO_RCVBUFFORCE = 33
"""From socket(7), for root: beyond the system's limit. Python has no name for it."""


class Mailbox:
    """A UDP socket of a host that hears its own address and a multicast group."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.heard: list[str] = []
        with host.inside():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Thousands of datagrams may wait: none may be lost for want of room.
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self.socket.bind(("", PORT))
        self.socket.setblocking(False)

    def join(self) -> None:
        """Hear the multicast group on the first interface."""
        request = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(self.host.address))
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)

    def send(self, text: str, *addresses: str) -> None:
        """Send a datagram to each of these addresses."""
        for address in addresses:
            self.socket.sendto(text.encode(), (address, PORT))

    def has_heard(self, text: str) -> bool:
        """Whether this text has arrived by now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self.socket.recv(2048).decode())
        return text in self.heard

    def hears(self, text: str, sender: Mailbox, address: str = "") -> None:
        """Wait until the text arrives, which is sent again and again."""

        def has_come() -> bool:
            sender.send(text, address or self.host.address)
            return self.has_heard(text)

        wait_until(has_come, lambda: f"{self.host} has not heard {text!r} of {sender.host}")


@contextlib.contextmanager
def mailboxes(*hosts: Host) -> Iterator[list[Mailbox]]:
    """Open a mailbox on each host for the length of a ``with`` block."""
    with contextlib.ExitStack() as stack:
        boxes = [Mailbox(host) for host in hosts]
        for box in boxes:
            stack.callback(box.socket.close)
        yield boxes


def listen(host: Host) -> socket.socket:
    """Return a listening TCP socket on a host."""
    with host.inside():
        listener = socket.create_server(("", PORT))
    listener.settimeout(TIMEOUT_S)
    return listener


def dial(host: Host, address: str) -> socket.socket:
    """Return a TCP connection from a host.

    Raises: OSError.
    """
    with host.inside():
        return socket.create_connection((address, PORT), timeout=TIMEOUT_S)


@contextlib.contextmanager
def conversation(source: Host, target: Host) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open a TCP connection between two hosts; both ends."""
    with listen(target) as listener, dial(source, target.address) as ours:
        theirs, _ = listener.accept()
        theirs.settimeout(TIMEOUT_S)
        with theirs:
            yield ours, theirs


def talks(source: Host, target: Host) -> bool:
    """Whether a new TCP connection carries bytes both ways."""
    with conversation(source, target) as (ours, theirs):
        ours.sendall(b"ping")
        theirs.sendall(theirs.recv(4)[::-1])
        return ours.recv(4) == b"gnip"
