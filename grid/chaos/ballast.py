"""Entries that only lie there: they make filling a node take a while, and must not go missing.

Each is written once, and a backup has it when that returns; so no single failure loses any. What a
lost partition took along is given up.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from grid.chaos.keyspace import KEY_BYTES_MAX
from grid.chaos.target import Entries
from grid.wire.keys import encode_key

MAP = "chaos-ballast"
CHUNK = 2_000
VALUE_CHARACTERS = 100


class Ballast:
    """A number of entries in a map of their own."""

    def __init__(self, entries: Entries, count: int) -> None:
        """Nothing is written yet."""
        self._entries = entries
        self._count = count

    def fill(self) -> None:
        """Write all entries."""
        for keys in self._chunks():
            self._entries.put_all({key: _value_of(key) for key in keys}, ack="backup")

    def missing(self, given_up: Container[int]) -> list[str]:
        """Return the keys that are not there as they were, but for partitions `given_up`."""
        found: list[str] = []
        for keys in self._chunks():
            there = self._entries.get_all(keys)
            found += [
                key
                for key in keys
                if there.get(key) != _value_of(key)
                and encode_key(key, KEY_BYTES_MAX)[0] not in given_up
            ]
        return found

    def _chunks(self) -> Iterator[list[str]]:
        for start in range(0, self._count, CHUNK):
            yield [f"ballast-{n}" for n in range(start, min(start + CHUNK, self._count))]


def _value_of(key: str) -> str:
    return key.ljust(VALUE_CHARACTERS, ".")
