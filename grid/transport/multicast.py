"""Multicast sockets for discovery: one to listen, one per interface to send.

Loopback takes part when asked by its address, so several nodes of one machine find each
other without any network. TTL 1: beacons stay on the LAN.
"""

from __future__ import annotations

import socket
import struct

import psutil

RECEIVE_BUFFER_BYTES = 1 << 20


def usable_interface_addresses() -> list[str]:
    """Return the IPv4 addresses of interfaces that are up, loopback last."""
    stats = psutil.net_if_stats()
    addresses = [
        address.address
        for name, entries in sorted(psutil.net_if_addrs().items())
        if name in stats and stats[name].isup
        for address in entries
        if address.family == socket.AF_INET
    ]
    return sorted(addresses, key=lambda address: address.startswith("127."))


def listening_socket(group: str, port: int, interfaces: list[str]) -> socket.socket:
    """Return a non-blocking socket that hears `group` on `interfaces`.

    Several processes of one machine may listen at once.
    Raises: OSError when no interface can join the group.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        # Bound to the group itself: unicast datagrams to this port are none of ours.
        sock.bind((group, port))
        errors = []
        for interface in interfaces:
            request = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton(interface))
            try:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            except OSError as error:
                errors.append(error)
        if len(errors) == len(interfaces):
            raise errors[0] if errors else OSError("no network interface is up")
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class MulticastSender:
    """Sends to the group through every interface."""

    def __init__(self, group: str, port: int, interfaces: list[str]) -> None:
        """Open one socket per interface."""
        self._target = (group, port)
        self._sockets = []
        for interface in interfaces:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            try:
                sock.setsockopt(
                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface)
                )
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            except OSError:  # The interface has just gone; the others serve.
                sock.close()
                continue
            self._sockets.append(sock)

    def send(self, datagram: bytes) -> int:
        """Send on every interface; return how many took it (an interface may be down)."""
        sent = 0
        for sock in self._sockets:
            try:
                sock.sendto(datagram, self._target)
                sent += 1
            except OSError:
                continue
        return sent

    def close(self) -> None:
        """Close all sockets."""
        for sock in self._sockets:
            sock.close()
