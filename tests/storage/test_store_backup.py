"""Writes that wait for a backup, reads of what they wrote, barriers, and what survived."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from grid.storage.messages import (
    Clear,
    Condition,
    Delete,
    Done,
    Flush,
    Found,
    Get,
    Increment,
    Missing,
    Put,
    RefusalReason,
    Refused,
    Request,
    Survived,
    Take,
    WithBackup,
)
from grid.storage.replies import Held
from grid.storage.store import Store

from .outlets import confirm, is_over, protect
from .samples import (
    MAP,
    contents,
    get_all,
    is_stored,
    plain_put,
    put,
    put_all,
    put_if,
    record_of,
    remove_all,
    store_serving,
)

GET = Get(1, MAP, 1, 1, b"k")

WRITES: dict[str, Request] = {
    "Put": plain_put(b"k"),
    "PutIf": put_if(b"k"),
    "Delete": Delete(1, MAP, 1, 1, b"k", b""),
    "Take": Take(1, MAP, 1, 1, b"k"),
    "Increment": Increment(1, MAP, 1, 1, b"k", 1),
    "PutAll": put_all((1, b"k", b"new"), (1, b"l", b"new")),
    "RemoveAll": remove_all((1, b"k"), (1, b"x")),
}


def with_backup(request: Request) -> WithBackup:
    return WithBackup(request)  # type: ignore[arg-type]  # Only writes are given.


@pytest.fixture(name="store")
def fixture_store() -> Store:
    """A store where `k` is a number that the backup has."""
    store = store_serving(1, 2)
    put(store, b"k", b"\x01\x05")
    confirm(store)
    protect(store, 1)
    return store


def held_of(store: Store, request: Request) -> Held:
    reply = store.handle(request)
    assert isinstance(reply, Held)
    return reply


@pytest.mark.parametrize("name", WRITES)
def test_write_is_answered_when_the_copies_have_it(name: str, store: Store) -> None:
    twin = store_serving(1, 2)
    put(twin, b"k", b"\x01\x05")
    held = held_of(store, with_backup(WRITES[name]))
    assert held.reply == twin.handle(WRITES[name])
    assert contents(store) == contents(twin)
    assert not is_over(held)
    confirm(store)
    assert is_over(held)


@pytest.mark.parametrize("name", WRITES)
def test_write_without_a_complete_backup_is_refused_and_changes_nothing(
    name: str, store: Store
) -> None:
    store.partitions.by_id[1].is_protected = False
    before = store.partitions.by_id[1].sequence
    refused = Refused(1, RefusalReason.NO_BACKUP, 1)
    assert store.handle(with_backup(WRITES[name])) == refused
    assert store.partitions.by_id[1].sequence == before
    assert contents(store) == {b"k": b"\x01\x05"}


def test_batch_is_refused_whole_where_one_partition_has_no_backup(store: Store) -> None:
    batch = put_all((1, b"a", b"1"), (2, b"b", b"2"))
    assert store.handle(with_backup(batch)) == Refused(1, RefusalReason.NO_BACKUP, 2)
    assert (contents(store), contents(store, 2)) == ({b"k": b"\x01\x05"}, {})
    protect(store, 2)
    held = held_of(store, with_backup(batch))
    confirm(store, 1)
    assert not is_over(held)
    confirm(store, 2)
    assert is_over(held)


@pytest.mark.parametrize(
    "request_",
    [plain_put(b"k", epoch=2), put_all((3, b"k", b"")), put_if(b"k" * 17), plain_put(b"k" * 17)],
)
def test_what_is_refused_otherwise_is_refused_at_once(request_: Request, store: Store) -> None:
    reply = store.handle(with_backup(request_))
    assert isinstance(reply, Refused)
    assert reply.reason is not RefusalReason.NO_BACKUP
    assert store.partitions.by_id[1].unconfirmed == {}


def test_write_that_changes_nothing_waits_for_what_it_saw(store: Store) -> None:
    replace = put_if(b"x", condition=Condition.PRESENT)
    assert store.handle(with_backup(replace)) == Done(1, 0)
    put(store, b"x")
    delete = Delete(1, MAP, 1, 1, b"y", b"")
    held = held_of(store, with_backup(delete))
    assert held.reply == Done(1, 0)
    assert store.partitions.by_id[1].unconfirmed == {}
    confirm(store)
    assert is_over(held)


# -- reads ------------------------------------------------------------------------------------

READS: dict[str, Request] = {
    "Get": GET,
    "GetAll": get_all((1, b"k"), (2, b"k"), (1, b"x")),
    "put_if_absent": put_if(b"k", condition=Condition.ABSENT),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("write", ["Put", "PutIf", "Increment", "PutAll"])
def test_reader_waits_for_a_write_whose_writer_waits(name: str, write: str, store: Store) -> None:
    store.handle(with_backup(WRITES[write]))
    held = held_of(store, READS[name])
    assert not is_over(held)
    confirm(store)
    assert is_over(held)
    assert store.handle(READS[name]) == held.reply
    assert store.partitions.by_id[1].unconfirmed == {}


@pytest.mark.parametrize("write", ["Delete", "Take", "RemoveAll"])
def test_reader_of_what_is_gone_waits_as_well(write: str, store: Store) -> None:
    store.handle(with_backup(WRITES[write]))
    assert held_of(store, GET).reply == Missing(1)
    confirm(store)
    assert store.handle(GET) == Missing(1)


def test_reader_of_other_entries_does_not_wait(store: Store) -> None:
    put(store, b"other")
    store.handle(with_backup(plain_put(b"k")))
    assert store.handle(Get(1, MAP, 1, 1, b"other")) == Found(1, record_of(store, b"other") or b"")
    assert store.handle(Get(1, "another map", 1, 1, b"k")) == Missing(1)
    assert not isinstance(store.handle(get_all((1, b"other"), (2, b"k"))), Held)


@pytest.mark.parametrize("name", WRITES)
def test_reader_does_not_wait_for_the_newer_write_of_one_who_does_not(
    name: str, store: Store
) -> None:
    store.handle(with_backup(plain_put(b"k", b"\x01\x05")))
    assert not isinstance(store.handle(WRITES[name]), Held)
    assert not isinstance(store.handle(GET), Held)


@pytest.mark.parametrize("count", [1, 2])
def test_reader_waits_for_the_latest_write_only(count: int, store: Store) -> None:
    held = [held_of(store, with_backup(plain_put(key))) for key in (b"k", b"l", b"k")[: count + 1]]
    last = store.partitions.by_id[1].sequence
    confirm(store, 1, last - 1)
    assert [is_over(one) for one in held] == [True] * count + [False]
    assert isinstance(store.handle(Get(1, MAP, 1, 1, (b"l", b"k")[count - 1])), Held)
    assert len(store.partitions.by_id[1].unconfirmed) == 1


def test_cleared_map_is_waited_for_by_nobody(store: Store) -> None:
    store.handle(with_backup(plain_put(b"k")))
    store.handle(WithBackup(Put(2, "other", 1, 1, b"k", b"v")))
    store.handle(Clear(1, MAP, [(1, 1)]))
    assert store.handle(GET) == Missing(1)
    assert isinstance(store.handle(Get(1, "other", 1, 1, b"k")), Held)


# -- barriers ---------------------------------------------------------------------------------


def test_flush_waits_for_all_that_was_written_before(store: Store) -> None:
    protect(store, 2)
    flush = Flush(5, [(1, 1), (2, 1)])
    assert store.handle(flush) == Done(5, 0)
    put(store, b"a")
    put(store, b"a", partition=2)
    held = held_of(store, flush)
    put(store, b"later")
    confirm(store, 1, store.partitions.by_id[1].sequence - 1)
    assert not is_over(held)
    confirm(store, 2)
    assert is_over(held)
    assert held.reply == Done(5, 0)


def test_flush_is_refused_where_a_backup_is_missing_and_should_not(store: Store) -> None:
    flush = Flush(5, [(1, 1), (2, 1)])
    assert store.handle(flush) == Refused(5, RefusalReason.NO_BACKUP, 2)
    store.protects = False
    put(store, b"a")
    assert store.handle(flush) == Done(5, 0)
    assert store.handle(Flush(5, [(1, 2)])) == Refused(5, RefusalReason.WRONG_EPOCH, 1)


# -- what survived ----------------------------------------------------------------------------

Change = Callable[[Store], None]


def survived(store: Store, version: int, epoch: int) -> bool:
    reply = store.handle(Survived(3, 1, epoch, version))
    assert isinstance(reply, Done)
    return bool(reply.count)


def test_write_survives_unless_a_later_epoch_began_without_it() -> None:
    store = store_serving(1)
    versions = []
    for _ in range(4):
        reply = store.handle(plain_put(b"k"))
        assert isinstance(reply, Done)
        versions.append(reply.version)
    held = store.partitions.by_id[1]
    assert [survived(store, version, 1) for version in versions] == [True] * 4
    store.serve({1: 2})  # Nobody else has been primary.
    assert [survived(store, version, 2) for version in versions] == [True] * 4
    held.sequence = 2  # As a copy that had no more.
    held.begin_epoch(3)
    store.partitions.changed()
    assert [survived(store, version, 3) for version in versions] == [True, True, False, False]
    assert is_stored(store.handle(plain_put(b"k", epoch=3)))
    held.begin_epoch(4)
    store.partitions.changed()
    assert survived(store, (3 << 40) + 3, 4)
    assert [survived(store, version, 4) for version in versions] == [True, True, False, False]


def test_version_of_a_write_is_asked_of_its_partitions_primary() -> None:
    store = store_serving(1)
    wrong_epoch = Refused(3, RefusalReason.WRONG_EPOCH, 1)
    assert store.handle(Survived(3, 1, 2, 0)) == wrong_epoch
    assert store.handle(Survived(3, 2, 1, 0)) == Refused(3, RefusalReason.NOT_OWNER, 2)


def test_partition_that_began_empty_has_none_of_the_older_writes() -> None:
    store = store_serving(1, epoch=5)
    assert not survived(store, (4 << 40) + 1, 5)
