"""A copy that gets a primary's changes is equal to it, from whatever moment it was filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.storage import applying
from grid.storage.applying import (
    PAGE_BYTES,
    PAGE_ENTRIES,
    Page,
    apply,
    digest_of,
    pages_of,
    results_of,
    take_page,
    take_results,
)
from grid.storage.changes import AnyChange, Change, Changes, Cleared
from grid.storage.messages import (
    LARGE_VALUE_BYTES,
    Clear,
    Condition,
    Delete,
    Done,
    Increment,
    Put,
    PutAll,
    PutIf,
    RemoveAll,
    Request,
    Take,
    TakeAny,
)
from grid.storage.partition import Partition
from grid.storage.results import RESULTS_KEPT
from grid.storage.store import Store

from .outlets import Notes
from .samples import Clock, store_serving

CLIENTS = (b"client-of-16-byt", b"another-16-bytes", b"")


_decode: Callable[[bytes], AnyChange] = msgspec.msgpack.Decoder(AnyChange).decode


class Copy:
    """A copy of partitions 1 and 2, and what it takes of what their primary is told to tell."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.held: dict[int, Partition] = {}
        self.pages: dict[int, Iterator[tuple[Page, int]]] = {}

    @property
    def destination(self) -> object:
        return self

    def append(self, change: Change, size_bytes: int, at_risk: int) -> None:
        self.take(change)

    def append_many(self, change: Changes | Cleared, size_bytes: int, at_risk: int) -> None:
        self.take(change)

    def take(self, change: AnyChange) -> None:
        encoded = msgspec.msgpack.encode(change)
        apply(_decode(encoded), self.admit, self.clock())

    def admit(self, p: int, epoch: int, before: int) -> Partition | None:
        held = self.held[p]
        assert before == held.sequence
        return held

    def begin(self, p: int) -> None:
        """Begin a fill: from now on changes are told."""
        primary = self.store.partitions.by_id[p]
        self.held[p] = Partition(primary.epoch, primary.sequence, p)
        self.pages[p] = pages_of(primary, self.clock)
        primary.outlets = (self,)

    def fill_on(self, p: int) -> bool:
        """Take the next page; return whether the fill has ended."""
        cut = next(self.pages[p], None)
        if cut is not None:
            take_page(self.held[p], cut[0], self.clock())
            return False
        take_results(self.held[p], results_of(self.store.partitions.by_id[p]))
        return True

    def fill(self, p: int) -> None:
        self.begin(p)
        while not self.fill_on(p):
            pass

    def check(self, p: int) -> None:
        """Compare all there is."""
        primary, copy = self.store.partitions.by_id[p], self.held[p]
        assert copy.sequence == primary.sequence
        assert digest_of(copy) == digest_of(primary)
        filled = {name: table for name, table in primary.tables.items() if table.records}
        assert {n for n, table in copy.tables.items() if table.records} == filled.keys()
        for name, table in filled.items():
            assert copy.table(name).records == table.records
            dates = {} if table.expiries is None else table.expiries._dates
            theirs = copy.table(name).expiries
            copied = {} if theirs is None else theirs._dates
            assert copied.keys() == dates.keys()
            assert all(abs(copied[key] - dates[key]) <= 0.001 for key in dates)
        for client, known in primary.results.clients.items():
            written = {n: r for n, r in known.results.items() if getattr(r, "count", 1)}
            theirs_known = copy.results.of(client)
            for number, result in written.items():
                told = theirs_known.results[number]
                is_batch = isinstance(result, Done) and not result.version
                assert is_batch or told == result
            assert theirs_known.floor <= known.floor or theirs_known.floor in theirs_known.results


keys = st.sampled_from([b"a", b"b", b"c"])
values = st.sampled_from([b"", b"\x01\x07", b"v" * 30, bytes(LARGE_VALUE_BYTES + 1)])
ttls = st.sampled_from([0, 0, -1, -5, 700])
places = st.sampled_from([1, 1, 2])
pairs = st.lists(st.tuples(places, keys), min_size=1, max_size=5)
steps = st.one_of(
    st.tuples(st.just("Put"), places, keys, values),
    st.tuples(st.just("PutIf"), places, keys, values, ttls, st.sampled_from(Condition)),
    st.tuples(st.just("Delete"), places, keys),
    st.tuples(st.just("Take"), places, keys),
    st.tuples(st.just("Increment"), places, keys),
    st.tuples(st.just("PutAll"), pairs, values, ttls),
    st.tuples(st.just("RemoveAll"), pairs),
    st.tuples(st.just("TakeAny"), places),
    st.tuples(st.just("Clear"), places),
    st.tuples(st.just("time"), st.sampled_from([0.3, 0.5])),
    st.tuples(st.just("expire")),
    st.tuples(st.just("begin"), places),
    st.tuples(st.just("fill"), places),
)


def request_of(number: int, name: str, *rest) -> Request:
    match name, rest:
        case "Put", (p, key, value):
            return Put(number, "m", p, 1, key, value)
        case "PutIf", (p, key, value, ttl_ms, condition):
            view = memoryview(value)
            return PutIf(number, "m", p, 1, key, condition, bytes(8), ttl_ms, view)
        case "Delete", (p, key):
            return Delete(number, "m", p, 1, key, b"")
        case "Take", (p, key):
            return Take(number, "m", p, 1, key)
        case "Increment", (p, key):
            return Increment(number, "m", p, 1, key, 1)
        case "TakeAny", (p,):
            return TakeAny(number, "m", [(p, 1)])
        case "Clear", (p,):
            return Clear(number, "m", [(p, 1)])
    asked, named = bytes(p for p, _ in rest[0]), [key for _, key in rest[0]]
    if name == "RemoveAll":
        return RemoveAll(number, "m", [(1, 1), (2, 1)], 0, asked, named)
    return PutAll(number, "m", [(1, 1), (2, 1)], 0, asked, named, [rest[1]] * len(named), rest[2])


@given(st.lists(st.tuples(steps, st.sampled_from(CLIENTS)), max_size=60))
@settings(derandomize=True, deadline=None, max_examples=400)
def test_copy_is_equal_whatever_happens_while_it_is_filled(happening) -> None:
    clock = Clock()
    store = store_serving(1, 2, clock=clock)
    copy = Copy(store, clock)
    for p in (1, 2):
        copy.begin(p)
    for number, (step, client) in enumerate(happening):
        if step[0] == "time":
            clock.now_s += step[1]
        elif step[0] == "expire":
            store.expire()
        elif step[0] == "begin":
            copy.begin(step[1])
        elif step[0] == "fill":
            copy.fill_on(step[1])
        else:
            store.handle(request_of(number, *step), client)
    for p in (1, 2):
        while not copy.fill_on(p):
            pass
        copy.check(p)


def test_change_that_is_not_admitted_changes_nothing() -> None:
    store = store_serving(1, 2)
    for request in (
        Put(1, "m", 1, 1, b"k", b"v"),
        PutAll(1, "m", [(1, 1)], 0, b"\x01", [b"k"], [b"v"], 5),
        Clear(1, "m", [(1, 1)]),
    ):
        notes = Notes()
        store.partitions.by_id[1].outlets = (notes,)
        store.handle(request)
        for change in notes.told:
            apply(change, lambda p, epoch, before: None, 0.0)
        assert notes.told


def test_batch_is_applied_where_it_is_admitted() -> None:
    versions = [(1, 1, 1), (2, 1, 4)]
    change = Changes("m", versions, b"\x01\x02\x01", [b"a", b"b", b"c"], [b"1", b"2", b"3"],
                     500, CLIENTS[0], 7)  # fmt: skip
    copies = {1: Partition(1, 0, 1), 2: Partition(1, 3, 2)}
    apply(change, lambda p, epoch, before: copies[p] if p == 2 else None, 10.0)
    assert (copies[1].entry_count, copies[1].results.clients) == (0, {})
    assert {key: record[8:] for key, record in copies[2].table("m").records.items()} == {b"b": b"2"}
    expiries = copies[2].table("m").expiries
    assert expiries is not None
    assert expiries.left_s(b"b", 10.0) == 0.5
    assert copies[2].sequence == 4


def test_pages_are_bounded_by_entries_and_by_bytes() -> None:
    clock = Clock()
    store = store_serving(1, clock=clock)
    for number in range(PAGE_ENTRIES + 10):
        store.handle(Put(number, "small", 1, 1, number.to_bytes(4, "big"), b"v"))
    for number in range(5):
        store.handle(Put(number, "large", 1, 1, bytes([number]), bytes(PAGE_BYTES // 2)))
    store.handle(Put(99, "large", 1, 1, b"largest", bytes(5 * PAGE_BYTES)))
    found: dict[str, dict[bytes, bytes]] = {"small": {}, "large": {}}
    sizes = []
    for (name, named, records, _), size_bytes in pages_of(store.partitions.by_id[1], clock):
        assert size_bytes == sum(map(len, named)) + sum(map(len, records))
        assert len(named) <= PAGE_ENTRIES
        assert size_bytes <= 2 * PAGE_BYTES or len(named) == 1
        assert not found[name].keys() & set(named)
        found[name] |= dict(zip(named, records, strict=True))
        sizes.append((name, len(named)))
    assert sizes[:2] == [("small", PAGE_ENTRIES), ("small", 10)]
    for name, entries in found.items():
        assert entries == store.partitions.by_id[1].table(name).records


def test_entry_whose_time_is_over_is_copied_as_such() -> None:
    clock = Clock()
    store = store_serving(1, clock=clock)
    view = memoryview(b"v")
    store.handle(PutIf(1, "m", 1, 1, b"k", Condition.ALWAYS, b"", 500, view))
    clock.now_s += 9
    copy = Copy(store, clock)
    copy.fill(1)
    expiries = copy.held[1].table("m").expiries
    assert expiries is not None
    clock.now_s += 0.002
    assert expiries.is_over(b"k", clock())


@pytest.mark.parametrize("ttl_ms", [2**53, 2**63, 2**64 - 1])
def test_longest_time_to_live_can_be_copied(ttl_ms: int) -> None:
    clock = Clock()
    store = store_serving(1, clock=clock)
    view = memoryview(b"v")
    store.handle(PutIf(1, "m", 1, 1, b"k", Condition.ALWAYS, b"", ttl_ms, view))
    for page in pages_of(store.partitions.by_id[1], clock):
        msgspec.msgpack.encode(page)


def test_digest_tells_maps_keys_values_and_versions_apart() -> None:
    def digest(*entries: tuple[str, bytes, bytes]) -> tuple[int, int]:
        held = Partition(1)
        for name, key, record in entries:
            held.table_to_write(name).records[key] = record
        return digest_of(held)

    one, other = ("m", b"k", bytes(8) + b"v"), ("m", b"l", bytes(8) + b"w")
    assert digest(one, other) == digest(other, one)
    different = [
        digest(one), digest(one, other), digest(("n", *one[1:]), other),
        digest(("m", b"k", other[2]), ("m", b"l", one[2])),
        digest(("m", b"k", b"\x01" * 8 + b"v"), other), digest(),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_results_from_before_the_fill_are_older_than_those_that_came_during_it() -> None:
    copy, primary = Partition(1), Partition(1)
    for number in range(RESULTS_KEPT + 10):
        primary.results.of(CLIENTS[0]).add(number, Done(number, 1))
    for number in range(RESULTS_KEPT, RESULTS_KEPT + 10):
        copy.results.of(CLIENTS[0]).add(number, Done(number, 1))
    take_results(copy, results_of(primary))
    known, expected = copy.results.of(CLIENTS[0]), primary.results.of(CLIENTS[0])
    assert list(known.results) == list(expected.results)
    assert known.floor == expected.floor
    assert applying.results_of(copy) == results_of(primary)
