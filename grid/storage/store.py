"""What one storage process holds: partitions of maps, as plain dicts of bytes.

Responsible for: answering each request about one entry, and passing on the others (``many.py``);
the same result for the same request repeated (``results.py``); telling copies what has changed.

Not responsible for: which partitions there are (``partitions.py``), what becomes of changes
(``replication/``), sockets and frames (``process/storage.py``), the meaning of a value (opaque
bytes).

Plain function calls, no effect objects: this is the hot path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grid.storage.changes import KEEPS_DATE, Change, Result
from grid.storage.many import ManyEntries
from grid.storage.messages import (
    LARGE_VALUE_BYTES,
    Clear,
    Condition,
    Delete,
    Done,
    Flush,
    Found,
    Get,
    GetAll,
    GetUnlessDone,
    Increment,
    InNameOf,
    Missing,
    Put,
    PutAll,
    PutIf,
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
    WithBackup,
)
from grid.storage.options import StorageOptions
from grid.storage.partition import Partition, Table
from grid.storage.partitions import Partitions, RefusedError
from grid.storage.protection import check_protected, flush, survived, told_when_safe
from grid.storage.record import SEQUENCE_BITS, VERSION_BYTES, added, version_of
from grid.storage.replies import Held, found
from grid.storage.results import KeptResult, kept
from grid.storage.scans import Scans

CHANGE_BYTES = 64
"""What a change takes besides key and value, about."""


class Store:
    """All partitions of one storage process."""

    def __init__(self, options: StorageOptions, clock: Callable[[], float]) -> None:
        """Start without partitions: everything is refused until some are served.

        `clock` counts seconds and never goes back; read only where entries have a time to live.
        """
        self._key_bytes_max = options.key_bytes_max
        self._value_bytes_max = options.value_bytes_max
        self._clock = clock
        self.partitions = self._held = Partitions()
        self._by_id = self._held.by_id
        self.serve = self._held.serve
        self.release = self._held.release
        self.holdings = self._held.holdings
        self._client = b""
        self._keeps_failures = True
        """A write whose condition does not hold is not tried again under its number."""
        self.protects = False
        """Whether the table provides for backups at all."""
        self._scans = Scans(self._by_id, clock)
        self._many = many = ManyEntries(self._held, options, clock)
        self.expire = many.expire
        self.took_over = many.took_over
        self._handlers: dict[type[Request], Callable[[Any], Reply | Held]] = {
            Get: self._get,
            Put: self._put,
            PutIf: self._put_if,
            Delete: self._delete,
            Take: self._take,
            Increment: self._increment,
            GetAll: self._get_all,
            PutAll: lambda request: many.put_all(request, self._client),
            RemoveAll: lambda request: many.remove_all(request, self._client),
            TakeAny: many.take_any,
            Size: many.size,
            Clear: many.clear,
            Scan: self._scan,
            WithBackup: self._with_backup,
            Flush: lambda request: flush(request, self._held, protects=self.protects),
            Survived: lambda request: survived(request, self._held),
            GetUnlessDone: self._get_unless_done,
            InNameOf: self._in_name_of,
        }

    @property
    def has_expiries(self) -> bool:
        """Whether some entry has, or had, a time to live."""
        return self._many.has_expiries

    # -- requests -------------------------------------------------------------------------

    def handle(self, request: Request, client: bytes = b"") -> Reply | Held:
        """Carry out one request of a client, or tell again what became of a repeated one.

        Raises: MustWaitError when it cannot be carried out now; nothing was changed.
        """
        self._client = client
        try:
            reply = self._handlers[type(request)](request)
            self._held.operations += 1
            return reply
        except RefusedError as refusal:
            return Refused(request.request, refusal.reason, refusal.partition)

    def _get(self, request: Get | GetUnlessDone) -> Reply | Held:
        held = self._by_id.get(request.partition)
        if held is None or held.read_gate != request.epoch:
            held = self._held.get(request.partition, request.epoch)  # Says why not.
        table = held.tables.get(request.map)
        if table is None:
            return self._when_confirmed(held, request, Missing(request.request))
        record = table.records.get(request.key)
        if table.expiries is not None:
            record = self._living(table, request.key)
        if held.unconfirmed:
            return self._when_confirmed(held, request, found(request.request, record))
        if record is not None and len(record) <= LARGE_VALUE_BYTES:
            return Found(request.request, record)
        return found(request.request, record)

    def _get_unless_done(self, request: GetUnlessDone) -> Reply | Held:
        held = self._held.get(request.partition, request.epoch)
        known = held.results.clients.get(request.client)
        number = request.operation
        if known is None or (number > known.floor and number not in known.results):
            return self._get(request)
        done = known.results.get(number)
        if not isinstance(done, Done):
            raise RefusedError(RefusalReason.FORGOTTEN, request.partition)
        return told_when_safe(Done(request.request, done.count, done.version), held)

    def _put(self, request: Put) -> Reply | Held:
        number, key, value = request.request, request.key, request.value
        if len(key) > self._key_bytes_max or len(value) > self._value_bytes_max:
            raise RefusedError(RefusalReason.TOO_LARGE, request.partition)
        held = self._by_id.get(request.partition)
        if held is None or held.write_gate != request.epoch:
            held = self._held.get_to_write(request.partition, request.epoch)  # Says why not.
        client = self._client
        results = held.results.clients.get(client) or held.results.of(client)
        if number in results.results or number <= results.floor:
            return self._repeated(held, request.partition, number)
        table = held.tables.get(request.map) or self._held.new_table(held, request.map)
        held.sequence = sequence = held.sequence + 1
        version = (held.epoch << SEQUENCE_BITS) + sequence
        record = table.records[key] = version.to_bytes(VERSION_BYTES, "big") + value
        if len(record) > self._many.largest_bytes:
            self._many.largest_bytes = len(record)
        if table.expiries is not None:
            table.expiries.forget(key)
        done = Done(number, 1, version)
        if client:
            results.is_idle = False
            results.add(number, done)
        if held.unconfirmed:
            held.unconfirmed.pop((request.map, key), None)
        if held.outlets:
            change = Change(
                request.partition, held.epoch, sequence, request.map, key, value, 0,
                client, number, Result.STORED,
            )  # fmt: skip
            size_bytes = len(key) + len(record) + CHANGE_BYTES
            at_risk = 0 if self._many.is_with_backup else 1
            for outlet in held.outlets:
                outlet.append(change, size_bytes, at_risk)
        return done

    def _put_if(self, request: PutIf) -> Reply | Held:
        if len(request.key) > self._key_bytes_max or len(request.value) > self._value_bytes_max:
            raise RefusedError(RefusalReason.TOO_LARGE, request.partition)
        held, again = self._to_write(request)
        if again is not None:
            return again
        present = self._living(held.table(request.map), request.key)
        match request.condition:
            case Condition.ABSENT if present is not None:
                reply = self._unchanged(held, Found(request.request, present))
                return self._when_confirmed(held, request, reply)
            case Condition.PRESENT if present is None:
                return self._unchanged(held, Done(request.request, 0))
            case Condition.SAME if present is None or version_of(present) != request.version:
                return self._unchanged(held, Done(request.request, 0))
        record = self._store(held, request, request.value, request.ttl_ms, Result.STORED)
        version = int.from_bytes(record[:VERSION_BYTES], "big")
        return self._keep(held, Done(request.request, 1, version))

    def _delete(self, request: Delete) -> Reply | Held:
        held, again = self._to_write(request)
        if again is not None:
            return again
        present = self._living(held.table(request.map), request.key)
        if present is None or (request.version and version_of(present) != request.version):
            return self._unchanged(held, Done(request.request, 0))
        self._remove(held, request, Result.REMOVED)
        version = (held.epoch << SEQUENCE_BITS) + held.sequence
        return self._keep(held, Done(request.request, 1, version))

    def _take(self, request: Take) -> Reply | Held:
        held, again = self._to_write(request)
        if again is not None:
            return again
        present = self._living(held.table(request.map), request.key)
        if present is None:
            return self._unchanged(held, Missing(request.request))
        self._remove(held, request, Result.TAKEN)
        self._keep_result(held, request.request, kept(request.request, present))
        return found(request.request, present)

    def _increment(self, request: Increment) -> Reply | Held:
        if len(request.key) > self._key_bytes_max:
            raise RefusedError(RefusalReason.TOO_LARGE, request.partition)
        held, again = self._to_write(request)
        if again is not None:
            return again
        present = self._living(held.table(request.map), request.key)
        value = added(present, request.amount)
        if value is None:
            raise RefusedError(RefusalReason.NOT_COUNTABLE, request.partition)
        ttl_ms = 0 if present is None else KEEPS_DATE
        record = self._store(held, request, value, ttl_ms, Result.COUNTED)
        return self._keep(held, Found(request.request, record))

    def _get_all(self, request: GetAll) -> Reply | Held:
        reply = self._many.get_all(request)
        waits = self._many.unconfirmed_of(request)
        return Held(reply, waits) if waits else reply

    def _scan(self, request: Scan) -> Reply:
        self._held.check(request.epochs)
        page = self._scans.next_page(request)
        if page is None:
            raise RefusedError(RefusalReason.SCAN_EXPIRED, 0)
        return page

    # -- what a write has in common with others -------------------------------------------

    def _to_write(
        self, request: PutIf | Delete | Take | Increment
    ) -> tuple[Partition, Reply | Held | None]:
        """Return the partition, and the reply if the request was carried out already."""
        held = self._held.get_to_write(request.partition, request.epoch)
        results = held.results.of(self._client)
        if request.request in results.results or request.request <= results.floor:
            return held, self._repeated(held, request.partition, request.request)
        return held, None

    def _repeated(self, held: Partition, partition_id: int, number: int) -> Reply:
        """Return the first result of a request that comes again."""
        result = held.results.of(self._client).results.get(number)
        if result is None:
            raise RefusedError(RefusalReason.FORGOTTEN, partition_id)
        return found(number, result.record) if isinstance(result, Found) else result

    def _in_name_of(self, request: InNameOf) -> Reply | Held:
        self._client, self._keeps_failures = request.client, False
        try:
            return self._handlers[type(request.write)](request.write)
        finally:
            self._keeps_failures = True

    def _unchanged(self, held: Partition, reply: Done | Found | Missing) -> Reply:
        """Keep the result of a write that has changed nothing, and return the reply.

        A try that was held up on its way may arrive after its repetition, and must not be carried
        out then. Copies need not know these: what was sent to another node does not arrive here.
        """
        if self._keeps_failures:
            return self._keep(held, reply)
        return found(reply.request, reply.record) if isinstance(reply, Found) else reply

    def _keep(self, held: Partition, reply: Done | Found | Missing) -> Reply:
        """Keep a result for a repeated request, and return the reply."""
        if isinstance(reply, Found):
            self._keep_result(held, reply.request, kept(reply.request, reply.record))
            return found(reply.request, reply.record)
        self._keep_result(held, reply.request, reply)
        return reply

    def _keep_result(self, held: Partition, number: int, result: KeptResult) -> None:
        if self._client:
            held.results.of(self._client).add(number, result)

    def _store(
        self,
        held: Partition,
        request: PutIf | Increment,
        value: bytes | memoryview,
        ttl_ms: int,
        result: Result,
    ) -> bytes:
        """Store an entry; return its record."""
        table = held.tables.get(request.map) or self._held.new_table(held, request.map)
        record = held.next_version() + value
        table.records[request.key] = record
        self._many.note_size(len(value))
        self._many.set_expiry(table, (request.key,), ttl_ms)
        held.unconfirmed.pop((request.map, request.key), None)
        if held.outlets:
            self._tell(held, request, memoryview(record)[VERSION_BYTES:], ttl_ms, result)
        return record

    def _remove(self, held: Partition, request: Delete | Take, result: Result) -> None:
        """Remove an entry that is there."""
        held.tables[request.map].remove(request.key)
        held.sequence += 1
        held.unconfirmed.pop((request.map, request.key), None)
        if held.outlets:
            self._tell(held, request, None, 0, result)

    def _tell(
        self,
        held: Partition,
        request: PutIf | Increment | Delete | Take,
        value: memoryview | None,
        ttl_ms: int,
        result: Result,
    ) -> None:
        """Tell the copies; the value is a view, so that a large one is not copied."""
        change = Change(
            request.partition,
            held.epoch,
            held.sequence,
            request.map,
            request.key,
            value,  # type: ignore[arg-type]  # Encoded alike; decoded as bytes.
            ttl_ms,
            self._client,
            request.request,
            result,
        )
        size_bytes = len(request.key) + (0 if value is None else len(value)) + CHANGE_BYTES
        at_risk = 0 if self._many.is_with_backup else 1
        for outlet in held.outlets:
            outlet.append(change, size_bytes, at_risk)

    def _living(self, table: Table, key: bytes) -> bytes | None:
        """Return the record if its time is not over."""
        record = table.records.get(key)
        if record is None or table.expiries is None:
            return record
        return None if table.expiries.is_over(key, self._clock()) else record

    # -- copies ---------------------------------------------------------------------------

    def _when_confirmed(
        self, held: Partition, request: Get | GetUnlessDone | PutIf, reply: Reply
    ) -> Reply | Held:
        """Let a reader wait for a write whose writer waits for a backup."""
        sequence = held.unconfirmed.get((request.map, request.key))
        return reply if sequence is None else Held(reply, ((held, sequence),))

    def _with_backup(self, request: WithBackup) -> Reply | Held:
        write = request.write
        if isinstance(write, PutAll | RemoveAll):
            concerned = self._held.check_batch(
                write.epochs, write.digest, write.partitions, write.keys
            )
            chosen = [self._by_id[p] for p in sorted(concerned)]
            entries = [(p, key) for p, key in zip(write.partitions, write.keys, strict=True)]
        else:
            chosen = [self._held.get(write.partition, write.epoch)]
            entries = [(write.partition, write.key)]
        check_protected(chosen)
        before = {held.partition_id: held.sequence for held in chosen}
        self._many.is_with_backup = True
        try:
            reply = self._handlers[type(write)](write)
        finally:
            self._many.is_with_backup = False
        for p, key in entries:
            held = self._by_id[p]
            if held.sequence != before[p] and held.confirmed < held.sequence:
                held.unconfirmed.pop((write.map, key), None)  # The latest come last.
                held.unconfirmed[write.map, key] = held.sequence
        waits = tuple((held, held.sequence) for held in chosen if held.confirmed < held.sequence)
        return Held(reply.reply if isinstance(reply, Held) else reply, waits) if waits else reply
