"""Which updates ride on the next datagram (SWIM section 4.1).

Each update is sent at most ``3 * ceil(ln(n + 1))`` times; those sent fewest times go first;
one byte budget bounds what a datagram carries. A newer update about a member replaces the
older one, so the queue never holds more entries than there are members.
"""

from __future__ import annotations

import math

import msgspec

from grid.membership.messages import UPDATES_BYTES_MAX, MemberRecord
from grid.types import NodeId

_encoder = msgspec.msgpack.Encoder()


def record_bytes(record: MemberRecord) -> int:
    """Return the size of one record on the wire."""
    return len(_encoder.encode(record))


def chunks(records: list[MemberRecord]) -> list[list[MemberRecord]]:
    """Cut a member list into slices that each fit one datagram; at least one, maybe empty."""
    slices: list[list[MemberRecord]] = [[]]
    room = UPDATES_BYTES_MAX
    for record in records:
        size = record_bytes(record)
        if size > room and slices[-1]:
            slices.append([])
            room = UPDATES_BYTES_MAX
        slices[-1].append(record)
        room -= size
    return slices


class Dissemination:
    """The queue of updates still worth telling."""

    def __init__(self) -> None:
        """Start with nothing to tell."""
        self._sent_counts: dict[NodeId, tuple[MemberRecord, int]] = {}

    def add(self, record: MemberRecord) -> None:
        """Tell `record` from now on instead of anything older about that member."""
        self._sent_counts[record.node_id] = (record, 0)

    def take(self, member_count: int) -> list[MemberRecord]:
        """Return the updates for one datagram and count them as sent once more."""
        limit = 3 * math.ceil(math.log(member_count + 1))
        room = UPDATES_BYTES_MAX
        chosen: list[MemberRecord] = []
        for record, sent_count in sorted(self._sent_counts.values(), key=lambda pair: pair[1]):
            size = record_bytes(record)
            if size > room:
                continue
            room -= size
            chosen.append(record)
            if sent_count + 1 >= limit:
                del self._sent_counts[record.node_id]
            else:
                self._sent_counts[record.node_id] = (record, sent_count + 1)
        return chosen
