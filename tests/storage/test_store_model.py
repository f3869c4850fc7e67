"""The store against a plain dict: any sequence of requests, served, refused or released."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from grid.storage.messages import (
    Delete,
    Done,
    Found,
    Get,
    GetAll,
    Missing,
    Page,
    Put,
    PutAll,
    RefusalReason,
    Refused,
    Scan,
    Size,
    Values,
)
from grid.storage.options import StorageOptions
from grid.storage.store import Store

maps = st.sampled_from(["a", "b"])
partitions = st.integers(0, 3)
epochs = st.integers(1, 2)
keys = st.binary(max_size=1)
values = st.binary(max_size=3)
targets = st.lists(st.tuples(partitions, epochs), max_size=3)

EntryName = tuple[str, int, bytes]


class StoreAgainstDict(RuleBasedStateMachine):
    """One dict of entries and one of epochs say what every reply must be."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(StorageOptions())
        self.epochs: dict[int, int] = {}
        self.entries: dict[EntryName, bytes] = {}

    def refusal(self, *wanted: tuple[int, int]) -> Refused | None:
        for partition, epoch in wanted:
            if partition not in self.epochs:
                return Refused(1, RefusalReason.NOT_OWNER, partition)
            if self.epochs[partition] != epoch:
                return Refused(1, RefusalReason.WRONG_EPOCH, partition)
        return None

    def of(self, map_name: str, partition: int) -> dict[bytes, bytes]:
        return {
            key: value
            for (name, place, key), value in self.entries.items()
            if (name, place) == (map_name, partition)
        }

    def entry_count(self, partition: int) -> int:
        return sum(place == partition for _, place, _ in self.entries)

    @rule(served=st.dictionaries(partitions, epochs))
    def serve(self, served: dict[int, int]) -> None:
        self.store.serve(served)
        self.epochs = dict(served)
        self.entries = {name: v for name, v in self.entries.items() if name[1] in served}

    @rule(asked=st.sets(partitions))
    def release(self, asked: set[int]) -> None:
        empty = [partition for partition in asked if not self.entry_count(partition)]
        assert self.store.release(asked) == empty
        for partition in empty:
            self.epochs.pop(partition, None)

    @rule(name=maps, partition=partitions, epoch=epochs, key=keys)
    def get(self, name: str, partition: int, epoch: int, key: bytes) -> None:
        value = self.entries.get((name, partition, key))
        expected = Missing(1) if value is None else Found(1, value)
        reply = self.store.handle(Get(1, name, partition, epoch, key))
        assert reply == (self.refusal((partition, epoch)) or expected)

    @rule(name=maps, partition=partitions, epoch=epochs, key=keys, value=values)
    def put(self, name: str, partition: int, epoch: int, key: bytes, value: bytes) -> None:
        refused = self.refusal((partition, epoch))
        reply = self.store.handle(Put(1, name, partition, epoch, key, value))
        assert reply == (refused or Done(1, 1))
        if not refused:
            self.entries[name, partition, key] = value

    @rule(name=maps, partition=partitions, epoch=epochs, key=keys)
    def delete(self, name: str, partition: int, epoch: int, key: bytes) -> None:
        refused = self.refusal((partition, epoch))
        reply = self.store.handle(Delete(1, name, partition, epoch, key))
        assert reply == (refused or Done(1, int((name, partition, key) in self.entries)))
        if not refused:
            self.entries.pop((name, partition, key), None)

    @rule(name=maps, wanted=targets, some=st.lists(keys, max_size=3))
    def get_all(self, name: str, wanted: list[tuple[int, int]], some: list[bytes]) -> None:
        found = [
            self.entries.get((name, partition, key)) for partition, _ in wanted for key in some
        ]
        reply = self.store.handle(GetAll(1, name, [(p, epoch, some) for p, epoch in wanted]))
        assert reply == (self.refusal(*wanted) or Values(1, found))

    @rule(name=maps, wanted=targets, some=st.dictionaries(keys, values, max_size=3))
    def put_all(self, name: str, wanted: list[tuple[int, int]], some: dict[bytes, bytes]) -> None:
        refused = self.refusal(*wanted)
        groups = [(p, epoch, list(some), list(some.values())) for p, epoch in wanted]
        reply = self.store.handle(PutAll(1, name, groups))
        assert reply == (refused or Done(1, len(wanted) * len(some)))
        if not refused:
            for partition, _ in wanted:
                self.entries |= {(name, partition, key): value for key, value in some.items()}

    @rule(name=maps, wanted=targets)
    def size(self, name: str, wanted: list[tuple[int, int]]) -> None:
        total = sum(len(self.of(name, partition)) for partition, _ in wanted)
        reply = self.store.handle(Size(1, name, wanted))
        assert reply == (self.refusal(*wanted) or Done(1, total))

    @rule(name=maps, partition=partitions, epoch=epochs)
    def scan(self, name: str, partition: int, epoch: int) -> None:
        reply = self.store.handle(Scan(1, name, partition, epoch, 0, True))
        if refused := self.refusal((partition, epoch)):
            assert reply == refused
        else:
            assert isinstance(reply, Page)
            found = dict(zip(reply.keys, reply.values, strict=True))
            assert (found, reply.scan) == (self.of(name, partition), 0)

    @invariant()
    def holdings_are_the_model(self) -> None:
        expected = [(p, epoch, self.entry_count(p)) for p, epoch in self.epochs.items()]
        assert sorted(self.store.holdings()) == sorted(expected)


StoreAgainstDict.TestCase.settings = settings(
    derandomize=True, deadline=None, max_examples=60, stateful_step_count=40
)
TestStoreAgainstDict = StoreAgainstDict.TestCase
