"""Stores to test with."""

from __future__ import annotations

from grid.storage.messages import Page, Scan
from grid.storage.options import StorageOptions
from grid.storage.store import Store

MAP = "m"


def store_serving(*partition_ids: int, epoch: int = 1, value_bytes_max: int = 1 << 26) -> Store:
    store = Store(StorageOptions(key_bytes_max=16, value_bytes_max=value_bytes_max))
    store.serve(dict.fromkeys(partition_ids, epoch))
    return store


def page(store: Store, scan: int = 0, *, with_values: bool = True, partition: int = 1) -> Page:
    """Return the next page of a scan; it must not be refused."""
    reply = store.handle(Scan(9, MAP, partition, 1, scan, with_values))
    assert isinstance(reply, Page)
    return reply


def contents(store: Store, partition: int = 1) -> dict[bytes, bytes]:
    """Return a partition's entries by scanning it to the end."""
    found: dict[bytes, bytes] = {}
    scan = 0
    while True:
        reply = page(store, scan, partition=partition)
        found |= zip(reply.keys, reply.values, strict=True)
        scan = reply.scan
        if not scan:
            return found
