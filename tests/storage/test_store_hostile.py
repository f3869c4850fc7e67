"""Requests of a client that is authenticated and wrong: refused or harmless, never an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.storage.messages import (
    Clear,
    Condition,
    Delete,
    Done,
    Epochs,
    Flush,
    Found,
    FoundLarge,
    Get,
    GetAll,
    GetUnlessDone,
    Increment,
    InNameOf,
    Missing,
    Page,
    Put,
    PutAll,
    PutIf,
    Records,
    RefusalReason,
    Refused,
    RemoveAll,
    Reply,
    Request,
    Scan,
    Size,
    Survived,
    Take,
    TakeAny,
    Taken,
    WithBackup,
    epochs_digest,
)
from grid.storage.replies import Held
from grid.wire.catalog import decode_storage_reply, decode_storage_request, encode

from .outlets import protect
from .samples import (
    MAP,
    Clock,
    contents,
    plain_put,
    put,
    put_all,
    put_if,
    record_of,
    remove_all,
    store_serving,
    value_of,
)

TOO_LARGE = Refused(1, RefusalReason.TOO_LARGE, 1)
LONG_KEY = b"k" * 17

ANSWERS: dict[type[Request], tuple[type[Reply], ...]] = {
    Get: (Found, FoundLarge, Missing),
    Put: (Done,),
    PutIf: (Done, Found, FoundLarge),
    Delete: (Done,),
    Take: (Found, FoundLarge, Missing),
    Increment: (Found,),
    GetAll: (Records,),
    PutAll: (Done,),
    RemoveAll: (Done,),
    TakeAny: (Taken, Missing),
    Size: (Done,),
    Clear: (Done,),
    Scan: (Page,),
    WithBackup: (Done, Found, FoundLarge, Missing),
    Flush: (Done,),
    Survived: (Done,),
    GetUnlessDone: (Found, FoundLarge, Missing, Done),
    InNameOf: (Done, Found, FoundLarge, Missing),
}

# Mostly right, so that what is behind the checks is reached as well.
whole_numbers = st.sampled_from([0, 1, -1, 255, 256, 2**31, 2**63, 2**64 - 1, -(2**63)])
requests = st.just(1)
maps = st.sampled_from([MAP, "", "x" * 300])
partitions = st.sampled_from([1, 1, 1, 2, 2]) | whole_numbers
epochs = st.sampled_from([1, 1, 1, 1]) | whole_numbers
pairs = st.lists(st.tuples(partitions, epochs), max_size=4)
key = st.sampled_from([b"", b"a", b"b", bytes(16), LONG_KEY])
value = st.sampled_from([b"", b"\x01", b"\x01\x05", b"\x02\x80", b"\x01\xff", bytes(1025)])
versions = st.sampled_from([b"", b"short", bytes(8), b"longer than a version"])
amounts = whole_numbers | st.sampled_from([0.5, float("inf"), float("nan")])
bytewise = st.lists(st.sampled_from([1, 1, 2, 3, 255]), max_size=4).map(bytes)
some_keys, some_values = st.lists(key, max_size=4), st.lists(value, max_size=4)
one = (requests, maps, partitions, epochs, key)
digests = st.sampled_from([0, epochs_digest([(1, 1), (2, 1)])]) | whole_numbers
many = (requests, maps, pairs, digests, bytewise, some_keys)
writes = st.one_of(
    st.builds(Put, *one, value),
    st.builds(Delete, *one, versions),
    st.builds(Take, *one),
    st.builds(Increment, *one, amounts),
    st.builds(PutAll, *many, some_values, whole_numbers, whole_numbers),
    st.builds(RemoveAll, *many, whole_numbers),
)
put_ifs = st.builds(
    PutIf, *one, st.sampled_from(Condition), versions, whole_numbers, value.map(memoryview)
)
clients = st.sampled_from([b"", b"client-of-16-byt"])
any_request: st.SearchStrategy[Request] = st.one_of(
    st.builds(WithBackup, writes),
    st.builds(InNameOf, clients, put_ifs | st.builds(WithBackup, writes)),
    st.builds(GetUnlessDone, *one, clients, whole_numbers),
    st.builds(Flush, requests, pairs),
    st.builds(Survived, requests, partitions, epochs, whole_numbers),
    st.builds(Get, *one),
    st.builds(Put, *one, value),
    put_ifs,
    st.builds(Delete, *one, versions),
    st.builds(Take, *one),
    st.builds(Increment, *one, amounts),
    st.builds(GetAll, *many),
    st.builds(PutAll, *many, some_values, whole_numbers),
    st.builds(RemoveAll, *many),
    st.builds(TakeAny, requests, maps, pairs),
    st.builds(Size, requests, maps, pairs),
    st.builds(Clear, requests, maps, pairs),
    st.builds(Scan, requests, maps, pairs, whole_numbers, st.booleans()),
)


@given(st.lists(any_request, min_size=10, max_size=30), clients)
@settings(derandomize=True, deadline=None, max_examples=400)
def test_every_request_gets_an_answer_of_its_kind(sent: list[Request], client: bytes) -> None:
    clock = Clock()
    store = store_serving(1, 2, value_bytes_max=1024, clock=clock)
    protect(store, 1)
    for request in sent:
        clock.now_s += 0.5
        decoded = decode_storage_request(encode(request))
        assert type(decoded) is type(request)
        reply = store.handle(decoded, client)
        reply = reply.reply if isinstance(reply, Held) else reply
        # Who uses a number again is told what became of the request that had it first.
        told_again = (Done, Found, Missing) if client or isinstance(request, InNameOf) else ()
        assert isinstance(reply, (*ANSWERS[type(request)], *told_again, Refused))
        assert decode_storage_reply(encode(reply)).request == 1  # type: ignore[union-attr]
    while store.expire():
        pass
    for _, held in store.partitions.by_id.items():
        for table in held.tables.values():
            assert all(len(kept) <= 16 for kept in table.records)
            assert all(len(record) <= 8 + 1024 for record in table.records.values())
            assert table.expiries is None or table.expiries._dates.keys() <= table.records.keys()


@pytest.mark.parametrize(("key_bytes", "value_bytes"), [(17, 0), (0, 1025)])
def test_entry_beyond_the_limits_is_refused_and_its_batch_with_it(
    key_bytes: int, value_bytes: int
) -> None:
    store = store_serving(1, value_bytes_max=1024)
    key, value = b"k" * key_bytes, b"v" * value_bytes
    for request in (
        plain_put(key, value),
        put_if(key, value),
        put_all((1, b"small", b"v"), (1, key, value)),
    ):
        assert store.handle(request) == TOO_LARGE
    assert contents(store) == {}
    put(store, b"k" * 16, b"v" * 1024)
    assert store.handle(put_all((1, b"l" * 16, b"v" * 1024))) == Done(1, 1)


def test_key_beyond_the_limit_is_not_counted_with() -> None:
    store = store_serving(1)
    assert store.handle(Increment(1, MAP, 1, 1, LONG_KEY, 1)) == TOO_LARGE
    assert contents(store) == {}


def test_key_beyond_the_limit_is_simply_not_there() -> None:
    store = store_serving(1)
    assert store.handle(Get(1, MAP, 1, 1, LONG_KEY)) == Missing(1)
    assert store.handle(Take(1, MAP, 1, 1, LONG_KEY)) == Missing(1)
    assert store.handle(Delete(1, MAP, 1, 1, LONG_KEY, b"")) == Done(1, 0)
    assert store.handle(remove_all((1, LONG_KEY))) == Done(1, 0)


BATCHES: dict[str, tuple[Epochs, bytes, list[bytes], list[bytes]]] = {
    "a key too few": ([(1, 1)], b"\x01\x01", [b"a"], [b"1", b"2"]),
    "a key too many": ([(1, 1)], b"\x01", [b"a", b"b"], [b"1", b"2"]),
    "a partition without epoch": ([(1, 1)], b"\x01\x02", [b"a", b"b"], [b"1", b"2"]),
    "a partition not held without epoch": ([(1, 1)], b"\x01\x09", [b"a", b"b"], [b"1", b"2"]),
    "no epochs at all": ([], b"\x01\x01", [b"a", b"b"], [b"1", b"2"]),
}


@pytest.mark.parametrize("name", BATCHES)
def test_batch_whose_parts_do_not_fit_is_refused_whole(name: str) -> None:
    store = store_serving(1, 2)
    put(store, b"a", b"old")
    epochs, partitions, keys, values = BATCHES[name]
    for request in (
        GetAll(1, MAP, epochs, 0, partitions, keys),
        PutAll(1, MAP, epochs, 0, partitions, keys, values, 0),
        RemoveAll(1, MAP, epochs, 0, partitions, keys),
    ):
        assert store.handle(request) == TOO_LARGE
    assert (contents(store), contents(store, 2)) == ({b"a": b"old"}, {})


@pytest.mark.parametrize("epochs", [[], [(1, 1)]])
@pytest.mark.parametrize("keys", [[], [b"a"], [b"a", b"b"]])
def test_batch_with_values_too_few_or_too_many_is_refused(
    epochs: Epochs, keys: list[bytes]
) -> None:
    store = store_serving(1)
    for values in ([b"1"] * (len(keys) + 1), [b"1"] * (len(keys) - 1)):
        if len(values) == len(keys):
            continue
        reply = store.handle(PutAll(1, MAP, epochs, 0, b"\x01" * len(keys), keys, values, 0))
        assert isinstance(reply, Refused)
        assert reply.reason is RefusalReason.TOO_LARGE
    assert contents(store) == {}


def test_empty_batches_do_nothing() -> None:
    store = store_serving(1)
    assert store.handle(GetAll(1, MAP, [], 0, b"", [])) == Records(1, [])
    assert store.handle(PutAll(1, MAP, [], 0, b"", [], [], 5)) == Done(1, 0)
    assert store.handle(RemoveAll(1, MAP, [(1, 1)], 0, b"", [])) == Done(1, 0)
    assert store.handle(TakeAny(1, MAP, [])) == Missing(1)


def test_partition_that_a_request_names_twice_is_served_once() -> None:
    store = store_serving(1)
    twice: Epochs = [(1, 1), (1, 1)]
    assert store.handle(put_all((1, b"a", b"1"), (1, b"b", b"2"), epochs=twice)) == Done(1, 2)
    assert contents(store) == {b"a": b"1", b"b": b"2"}
    assert store.handle(Size(1, MAP, twice)) == Done(1, 2)
    assert store.handle(Clear(1, MAP, twice)) == Done(1, 2)
    assert contents(store) == {}


@pytest.mark.parametrize("epochs", [[(1, 1), (1, 2)], [(1, 2), (1, 1)]])
def test_partition_that_a_request_names_with_two_epochs_is_refused(epochs: Epochs) -> None:
    store = store_serving(1)
    refused = Refused(1, RefusalReason.WRONG_EPOCH, 1)
    assert store.handle(put_all((1, b"a", b"1"), epochs=epochs)) == refused
    assert store.handle(TakeAny(1, MAP, epochs)) == refused


@pytest.mark.parametrize("version", [b"short", bytes(7), bytes(9), bytes(100)])
def test_version_of_a_wrong_length_is_nobodys(version: bytes) -> None:
    store = store_serving(1)
    put(store, b"k", b"old")
    assert store.handle(put_if(b"k", b"new", Condition.SAME, version)) == Done(1, 0)
    assert store.handle(Delete(1, MAP, 1, 1, b"k", version)) == Done(1, 0)
    record = record_of(store, b"k")
    assert record is not None
    assert store.handle(Delete(1, MAP, 1, 1, b"k", record)) == Done(1, 0)
    assert value_of(store, b"k") == b"old"


def test_version_of_no_length_is_no_entrys() -> None:
    store = store_serving(1)
    put(store, b"k", b"old")
    for key in (b"k", b"absent"):
        assert store.handle(put_if(key, b"new", Condition.SAME, b"")) == Done(1, 0)
    assert contents(store) == {b"k": b"old"}


@pytest.mark.parametrize("ttl_ms", [-1, -(2**63)])
def test_time_to_live_below_zero_leaves_the_date_as_it_was_in_every_table(ttl_ms: int) -> None:
    clock = Clock()
    store = store_serving(1, 2, clock=clock)
    put(store, b"k", partition=2, ttl_ms=1_000)
    store.handle(put_all((2, b"l", b"v"), ttl_ms=1_000))
    for partition in (1, 2):
        put(store, b"k", b"anew", partition=partition, ttl_ms=ttl_ms)
        store.handle(put_all((partition, b"l", b"anew"), ttl_ms=ttl_ms))
        assert value_of(store, b"k", partition=partition) == b"anew"
        assert value_of(store, b"l", partition=partition) == b"anew"
    clock.now_s += 1
    assert contents(store) == {b"k": b"anew", b"l": b"anew"}
    assert contents(store, 2) == {}


def test_longest_time_to_live_does_not_end() -> None:
    clock = Clock()
    store = store_serving(1, clock=clock)
    put(store, b"k", ttl_ms=2**64 - 1)
    clock.now_s += 1e9
    assert not store.expire()
    assert value_of(store, b"k") == b"v"
