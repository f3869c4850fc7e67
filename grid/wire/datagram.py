"""The envelope of a datagram: who sent it, proof of the secret, protection against replay.

Layout, 52 bytes before the body: magic 4, name tag 4, key tag 4, sender boot id 16,
counter 8, MAC 16 over all the rest. With `UPDATES_BYTES_MAX` and a report of about 60 bytes
a datagram stays under 1,200 bytes, which no Ethernet fragments.

A receiver accepts each counter of a sender once, within a window of 64 (the scheme of IPsec,
RFC 4303 section 3.4.3), so a recorded datagram cannot be played again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grid.types import NODE_ID_BYTES, NodeId
from grid.wire.security import ClusterKeys, is_equal, mac

MAGIC = b"GRU1"
DATAGRAM_BYTES_MAX = 1_200
_MAC_BYTES = 16
_HEAD_BYTES = 4 + 4 + 4 + NODE_ID_BYTES + 8
ENVELOPE_BYTES = _HEAD_BYTES + _MAC_BYTES
_WINDOW = 64
_SENDERS_MAX = 6_000

Rejection = Literal["not_ours", "other_cluster", "other_secret", "forged", "replayed"]


@dataclass(frozen=True, slots=True)
class Opened:
    """An authenticated datagram."""

    sender: NodeId
    body: bytes


def claimed_sender(datagram: bytes) -> bytes:
    """Return the boot id a datagram names as its sender; nothing has proved it."""
    return datagram[12 : 12 + NODE_ID_BYTES]


class DatagramSealer:
    """Wraps the bodies one node sends."""

    def __init__(self, keys: ClusterKeys, own_id: NodeId) -> None:
        """Count from 1: boot ids are never reused, so counters need no memory."""
        self._key = keys.datagram_key
        self._prefix = MAGIC + keys.name_tag + keys.key_tag + own_id
        self._counter = 0

    def seal(self, body: bytes) -> bytes:
        """Return the datagram for `body`."""
        self._counter += 1
        head = self._prefix + self._counter.to_bytes(8, "big")
        return head + mac(self._key, head + body, _MAC_BYTES, b"datagram") + body


class DatagramOpener:
    """Checks and unwraps what arrives; counts nothing, raises nothing."""

    def __init__(self, keys: ClusterKeys) -> None:
        """Start without senders."""
        self._keys = keys
        self._windows: dict[bytes, tuple[int, int]] = {}

    def open(self, datagram: bytes) -> Opened | Rejection:
        """Return the sender and body of an authentic, fresh datagram, else why it is none."""
        if len(datagram) < ENVELOPE_BYTES or datagram[:4] != MAGIC:
            return "not_ours"
        keys = self._keys
        if datagram[4:8] != keys.name_tag:
            return "other_cluster"
        if datagram[8:12] != keys.key_tag:
            return "other_secret"
        head, code = datagram[:_HEAD_BYTES], datagram[_HEAD_BYTES:ENVELOPE_BYTES]
        body = datagram[ENVELOPE_BYTES:]
        if not is_equal(code, mac(keys.datagram_key, head + body, _MAC_BYTES, b"datagram")):
            return "forged"
        sender = claimed_sender(datagram)
        counter = int.from_bytes(head[-8:], "big")
        if not self._is_fresh(sender, counter):
            return "replayed"
        return Opened(NodeId(sender), body)

    def _is_fresh(self, sender: bytes, counter: int) -> bool:
        """Accept `counter` once; bit i of the mask stands for ``highest - i``."""
        highest, mask = self._windows.pop(sender, (0, 0))
        if counter > highest:
            mask = (
                ((mask << (counter - highest)) | 1) & ((1 << _WINDOW) - 1)
                if (counter - highest < _WINDOW)
                else 1
            )
            highest, is_fresh = counter, True
        else:
            bit = 1 << (highest - counter) if highest - counter < _WINDOW else 0
            is_fresh = bool(bit) and not mask & bit
            mask |= bit
        # Re-inserted at the end, so that the first is the one longest silent.
        self._windows[sender] = (highest, mask)
        if len(self._windows) > _SENDERS_MAX:
            del self._windows[next(iter(self._windows))]
        return is_fresh
