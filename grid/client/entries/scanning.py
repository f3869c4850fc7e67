"""Iteration over a map, page after page, in constant memory; without I/O.

Each partition is seen as it was when the iteration reached it, and each entry once, also when
partitions move meanwhile: a partition whose pages are interrupted is begun again at its new owner,
without the keys that were delivered already (they are kept for that one partition).

Not here: the snapshots (``storage/scans.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from grid.client.requests.core import Core
from grid.client.requests.routing import Target
from grid.client.requests.steps import Ask, Lost, Operation
from grid.errors import OperationTimeoutError
from grid.storage.messages import Page, Refused, Scan
from grid.types import PARTITION_COUNT


class Scanning:
    """One iteration."""

    def __init__(
        self,
        core: Core,
        map_name: str,
        *,
        with_values: bool,
        partitions: Iterable[int] = range(PARTITION_COUNT),
    ) -> None:
        """Begin at the first of `partitions`."""
        self._core = core
        self._map_name = map_name
        self._with_values = with_values
        self._remaining = list(partitions)
        self._asked: list[int] = []
        """The partitions of the open scan that are not finished, in its order."""
        self._target: Target | None = None
        self._scan = 0
        self._delivered: set[bytes] = set()
        """Keys of the unfinished partition that the caller has."""

    def next_page(self) -> Operation[tuple[list[bytes], list[bytes]] | None]:
        """Return keys and records of the next page (without values no records); None at the end.

        Raises: PartitionLostError; OperationTimeoutError; OperationError.
        """
        deadline_s = self._core.deadline()
        attempt = 0
        while self._remaining:
            routing = self._core.routing
            reason = ""
            if not self._scan:
                reason = yield from self._aim()
            if self._target is not None:
                begun = [] if self._scan else [(p, routing.epochs[p]) for p in self._asked]
                request = Scan(
                    self._core.next_number(),
                    self._map_name,
                    begun,
                    self._scan,
                    self._with_values,
                )
                result = yield Ask(self._target, request, deadline_s)
                if type(result) is Page:
                    return self._taken(result)
                reason = _why(result)
            self._scan, self._target = 0, None
            if self._delivered:
                # Go on with the partition they belong to, wherever it is now.
                self._remaining.remove(self._asked[0])
                self._remaining.insert(0, self._asked[0])
            yield from self._core.before_next_try(routing, deadline_s, attempt, reason)
            attempt += 1
        return None

    def _aim(self) -> Operation[str]:
        """Choose the storage process of the first remaining partition, for all it has of them.

        Returns: why there is none now. Raises: PartitionLostError.
        """
        routing = self._core.routing
        self._target = routing.targets[self._remaining[0]]
        if self._target is None:
            return (yield from self._core.why_unserved(routing, self._remaining[0]))
        targets = routing.targets
        self._asked = [p for p in self._remaining if targets[p] is self._target]
        return ""

    def _taken(self, page: Page) -> tuple[list[bytes], list[bytes]]:
        """Note what has been delivered; leave out what was delivered before."""
        keys, records = page.keys, page.records
        trailing = keys[len(keys) - page.trailing :] if page.scan else []
        known = self._delivered
        if known and not known.isdisjoint(keys):
            is_new = [key not in known for key in keys]
            if records:
                records = [r for r, new in zip(records, is_new, strict=True) if new]
            keys = [k for k, new in zip(keys, is_new, strict=True) if new]
        finished = set(self._asked[: page.finished] if page.scan else self._asked)
        if finished:
            self._delivered = set()
            self._remaining = [p for p in self._remaining if p not in finished]
            self._asked = self._asked[page.finished :]
        self._delivered.update(trailing)
        self._scan = page.scan
        if not page.scan:
            self._target = None
        return keys, records


def _why(result: object) -> str:
    """Return why there is no page, for the next try.

    Raises: OperationTimeoutError when there is no time for one.
    """
    if isinstance(result, Lost):
        if result.is_late:
            raise OperationTimeoutError(f"no page in time ({result.reason})", "not_applied")
        return result.reason
    return f"the scan was refused: {cast(Refused, result).reason.name}"
