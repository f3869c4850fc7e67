"""Which updates ride on the next datagram (SWIM section 4.1).

Each update is sent at most ``3 * ceil(ln(n + 1))`` times; those sent fewest times go first;
one byte budget bounds what a datagram carries. News about a member replaces the older news,
except that suspicions by different accusers travel side by side: they confirm each other.
So the queue holds at most a handful of entries per member.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from grid.membership.messages import UPDATES_BYTES_MAX, MemberRecord, MemberState
from grid.types import NodeId

_encoder = msgspec.msgpack.Encoder()


def record_bytes(record: MemberRecord) -> int:
    """Return the size of one record on the wire."""
    return len(_encoder.encode(record))


@dataclass(slots=True)
class _Update:
    record: MemberRecord
    size_bytes: int
    sent_count: int = 0


class Dissemination:
    """The queue of updates still worth telling."""

    def __init__(self) -> None:
        """Start with nothing to tell."""
        self._updates: dict[tuple[NodeId, bytes], _Update] = {}
        self._accusers: dict[NodeId, set[bytes]] = {}

    def __len__(self) -> int:
        """Return how many updates wait."""
        return len(self._updates)

    def add(self, record: MemberRecord) -> None:
        """Tell `record` from now on instead of anything older about that member.

        A record too large for any datagram is not queued: it spreads by push/pull alone.
        """
        is_suspicion = record.state is MemberState.SUSPECT
        if not is_suspicion:
            self._drop(record.node_id)
        size = record_bytes(record)
        if size > UPDATES_BYTES_MAX:
            return
        accuser = record.accuser if is_suspicion else b""
        if is_suspicion:
            # What was said before of its being alive is void.
            self._updates.pop((record.node_id, b""), None)
            self._accusers.setdefault(record.node_id, set()).add(accuser)
        self._updates[record.node_id, accuser] = _Update(record, size)

    def take(self, member_count: int, first: MemberRecord | None = None) -> list[MemberRecord]:
        """Return the updates for one datagram and count them as sent once more.

        `first` goes in any case, outside the count: what the receiver must hear of itself.
        """
        chosen: list[MemberRecord] = []
        room = UPDATES_BYTES_MAX
        if first is not None and (size := record_bytes(first)) <= room:
            chosen.append(first)
            room -= size
        if not self._updates:
            return chosen
        limit = 3 * math.ceil(math.log(member_count + 1))
        waiting = list(self._updates.items())
        if len(waiting) > 1:
            waiting.sort(key=lambda item: item[1].sent_count)
        for key, update in waiting:
            if update.size_bytes > room or update.record == first:
                continue
            room -= update.size_bytes
            chosen.append(update.record)
            update.sent_count += 1
            if update.sent_count >= limit:
                self._forget(key)
        return chosen

    def _drop(self, node_id: NodeId) -> None:
        self._updates.pop((node_id, b""), None)
        for accuser in self._accusers.pop(node_id, ()):
            self._updates.pop((node_id, accuser), None)

    def _forget(self, key: tuple[NodeId, bytes]) -> None:
        del self._updates[key]
        node_id, accuser = key
        accusers = self._accusers.get(node_id)
        if accusers is not None:
            accusers.discard(accuser)
            if not accusers:
                del self._accusers[node_id]
