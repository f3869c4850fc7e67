"""Which workers may send a large result to their node now.

A result waits in its worker until its submitter takes what the node has for it already: so a node
holds a bounded number of bytes for each submitter, however many workers it has and however slowly
the submitter reads.

Responsible for: who has asked, who has leave, in the order of asking for each submitter.

Not responsible for: small results, which are sent unasked; how many bytes a connection holds
(``transport/stream.py``), and so whether a submitter is behind.
"""

from __future__ import annotations

from collections.abc import Hashable

LEAVE_BYTES_MAX = 64 * 1024 * 1024
"""Of results on their way from workers at a time, for one submitter; a single one always fits."""


class ResultRoom:
    """The workers of one node that have, or wait for, leave to send."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._waiting: dict[int, tuple[Hashable, int]] = {}
        self._leave: dict[int, tuple[Hashable, int]] = {}
        self._behind: set[Hashable] = set()

    def ask(self, worker: int, submitter: Hashable, result_bytes: int) -> list[int]:
        """A worker has a large result; return who may send now."""
        self._waiting[worker] = submitter, result_bytes
        return self._give(submitter)

    def over(self, worker: int) -> list[int]:
        """A worker's result has come, or the worker is gone; return who may send now."""
        self._waiting.pop(worker, None)
        leave = self._leave.pop(worker, None)
        return [] if leave is None else self._give(leave[0])

    def behind(self, submitter: Hashable) -> None:
        """A submitter does not take what it is sent."""
        self._behind.add(submitter)

    def caught_up(self, submitter: Hashable) -> list[int]:
        """It does again, or is gone, and what it is sent is dropped; return who may send now."""
        self._behind.discard(submitter)
        return self._give(submitter)

    def _give(self, submitter: Hashable) -> list[int]:
        if submitter in self._behind:
            return []
        on_their_way = sum(size for whose, size in self._leave.values() if whose == submitter)
        given = []
        for worker, (whose, size) in list(self._waiting.items()):
            if whose != submitter:
                continue
            if on_their_way and on_their_way + size > LEAVE_BYTES_MAX:
                break
            on_their_way += size
            self._leave[worker] = self._waiting.pop(worker)
            given.append(worker)
        return given
