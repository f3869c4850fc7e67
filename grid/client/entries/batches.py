"""How many entries are cut into messages, so that memory stays bounded on both sides.

A *batch* is what is taken from the caller's iterable at a time; a *portion* of it is sent at once,
to all storage processes together; where its entries are large it is cut once more.

Not here: the messages themselves (``map_operations.py``), who is sent what
(``requests/rounds.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

BATCH_ENTRIES = 10_000
"""Entries taken from an iterable at a time."""

PORTION_BYTES = 4 * 1024 * 1024
"""Entries are sent in messages of about this size ..."""

PORTION_ENTRIES_MIN, PORTION_ENTRIES_MAX = 256, 2_048
"""... or this number of entries for each storage process. Two portions at least, if each has
enough, so that a storage process carries out the one while the client encodes the other."""


def key_batches_of(keys: Iterable[Any]) -> Iterable[list[Any]]:
    """Yield up to `BATCH_ENTRIES` of the keys at a time."""
    keys = iter(keys)
    while batch := list(islice(keys, BATCH_ENTRIES)):
        yield batch


def batches_of(
    entries: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
) -> Iterable[tuple[list[Any], list[Any]]]:
    """Yield keys and values of up to `BATCH_ENTRIES` at a time, no key twice in a batch."""
    if type(entries) is dict and len(entries) <= BATCH_ENTRIES:
        yield list(entries), list(entries.values())
        return
    pairs = iter(entries.items() if isinstance(entries, Mapping) else entries)
    while batch := dict(islice(pairs, BATCH_ENTRIES)):
        yield list(batch), list(batch.values())


def portions_of(count: int, target_count: int) -> Sequence[slice]:
    """Cut a batch of `count` entries into portions for so many storage processes."""
    least = PORTION_ENTRIES_MIN * target_count
    if count <= least:
        return (slice(0, count),)
    size = min(max((count + 1) // 2, least), PORTION_ENTRIES_MAX * target_count)
    return [slice(start, start + size) for start in range(0, count, size)]


def parts_of(sizes: Sequence[int]) -> Iterable[slice]:
    """Cut a portion of items of these sizes into slices of about `PORTION_BYTES`."""
    start = end = size_bytes = 0
    for end, size in enumerate(sizes, 1):
        size_bytes += size
        if size_bytes >= PORTION_BYTES:
            yield slice(start, end)
            start, size_bytes = end, 0
    if start < end:
        yield slice(start, end)


def chosen_of(
    indexes: Sequence[int], partitions: list[int], datas: list[bytes]
) -> tuple[list[int], list[bytes]]:
    """Return the chosen partitions and keys; the given lists themselves if all are."""
    if len(indexes) == len(datas):
        return partitions, datas
    return [partitions[index] for index in indexes], [datas[index] for index in indexes]
