"""No two writes to a partition ever have one version, and later ones have higher versions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from grid.storage.messages import (
    Clear,
    Condition,
    Delete,
    Done,
    Increment,
    PutAll,
    Request,
    Take,
    TakeAny,
)
from grid.storage.record import pack_version
from grid.storage.store import Store

from .samples import (
    MAP,
    plain_put,
    put,
    put_all,
    put_if,
    record_in,
    remove_all,
    store_serving,
    version_in,
)

WRITES: dict[str, Callable[[int], Request]] = {
    "Put": lambda epoch: plain_put(b"k", epoch=epoch),
    "PutIf": lambda epoch: put_if(b"k", epoch=epoch),
    "PutIf with ttl": lambda epoch: put_if(b"k", epoch=epoch, ttl_ms=5_000),
    "Increment": lambda epoch: Increment(1, MAP, 1, epoch, b"k", 1),
    "PutAll": lambda epoch: put_all((1, b"k", b"v"), epochs=[(1, epoch)]),
}


def written(store: Store, name: str, epoch: int = 1) -> bytes:
    """Write an entry in one of the ways and return its version."""
    if name == "Increment":
        store.handle(Delete(1, MAP, 1, epoch, b"k", b""))
    request = WRITES[name](epoch)
    reply = store.handle(request)
    if isinstance(request, Increment):
        assert record_in(reply)[:8] == version_in(store, b"k", epoch=epoch)
    else:
        assert isinstance(reply, Done)
        assert reply.count == 1
        version = int.from_bytes(version_in(store, b"k", epoch=epoch), "big")
        assert reply.version == (0 if isinstance(request, PutAll) else version)
    return version_in(store, b"k", epoch=epoch)


def test_every_kind_of_write_gets_a_higher_version() -> None:
    store = store_serving(1)
    versions = [written(store, name) for name in [*WRITES, *WRITES]]
    assert versions == sorted(set(versions))


REMOVALS: dict[str, Request] = {
    "Delete": Delete(1, MAP, 1, 1, b"k", b""),
    "Take": Take(1, MAP, 1, 1, b"k"),
    "TakeAny": TakeAny(1, MAP, [(1, 1)]),
    "RemoveAll": remove_all((1, b"k")),
    "Clear": Clear(1, MAP, [(1, 1)]),
}


@pytest.mark.parametrize("name", REMOVALS)
def test_removal_counts_as_a_write_of_its_partition(name: str) -> None:
    store = store_serving(1)
    put(store, b"k")
    store.handle(REMOVALS[name])
    assert store.partitions.by_id[1].sequence == 2
    put(store, b"k")
    assert version_in(store, b"k") == pack_version(1, 3)


@pytest.mark.parametrize("name", REMOVALS)
def test_removal_of_what_is_not_there_uses_up_no_version(name: str) -> None:
    store = store_serving(1)
    store.handle(REMOVALS[name])
    assert store.partitions.by_id[1].sequence == 0


@pytest.mark.parametrize("remove", [Take(1, MAP, 1, 1, b"k"), Clear(1, MAP, [(1, 1)])])
def test_versions_do_not_begin_again_when_an_entry_or_its_map_is_removed(remove: Request) -> None:
    store = store_serving(1)
    put(store, b"k")
    first = version_in(store, b"k")
    store.handle(remove)
    put(store, b"k")
    assert version_in(store, b"k") > first


def test_versions_go_on_increasing_when_the_epoch_changes() -> None:
    store = store_serving(1)
    versions = []
    for epoch in (1, 2, 5, 9):
        store.serve({1: epoch})
        versions += [written(store, name, epoch) for name in WRITES]
    assert versions == sorted(set(versions))


def test_entry_keeps_its_version_when_the_epoch_changes() -> None:
    store = store_serving(1)
    put(store, b"k")
    version = version_in(store, b"k")
    store.serve({1: 2})
    assert version_in(store, b"k", epoch=2) == version
    assert store.handle(Delete(1, MAP, 1, 2, b"k", version)) == Done(1, 1, (2 << 40) + 2)


@pytest.mark.parametrize(
    "gives_up", [lambda store: store.release([1]), lambda store: store.serve({})]
)
def test_partition_that_comes_back_with_the_same_epoch_repeats_no_version(
    gives_up: Callable[[Store], object],
) -> None:
    store = store_serving(1)
    put(store, b"k", b"old")
    old = version_in(store, b"k")
    store.handle(Delete(1, MAP, 1, 1, b"k", b""))
    gives_up(store)
    store.serve({1: 1})
    put(store, b"k", b"new")
    assert version_in(store, b"k") > old
    assert store.handle(put_if(b"k", b"x", Condition.SAME, old)) == Done(1, 0)
    assert store.handle(Delete(1, MAP, 1, 1, b"k", old)) == Done(1, 0)


def test_entries_of_one_batch_have_one_version_in_each_partition() -> None:
    store = store_serving(1, 2)
    put(store, b"a", partition=2)
    store.handle(put_all((1, b"a", b""), (1, b"b", b""), (2, b"a", b""), (2, b"b", b"")))
    assert version_in(store, b"a") == version_in(store, b"b")
    assert version_in(store, b"a", partition=2) == version_in(store, b"b", partition=2)
    before = version_in(store, b"a")
    store.handle(put_all((1, b"b", b"")))
    assert version_in(store, b"b") > before == version_in(store, b"a")


def test_what_is_not_written_uses_up_no_version() -> None:
    store = store_serving(1)
    put(store, b"k")
    for condition in (Condition.ABSENT, Condition.SAME):
        store.handle(put_if(b"k", b"x", condition))
    store.handle(put_if(b"other", b"x", Condition.PRESENT))
    store.handle(Increment(1, MAP, 1, 1, b"k", 1))
    first = int.from_bytes(version_in(store, b"k"), "big")
    put(store, b"k")
    assert int.from_bytes(version_in(store, b"k"), "big") == first + 1
