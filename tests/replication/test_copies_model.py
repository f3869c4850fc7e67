"""Copies under everything at once: loss, delay, repetition, fills, handovers, promotions.

After any of it, a copy is what its partition once was; what was confirmed is there; of the rest no
more is lost than was said; and no request is carried out twice.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from grid.storage.messages import (
    Clear,
    Condition,
    Delete,
    Done,
    Increment,
    Missing,
    Put,
    PutAll,
    PutIf,
    Refused,
    RemoveAll,
    Reply,
    Request,
    Take,
    TakeAny,
    WithBackup,
)
from grid.storage.replies import Held

from .clusters import PARTITIONS, Cluster
from .pairs import MAP

CLIENTS = (b"client-of-16-byt", b"another-16-bytes")

partitions = st.sampled_from(PARTITIONS)
keys = st.sampled_from([b"j", b"k", b"l", b"m"])
values = st.sampled_from([b"\x01\x05", b"v", bytes(700)])
ttls = st.sampled_from([0, 0, 0, 400])
clients = st.sampled_from(CLIENTS)
sometimes = st.sampled_from([False, False, True])
single_kinds = st.sampled_from(["put", "put if", "delete", "take", "increment"])
many_kinds = st.sampled_from(["put all", "remove all"])


class CopiesUnderEverything(RuleBasedStateMachine):
    """A cluster that is never left alone."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.letters = iter("defghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        self.answered: list[tuple[int, bytes, Request, Reply]] = []

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.cluster = Cluster()
        self.rest()
        self.cluster.world.random.seed(seed)

    # -- requests -------------------------------------------------------------------------

    @rule(p=partitions, kind=single_kinds, key=keys, value=values, ttl_ms=ttls, client=clients,
          waits=sometimes, repeats=st.integers(1, 4))  # fmt: skip
    def write(self, p, kind, key, value, ttl_ms, client, waits, repeats) -> None:
        for _ in range(repeats):
            self.number += 1
            request = single(kind, self.number, p, key, value, ttl_ms)
            self.send(p, request, client, waits=waits)

    @rule(p=partitions, kind=many_kinds, some=st.lists(st.tuples(partitions, keys), max_size=5),
          value=values, client=clients, waits=sometimes)  # fmt: skip
    def write_many(self, p, kind, some, value, client, waits) -> None:
        serving = self.cluster.primary_of(p)
        if serving is None:
            return
        by_id = self.cluster.world[serving[0]].store.partitions.by_id
        here = [(p, b"k"), *((q, key) for q, key in some if q in by_id)]
        self.number += 1
        request = many(kind, self.number, {q: by_id[q].epoch for q, _ in here}, here, value)
        self.send(p, request, client, waits=waits)

    @rule(p=partitions, kind=st.sampled_from(["clear", "take any"]))
    def write_without_a_number(self, p: int, kind: str) -> None:
        serving = self.cluster.primary_of(p)
        if serving is not None:
            epochs = [(p, serving[1].epoch)]
            request = Clear(0, MAP, epochs) if kind == "clear" else TakeAny(0, MAP, epochs)
            self.cluster.try_to(serving[0], request, CLIENTS[0])

    def send(self, p: int, request: Request, client: bytes, *, waits: bool) -> None:
        serving = self.cluster.primary_of(p)
        if serving is None:
            return
        request = with_epoch(request, p, serving[1].epoch)
        sent = WithBackup(request) if waits else request  # type: ignore[arg-type]
        reply = self.cluster.try_to(serving[0], sent, client)
        for _ in range(20):
            if reply is None:
                self.cluster.turn()
                reply = self.cluster.try_to(serving[0], sent, client)
        if reply is not None:
            told = reply.reply if isinstance(reply, Held) else reply
            if not isinstance(told, Refused | Missing) and (
                not isinstance(told, Done) or told.count
            ):
                self.answered.append((p, client, request, told))

    @rule(which=st.integers(0, 2), turns=st.sampled_from([0, 1, 3, 30]))
    def flush(self, which: int, turns: int) -> None:
        names = self.cluster.names
        self.cluster.flush(names[which % len(names)])
        for _ in range(turns):
            self.cluster.turn()

    @rule(which=st.integers(0, 10_000), waits=st.booleans())
    def repeat(self, which: int, waits: bool) -> None:
        """What is known to be carried out is told again; what was lost may be done again."""
        if not self.answered:
            return
        p, client, request, first = self.answered[-1 - which % min(40, len(self.answered))]
        serving = self.cluster.primary_of(p)
        if serving is None:
            return
        name, held = serving
        known = held.results.clients.get(client)
        by_id = self.cluster.world[name].store.partitions.by_id
        places = set(getattr(request, "partitions", bytes([p])))
        if known is None or request.request not in known.results or not places <= by_id.keys():
            return
        if isinstance(request, PutAll | RemoveAll) and not all(
            client in by_id[q].results.clients
            and request.request in by_id[q].results.clients[client].results
            for q in places
        ):
            return
        request = with_epoch(request, p, held.epoch, {q: by_id[q].epoch for q in places})
        before = {q: one.sequence for q, one in by_id.items()}
        sent = WithBackup(request) if waits else request  # type: ignore[arg-type]
        reply = self.cluster.try_to(name, sent, client)
        if reply is None or (isinstance(reply, Refused) and waits):
            return
        assert {q: one.sequence for q, one in by_id.items()} == before, "carried out twice"
        assert (reply.reply if isinstance(reply, Held) else reply) == first

    # -- time and messages ----------------------------------------------------------------

    @rule(turns=st.integers(1, 30), seconds=st.sampled_from([0.001, 0.001, 0.01]))
    def time_passes(self, turns: int, seconds: float) -> None:
        for _ in range(turns):
            self.cluster.turn(seconds)

    @rule()
    def much_time_passes(self) -> None:
        for _ in range(30):
            self.cluster.turn(0.05)

    @rule(loss=st.sampled_from([0.0, 0.0, 0.2, 0.5]), repetition=st.sampled_from([0.0, 0.2]),
          delay_max_s=st.sampled_from([0.0, 0.0, 0.003, 0.05]))  # fmt: skip
    def weather_changes(self, loss: float, repetition: float, delay_max_s: float) -> None:
        world = self.cluster.world
        world.loss, world.repetition, world.delay_max_s = loss, repetition, delay_max_s

    @rule()
    def expire(self) -> None:
        self.cluster.expire()

    @rule(p=partitions)
    def compare(self, p: int) -> None:
        serving = self.cluster.primary_of(p)
        if serving is not None:
            self.cluster.world[serving[0]].replicator._primaries.compare(serving[1])

    # -- the table ------------------------------------------------------------------------

    @rule(which=st.integers(0, 2))
    def table_arrives(self, which: int) -> None:
        names = self.cluster.names
        self.cluster.deliver(names[which % len(names)])

    @rule()
    def tables_arrive(self) -> None:
        self.cluster.deliver_all()

    @rule(brings=st.booleans())
    def coordinator_works(self, brings: bool) -> None:
        for p in PARTITIONS:
            self.cluster.synchronize(p)
        if brings:
            self.cluster.deliver_all()

    @rule(p=partitions, which=st.integers(0, 2))
    def name_copy(self, p: int, which: int) -> None:
        self.cluster.name_copy(p, self.cluster.names[which])

    @rule(p=partitions)
    def exchange_backup(self, p: int) -> None:
        self.cluster.exchange_backup(p)

    @rule(p=partitions)
    def hand_over(self, p: int) -> None:
        self.cluster.hand_over(p)

    @rule(which=st.integers(0, 2), is_any=st.sampled_from([True, False, False, False, False]),
          last_words=st.integers(0, 5), waits=sometimes,
          flushed_for=st.sampled_from([None, None, 0, 2, 5, 30]))  # fmt: skip
    def one_dies(
        self, which: int, is_any: bool, last_words: int, waits: bool, flushed_for: int | None
    ) -> None:
        """Most often one whose partitions have backups, while much is on the way."""
        name = self.cluster.names[which]
        table = self.cluster.table
        led = [p for p, roles in table.items() if roles.primary == name]
        if not is_any and not all(table[p].is_synced for p in led):
            return
        for p in led * last_words:
            self.number += 1
            self.send(p, Put(self.number, MAP, p, 0, b"last", b"v"), CLIENTS[0], waits=waits)
        if flushed_for is not None:
            self.flush(which, flushed_for)
        self.cluster.kill(name, next(self.letters))

    @rule()
    def rest(self) -> None:
        self.cluster.come_to_rest()
        for p in PARTITIONS:
            self.cluster.synchronize(p)
        self.cluster.come_to_rest()

    # -- what must be true ----------------------------------------------------------------

    @invariant()
    def every_complete_copy_is_what_its_partition_once_was(self) -> None:
        cluster = self.cluster
        for p, roles in cluster.table.items():
            if roles.is_synced and roles.backup in cluster.names:
                held = cluster.world[roles.backup].store.partitions.copies.get(p)
                copy = cluster.world[roles.backup].replicator._copies.known.get(p)
                if held is not None and copy is not None and copy.is_complete:
                    assert held.sequence >= cluster.pasts[p].confirmed
                    cluster.check_past(p, held)

    def teardown(self) -> None:
        self.rest()


def single(kind: str, number: int, p: int, key: bytes, value: bytes, ttl_ms: int) -> Request:
    match kind:
        case "put":
            return Put(number, MAP, p, 0, key, value)
        case "put if":
            view = memoryview(value)
            return PutIf(number, MAP, p, 0, key, Condition.ALWAYS, b"", ttl_ms, view)
        case "delete":
            return Delete(number, MAP, p, 0, key, b"")
        case "take":
            return Take(number, MAP, p, 0, key)
        case _:
            return Increment(number, MAP, p, 0, key, 1)


def many(
    kind: str, number: int, epochs: dict[int, int], some: list[tuple[int, bytes]], value: bytes
) -> Request:
    places, named = bytes(p for p, _ in some), [key for _, key in some]
    if kind == "put all":
        values = [value] * len(some)
        return PutAll(number, MAP, list(epochs.items()), 0, places, named, values, 0, number)
    return RemoveAll(number, MAP, list(epochs.items()), 0, places, named, number)


def with_epoch(
    request: Request, p: int, epoch: int, epochs: dict[int, int] | None = None
) -> Request:
    """Return the same request in other epochs."""
    fields = [getattr(request, name) for name in request.__struct_fields__]
    if isinstance(request, PutAll | RemoveAll):
        fields[2] = fields[2] if epochs is None else list(epochs.items())
    else:
        fields[3] = epoch
    return type(request)(*fields)


CopiesUnderEverything.TestCase.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCopiesUnderEverything = CopiesUnderEverything.TestCase
