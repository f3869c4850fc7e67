"""A cluster in memory that can be told to lose, to deny it, and to lie in other ways."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grid.chaos.keyspace import KEY_BYTES_MAX
from grid.client.entries.entry_operations import Ack
from grid.client.entries.tokens import WriteToken, pack_token, unpack_token
from grid.errors import OperationError, PartitionLostError
from grid.types import PARTITION_COUNT, PartitionId
from grid.wire.control import Event
from grid.wire.keys import encode_key

LOST_PARTITIONS = range(64)


@dataclass
class Lies:
    """What is wrong with this cluster."""

    loses: int = 0
    """Asynchronous writes that each kill loses, if there are so many."""
    loses_sync: bool = False
    """The same of synchronous ones."""
    denies: bool = False
    """Of no write it is ever said that it is lost."""
    understates: bool = False
    """Promotions tell of no loss."""
    loses_partition: bool = False
    reads_stale: bool = False
    resurrects: bool = False
    counts_twice: bool = False
    applies_twice: bool = False
    forgets_applies: bool = False
    """What a function returns is answered, and not stored."""
    reorders: bool = False
    stays_unsafe: bool = False
    breaks_every: int = 0
    """Every so many writes are applied, and answered by an error."""
    drops_ballast: bool = False


@dataclass
class Written:
    """One write that could still be lost."""

    map: str
    key: str
    before: Any
    version: int
    is_sync: bool


@dataclass
class FakeCluster:
    """Nodes and their data; every client shares it."""

    lies: Lies = field(default_factory=Lies)
    lock: Any = field(default_factory=threading.RLock)
    names: list[str] = field(default_factory=list)
    data: dict[tuple[str, str], Any] = field(default_factory=dict)
    older: dict[tuple[str, str], Any] = field(default_factory=dict)
    journal: list[Written] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    told: list[Event] = field(default_factory=list)
    lost_partitions: set[int] = field(default_factory=set)
    epoch: int = 1
    sequence: int = 0
    started: int = 0
    motion: int = 0
    is_closed: bool = False
    kills: int = 0

    # -- nodes ----------------------------------------------------------------------------

    def start(self) -> str:
        self.started += 1
        self.motion = 3
        self.names.append(f"fake-{self.started}")
        return self.names[-1]

    def wait_until_ready(self, name: str) -> None:
        assert name in self.names

    def alive(self) -> list[str]:
        return list(self.names)

    def complaints(self) -> list[str]:
        return []

    def client(self) -> FakeClient:
        return FakeClient(self)

    def resident_bytes(self) -> dict[str, int]:
        return {name: 1 << 20 for name in self.alive()}

    def close(self) -> None:
        self.is_closed = True

    def kill(self, name: str) -> None:
        with self.lock:
            self.names.remove(name)
            self.kills += 1
            self.epoch += 1
            lost = self._lose()
            told = 0 if self.lies.understates else lost
            event = Event(len(self.told) + 1, 0.0, "fake", "promoted", "", {"lost_at_most": told})
            self.told.append(event)
            self.journal.clear()
            if self.lies.loses_partition:
                self.lost_partitions.update(LOST_PARTITIONS)
                for place in [p for p in self.data if partition_of(p[1]) in LOST_PARTITIONS]:
                    del self.data[place]
            if self.lies.drops_ballast:
                for place in [p for p in self.data if p[0] == "chaos-ballast"][:3]:
                    del self.data[place]

    def _lose(self) -> int:
        """Undo the last writes of some partitions, as a promotion does."""
        kept: set[int] = set()
        count = 0
        for write in reversed(self.journal):
            partition = partition_of(write.key)
            is_wanted = write.is_sync == self.lies.loses_sync and write.map == "chaos"
            if count < self.lies.loses and is_wanted and partition not in kept:
                count += 1
                self._store((write.map, write.key), write.before)
                if not self.lies.denies:
                    self.gone.add(write.version)
            else:
                kept.add(partition)
        return count

    # -- data -----------------------------------------------------------------------------

    def write(self, name: str, key: str, value: Any, ack: Ack) -> int:
        """Store a value, or None; return the version."""
        with self.lock:
            self._check(key)
            place = (name, key)
            self.sequence += 1
            version = (self.epoch << 40) + self.sequence
            before = self.data.get(place)
            self.journal.append(Written(name, key, before, version, ack == "backup"))
            if before is not None:
                self.older[place] = before
            self._store(place, value)
            breaks = self.lies.breaks_every and self.sequence % self.lies.breaks_every == 0
            if breaks and name == "chaos":
                raise OperationError("the connection broke", "unknown")
            return 1 << 40 if self.lies.reorders and self.sequence % 100 == 0 else version

    def read(self, name: str, key: str) -> Any:
        with self.lock:
            self._check(key)
            place = (name, key)
            value = self.data.get(place)
            wants_old = self.lies.resurrects if value is None else self.lies.reads_stale
            return self.older.get(place, value) if wants_old and name == "chaos" else value

    def _store(self, place: tuple[str, str], value: Any) -> None:
        if value is None:
            self.data.pop(place, None)
        else:
            self.data[place] = value

    def _check(self, key: str) -> None:
        if partition_of(key) in self.lost_partitions:
            raise PartitionLostError("lost", "not_applied")


class FakeClient:
    """A client of the fake cluster."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster

    def map(self, name: str) -> FakeMap:
        return FakeMap(self.cluster, name)

    def flush(self) -> None:
        self.cluster.journal.clear()

    def survived(self, token: WriteToken) -> bool:
        version, _ = unpack_token(token)
        return version not in self.cluster.gone

    def lost(self) -> list[PartitionId]:
        return [PartitionId(partition) for partition in self.cluster.lost_partitions]

    def accept_loss(self) -> None:
        with self.cluster.lock:
            self.cluster.lost_partitions.clear()

    def events(self) -> list[Event]:
        return list(self.cluster.told)

    def status(self) -> dict[str, Any]:
        cluster = self.cluster
        cluster.motion = max(0, cluster.motion - 1)
        lost = len(cluster.lost_partitions)
        bare = 1 if cluster.lies.stays_unsafe and cluster.kills else 0
        return {
            "partitions": {
                "total": PARTITION_COUNT,
                "safe": PARTITION_COUNT - lost - bare,
                "unprotected": bare,
                "lost": lost,
                "moving": cluster.motion,
            },
            "members": [
                {"name": name, "state": "alive", "primaries": 1, "backups": 1}
                for name in cluster.names
            ],
        }

    def close(self) -> None:
        """Nothing is open."""


class FakeMap:
    """A map of the fake cluster."""

    def __init__(self, cluster: FakeCluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def get(self, key: str, /) -> Any:
        return self.cluster.read(self.name, key)

    def get_all(self, keys: Iterable[str]) -> dict[str, Any]:
        with self.cluster.lock:
            found = {key: self.cluster.read(self.name, key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def put(self, key: str, value: Any, *, ack: Ack = None) -> WriteToken:
        version = self.cluster.write(self.name, key, value, ack)
        return pack_token(version, PartitionId(partition_of(key)))

    def put_all(self, entries: Mapping[str, Any], *, ack: Ack = None) -> None:
        try:
            for key, value in entries.items():
                self.cluster.write(self.name, key, value, ack)
        except PartitionLostError as error:
            raise PartitionLostError("others are written", "unknown") from error

    def delete(self, key: str, *, ack: Ack = None) -> bool:
        self.cluster.write(self.name, key, None, ack)
        return True

    def increment(self, key: str, amount: int = 1, *, ack: Ack = None) -> Any:
        with self.cluster.lock:
            total = (self.cluster.data.get((self.name, key)) or 0) + amount
            twice = self.cluster.lies.counts_twice
            self.cluster.write(self.name, key, total + twice, ack)
            return total

    def apply(
        self, key: str, fn: Callable[..., int], /, *args: float, default: int, ack: Ack = None
    ) -> int:
        with self.cluster.lock:
            value = self.cluster.data.get((self.name, key), default)
            new = fn(value, *args)
            stored = value if self.cluster.lies.forgets_applies else new
            twice = self.cluster.lies.applies_twice
            self.cluster.write(self.name, key, fn(new, *args) if twice else stored, ack)
            return new

    def apply_many(
        self,
        keys: Iterable[str],
        fn: Callable[..., int],
        /,
        *args: float,
        default: int,
        ack: Ack = None,
    ) -> dict[str, int]:
        try:
            return {key: self.apply(key, fn, *args, default=default, ack=ack) for key in keys}
        except PartitionLostError as error:
            raise PartitionLostError("others are written", "unknown") from error


def partition_of(key: str) -> int:
    return encode_key(key, KEY_BYTES_MAX)[0]
