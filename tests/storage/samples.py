"""Stores to test with."""

from __future__ import annotations

from grid.storage.messages import (
    Condition,
    Done,
    Epochs,
    Found,
    FoundLarge,
    Get,
    GetAll,
    Missing,
    Page,
    Put,
    PutAll,
    PutIf,
    RemoveAll,
    Reply,
    Scan,
)
from grid.storage.options import StorageOptions
from grid.storage.record import VERSION_BYTES
from grid.storage.replies import Held
from grid.storage.store import Store

MAP = "m"


class Clock:
    """Goes only when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def store_serving(
    *partition_ids: int,
    epoch: int = 1,
    value_bytes_max: int = 1 << 26,
    clock: Clock | None = None,
) -> Store:
    options = StorageOptions(key_bytes_max=16, value_bytes_max=value_bytes_max)
    store = Store(options, clock or Clock())
    store.serve(dict.fromkeys(partition_ids, epoch))
    return store


def put(
    store: Store, key: bytes, value: bytes = b"v", *, partition: int = 1, ttl_ms: int = 0
) -> None:
    request = put_if(key, value, partition=partition, ttl_ms=ttl_ms)
    assert is_stored(store.handle(request))


def is_stored(reply: Reply | Held, count: int = 1) -> bool:
    """Tell whether a reply says that one entry was written, and under which version."""
    return isinstance(reply, Done) and reply.count == count and reply.version > 0


def put_if(
    key: bytes,
    value: bytes = b"v",
    condition: Condition = Condition.ALWAYS,
    version: bytes = b"",
    *,
    partition: int = 1,
    epoch: int = 1,
    ttl_ms: int = 0,
) -> PutIf:
    return PutIf(1, MAP, partition, epoch, key, condition, version, ttl_ms, memoryview(value))


def get_all(*wanted: tuple[int, bytes], epochs: Epochs | None = None) -> GetAll:
    return GetAll(1, MAP, *_batch(wanted, epochs))


def remove_all(*wanted: tuple[int, bytes], epochs: Epochs | None = None) -> RemoveAll:
    return RemoveAll(1, MAP, *_batch(wanted, epochs))


def put_all(
    *entries: tuple[int, bytes, bytes], epochs: Epochs | None = None, ttl_ms: int = 0
) -> PutAll:
    batch = _batch(tuple((p, key) for p, key, _ in entries), epochs)
    return PutAll(1, MAP, *batch, [value for _, _, value in entries], ttl_ms)


def _batch(
    wanted: tuple[tuple[int, bytes], ...], epochs: Epochs | None
) -> tuple[Epochs, int, bytes, list[bytes]]:
    """Return the part that all batches have; `epochs` by default those that are needed."""
    if epochs is None:
        epochs = [(p, 1) for p in dict(wanted)]
    return epochs, 0, bytes(p for p, _ in wanted), [key for _, key in wanted]


def record_in(reply: Reply | Held) -> bytes:
    """Return the record of a reply that must have one."""
    assert isinstance(reply, Found | FoundLarge)
    return bytes(reply.record)


def record_of(store: Store, key: bytes, *, partition: int = 1, epoch: int = 1) -> bytes | None:
    """Return what is stored under a key."""
    reply = store.handle(Get(1, MAP, partition, epoch, key))
    return None if reply == Missing(1) else record_in(reply)


def value_of(store: Store, key: bytes, *, partition: int = 1, epoch: int = 1) -> bytes | None:
    """Return the value stored under a key."""
    record = record_of(store, key, partition=partition, epoch=epoch)
    return None if record is None else record[VERSION_BYTES:]


def version_in(store: Store, key: bytes, *, partition: int = 1, epoch: int = 1) -> bytes:
    """Return the version of an entry that must be there."""
    record = record_of(store, key, partition=partition, epoch=epoch)
    assert record is not None
    return record[:VERSION_BYTES]


def page(
    store: Store, scan: int = 0, *, with_values: bool = True, epochs: Epochs | None = None
) -> Page:
    """Return the next page of a scan; it must not be refused."""
    if epochs is None:
        epochs = [] if scan else [(1, 1)]
    reply = store.handle(Scan(9, MAP, epochs, scan, with_values))
    assert isinstance(reply, Page)
    return reply


def contents(store: Store, partition: int = 1, epoch: int = 1) -> dict[bytes, bytes]:
    """Return a partition's values by scanning it to the end."""
    found: dict[bytes, bytes] = {}
    reply = page(store, epochs=[(partition, epoch)])
    while True:
        for key, record in zip(reply.keys, reply.records, strict=True):
            found[key] = record[VERSION_BYTES:]
        if not reply.scan:
            return found
        reply = page(store, reply.scan)


def plain_put(key: bytes, value: bytes = b"v", *, partition: int = 1, epoch: int = 1) -> Put:
    return Put(1, MAP, partition, epoch, key, value)
