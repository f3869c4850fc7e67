"""The store against a plain dict: any sequence of requests, while time passes and epochs change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from grid.storage.messages import (
    Clear,
    Condition,
    Delete,
    Done,
    Epochs,
    Found,
    Get,
    GetAll,
    Increment,
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
    Scan,
    Size,
    Take,
    TakeAny,
    Taken,
)
from grid.storage.options import StorageOptions
from grid.storage.record import added
from grid.storage.store import Store

from .samples import Clock

maps = st.sampled_from(["a", "b"])
# Mostly carried out, mostly on the same few entries.
partitions = st.sampled_from([0, 0, 0, 1, 1, 2, 3])
epochs = st.sampled_from([1] * 9 + [2])
keys = st.sampled_from([b"", b"k", b"l"])
values = st.binary(max_size=3) | st.integers(0, 127).map(lambda number: bytes((1, number)))
ttls = st.sampled_from([0, 0, 500, 1_500])
targets = st.just([(0, 1), (1, 1)]) | st.lists(st.tuples(partitions, epochs), max_size=4)
places = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 1, 1, 2]), keys), max_size=4)
one: dict[str, Any] = {
    "name": maps,
    "partition": partitions,
    "epoch": epochs,
    "key": keys,
}

Place = tuple[str, int, bytes]


@dataclass(frozen=True)
class Entry:
    """What must be stored; one whose time is over may still be counted."""

    record: bytes
    ends_s: float


class StoreAgainstDict(RuleBasedStateMachine):
    """One dict of entries and one of epochs say what every reply must be."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = Store(StorageOptions(), self.clock)
        self.epochs: dict[int, int] = {}
        self.entries: dict[Place, Entry] = {}
        self.last_sequence: dict[int, int] = {}
        self.past: dict[Place, bytes] = {}
        """A version that each entry had once."""

    # -- what the model says --------------------------------------------------------------

    def refusal(self, wanted: Epochs) -> Refused | None:
        for partition, epoch in wanted:
            if partition not in self.epochs:
                return Refused(1, RefusalReason.NOT_OWNER, partition)
            if self.epochs[partition] != epoch:
                return Refused(1, RefusalReason.WRONG_EPOCH, partition)
        return None

    def refusal_of_batch(self, wanted: Epochs, some: list[tuple[int, bytes]]) -> Refused | None:
        if refused := self.refusal(wanted):
            return refused
        if any(p not in dict(wanted) for p, _ in some):
            return Refused(1, RefusalReason.TOO_LARGE, some[0][0])
        return None

    def record(self, place: Place) -> bytes | None:
        """Return the record that must be found now."""
        entry = self.entries.get(place)
        return entry.record if entry and entry.ends_s > self.clock.now_s else None

    def living(self, name: str, wanted: Epochs) -> dict[Place, bytes]:
        return {
            place: record
            for place in self.entries
            if place[0] == name and place[1] in dict(wanted) and (record := self.record(place))
        }

    def counts(self, partition: int) -> range:
        """Return the numbers of entries that a partition may count."""
        held = [place for place in self.entries if place[1] == partition]
        return range(sum(self.record(place) is not None for place in held), len(held) + 1)

    def counts_of(self, name: str, wanted: Epochs) -> range:
        held = [place for place in self.entries if place[0] == name and place[1] in dict(wanted)]
        return range(sum(self.record(place) is not None for place in held), len(held) + 1)

    def found(self, place: Place) -> Reply:
        record = self.record(place)
        return Missing(1) if record is None else Found(1, record)

    def was_written(self, place: Place, value: bytes, ends_s: float) -> bytes:
        """Note what is there now; its version must be new. Return the version."""
        name, partition, key = place
        reply = self.store.handle(Get(1, name, partition, self.epochs[partition], key))
        assert isinstance(reply, Found)
        version = int.from_bytes(reply.record[:8], "big")
        assert version >> 40 == self.epochs[partition]
        assert reply.record[8:] == value
        self.entries[place] = Entry(reply.record, ends_s)
        self.past.setdefault(place, reply.record[:8])
        return reply.record[:8]

    def is_new(self, partition: int, version: bytes) -> None:
        sequence = int.from_bytes(version, "big") & (1 << 40) - 1
        assert sequence > self.last_sequence.get(partition, 0)
        self.last_sequence[partition] = sequence

    def ends_s(self, ttl_ms: int) -> float:
        return self.clock.now_s + ttl_ms / 1000 if ttl_ms else float("inf")

    # -- control --------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.serve({0: 1, 1: 1, 2: 1})

    @rule(served=st.dictionaries(partitions, epochs, min_size=2) | st.just({0: 1, 1: 1}))
    def serve(self, served: dict[int, int]) -> None:
        self.store.serve(served)
        self.epochs = dict(served)
        self.entries = {place: e for place, e in self.entries.items() if place[1] in served}

    @rule(asked=st.sets(partitions))
    def release(self, asked: set[int]) -> None:
        released = set(self.store.release(asked))
        assert {p for p in asked if self.counts(p)[-1] == 0} <= released
        assert released <= {p for p in asked if self.counts(p)[0] == 0}
        for partition in released:
            self.epochs.pop(partition, None)
        self.entries = {place: e for place, e in self.entries.items() if place[1] not in released}

    @rule(passed_s=st.sampled_from([0.25, 0.5, 1.0]))
    def time_passes(self, passed_s: float) -> None:
        self.clock.now_s += passed_s

    @rule()
    def expire(self) -> None:
        assert not self.store.expire()
        self.entries = {place: e for place, e in self.entries.items() if self.record(place)}

    # -- one entry ------------------------------------------------------------------------

    @rule(**one)
    def get(self, name: str, partition: int, epoch: int, key: bytes) -> None:
        reply = self.store.handle(Get(1, name, partition, epoch, key))
        assert reply == (self.refusal([(partition, epoch)]) or self.found((name, partition, key)))

    @rule(value=values, **one)
    def put(self, name: str, partition: int, epoch: int, key: bytes, value: bytes) -> None:
        refused = self.refusal([(partition, epoch)])
        reply = self.store.handle(Put(1, name, partition, epoch, key, value))
        if refused:
            assert reply == refused
            return
        version = self.was_written((name, partition, key), value, self.ends_s(0))
        assert reply == Done(1, 1, int.from_bytes(version, "big"))
        self.is_new(partition, version)

    @rule(
        value=values,
        condition=st.sampled_from(Condition),
        ttl_ms=ttls,
        **one,
        version=st.sampled_from(["now", "past", "none", "short"]),
    )
    def put_if(self, name, partition, epoch, key, value, condition, ttl_ms, version) -> None:
        place = (name, partition, key)
        present, refused = self.record(place), self.refusal([(partition, epoch)])
        named = self.version(place, version)
        request = PutIf(1, name, partition, epoch, key, condition, named, ttl_ms, memoryview(value))
        reply = self.store.handle(request)
        holds = {
            Condition.ALWAYS: True,
            Condition.ABSENT: present is None,
            Condition.PRESENT: present is not None,
            Condition.SAME: present is not None and present[:8] == named,
        }[condition]
        if refused:
            assert reply == refused
        elif holds:
            written = self.was_written(place, value, self.ends_s(ttl_ms))
            assert reply == Done(1, 1, int.from_bytes(written, "big"))
            self.is_new(partition, written)
        else:
            is_told = condition is Condition.ABSENT
            assert reply == (self.found(place) if is_told else Done(1, 0))

    def version(self, place: Place, kind: str) -> bytes:
        record = self.record(place)
        return {
            "now": record[:8] if record else b"",
            "past": self.past.get(place, bytes(8)),
            "none": b"",
            "short": b"\x00\x01",
        }[kind]

    @rule(**one, version=st.sampled_from(["now", "past", "none", "short"]))
    def delete(self, name: str, partition: int, epoch: int, key: bytes, version: str) -> None:
        place = (name, partition, key)
        record, named = self.record(place), self.version(place, version)
        reply = self.store.handle(Delete(1, name, partition, epoch, key, named))
        is_meant = record is not None and named in (b"", record[:8])
        if refused := self.refusal([(partition, epoch)]):
            assert reply == refused
            return
        assert isinstance(reply, Done)
        assert (reply.count, reply.version > 0) == (int(is_meant), is_meant)
        if is_meant:
            assert reply.version >> 40 == epoch
            self.is_new(partition, reply.version.to_bytes(8, "big"))
            del self.entries[place]

    @rule(**one)
    def take(self, name: str, partition: int, epoch: int, key: bytes) -> None:
        place = (name, partition, key)
        refused = self.refusal([(partition, epoch)])
        is_there = self.record(place) is not None
        reply = self.store.handle(Take(1, name, partition, epoch, key))
        assert reply == (refused or self.found(place))
        if is_there and not refused:
            del self.entries[place]

    @rule(**one, amount=st.sampled_from([1, -3, 0.5, 2**63]))
    def increment(self, name: str, partition: int, epoch: int, key: bytes, amount: float) -> None:
        place = (name, partition, key)
        present, refused = self.record(place), self.refusal([(partition, epoch)])
        value = added(present, amount)
        reply = self.store.handle(Increment(1, name, partition, epoch, key, amount))
        if refused or value is None:
            assert reply == (refused or Refused(1, RefusalReason.NOT_COUNTABLE, partition))
            return
        ends_s = self.ends_s(0) if present is None else self.entries[place].ends_s
        version = self.was_written(place, value, ends_s)
        self.is_new(partition, version)
        assert reply == Found(1, version + value)

    # -- many entries ---------------------------------------------------------------------

    @rule(name=maps, wanted=targets, some=places)
    def get_all(self, name: str, wanted: Epochs, some: list[tuple[int, bytes]]) -> None:
        asked, in_order = bytes(p for p, _ in some), [key for _, key in some]
        reply = self.store.handle(GetAll(1, name, wanted, 0, asked, in_order))
        records = [self.record((name, p, key)) for p, key in some]
        assert reply == (self.refusal_of_batch(wanted, some) or Records(1, records))

    @rule(name=maps, wanted=targets, some=places, value=values, ttl_ms=ttls)
    def put_all(
        self, name: str, wanted: Epochs, some: list[tuple[int, bytes]], value: bytes, ttl_ms: int
    ) -> None:
        refused = self.refusal_of_batch(wanted, some)
        asked, in_order = bytes(p for p, _ in some), [key for _, key in some]
        different = [value + bytes((index,)) for index in range(len(some))]
        reply = self.store.handle(PutAll(1, name, wanted, 0, asked, in_order, different, ttl_ms))
        assert reply == (refused or Done(1, len(some)))
        if refused:
            return
        last = {(name, p, key): v for (p, key), v in zip(some, different, strict=True)}
        versions: dict[int, set[bytes]] = {}
        for place, value in last.items():
            version = self.was_written(place, value, self.ends_s(ttl_ms))
            versions.setdefault(place[1], set()).add(version)
        for partition, of_partition in versions.items():
            (version,) = of_partition
            self.is_new(partition, version)

    @rule(name=maps, wanted=targets, some=places)
    def remove_all(self, name: str, wanted: Epochs, some: list[tuple[int, bytes]]) -> None:
        refused = self.refusal_of_batch(wanted, some)
        asked, in_order = bytes(p for p, _ in some), [key for _, key in some]
        there = {(name, p, key) for p, key in some if self.record((name, p, key))}
        reply = self.store.handle(RemoveAll(1, name, wanted, 0, asked, in_order))
        assert reply == (refused or Done(1, len(there)))
        if not refused:
            for place in there:
                del self.entries[place]

    @rule(name=maps, wanted=targets)
    def take_any(self, name: str, wanted: Epochs) -> None:
        refused, living = self.refusal(wanted), self.living(name, wanted)
        reply = self.store.handle(TakeAny(1, name, wanted))
        if refused or not living:
            assert reply == (refused or Missing(1))
            return
        assert isinstance(reply, Taken)
        gone = [
            (name, p, reply.key)
            for p, epoch in dict(wanted).items()
            if living.get((name, p, reply.key)) == reply.record
            and self.store.handle(Get(1, name, p, epoch, reply.key)) == Missing(1)
        ]
        (place,) = gone
        del self.entries[place]

    @rule(name=maps, wanted=targets)
    def size(self, name: str, wanted: Epochs) -> None:
        refused, reply = self.refusal(wanted), self.store.handle(Size(1, name, wanted))
        if refused:
            assert reply == refused
        else:
            assert isinstance(reply, Done)
            assert reply.count in self.counts_of(name, wanted)

    @rule(name=maps, wanted=targets)
    def clear(self, name: str, wanted: Epochs) -> None:
        counts = self.counts_of(name, wanted)
        refused, reply = self.refusal(wanted), self.store.handle(Clear(1, name, wanted))
        if refused:
            assert reply == refused
            return
        assert isinstance(reply, Done)
        assert reply.count in counts
        for place in list(self.entries):
            if place[0] == name and place[1] in dict(wanted):
                del self.entries[place]

    @rule(name=maps, wanted=targets, with_values=st.booleans())
    def scan(self, name: str, wanted: Epochs, with_values: bool) -> None:
        refused = self.refusal(wanted)
        reply = self.store.handle(Scan(1, name, wanted, 0, with_values))
        if refused:
            assert reply == refused
            return
        living = self.living(name, wanted)
        assert isinstance(reply, Page)
        assert sorted(reply.keys) == sorted(key for _, _, key in living)
        assert sorted(reply.records) == sorted(living.values() if with_values else [])
        assert (reply.scan, reply.finished, reply.trailing) == (0, len(dict(wanted)), 0)

    @invariant()
    def holdings_are_the_model(self) -> None:
        held = {p: (epoch, count) for p, epoch, count in self.store.holdings()}
        assert {p: epoch for p, (epoch, _) in held.items()} == self.epochs
        assert all(count in self.counts(p) for p, (_, count) in held.items())


StoreAgainstDict.TestCase.settings = settings(
    derandomize=True, deadline=None, max_examples=250, stateful_step_count=50
)
TestStoreAgainstDict = StoreAgainstDict.TestCase
