"""`apply` at the data: reads an entry, calls the user's function, stores what it returns.

Runs in: worker processes, of the node that owns the entries where that has one free.

Exactly once. The entry is replaced only if it still has the version that was read; if not, the
function is called again with the new value. A task may be run again after its worker or node has
died, perhaps between the write and the answer; so each apply has a number, dealt out by the caller
(``turns.py``), under which it is written whoever does it (`InNameOf`), and which the copies of the
partition know as well. It is asked for with each read (`GetUnlessDone`), before the function is
called: a function that would fail on its own result never sees it. If the write was done already,
its result is the entry as long as that has the version of the write; else it is not known any
more, and the call fails with outcome "applied".

A number that is not applied when its entry is read and applied when it is written was applied by
this task's own request, sent again by ``requests/core.py``, or by an earlier task whose node was
only taken for dead; for both the value is the one computed here, if the function is a function of
the value.

Not here: which keys go together, deadlines of a call as a whole (``applies.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from grid.client.code.calls import TASK_BYTES_MAX
from grid.client.code.roots import Pickled
from grid.client.entries.entry_operations import in_pieces
from grid.client.processing.here import shell_here
from grid.client.requests.core import Core, MakeRequest, raise_unknown
from grid.client.requests.steps import Operation, Pause
from grid.errors import OperationError, OperationTimeoutError, ValueTooLargeError
from grid.storage.changes import KEEPS_DATE
from grid.storage.messages import (
    Condition,
    Delete,
    Done,
    Found,
    FoundLarge,
    Get,
    GetUnlessDone,
    InNameOf,
    PutIf,
    Reply,
    WithBackup,
)
from grid.storage.record import VERSION_BYTES, version_of
from grid.wire.keys import decode_key, quoted
from grid.wire.values import decode_record, split_value

SLICE_S = 2.0
"""A task that has taken so long gives back the entries that it has not begun."""

RESULT_BYTES = 8 * 1024 * 1024
"""So does one whose new values take so much."""

RECORD_BYTES_MAX = TASK_BYTES_MAX - 1024
"""What is stored is the result of a task, too."""

PAUSE_MIN_S, PAUSE_MAX_S = 0.001, 0.05
"""Between two tries when others write the same entry; each pause doubles, from the second on."""


class _Removal(Enum):
    """An enum, because its member is the same object in every process."""

    REMOVE = "remove"


REMOVE: Any = _Removal.REMOVE
"""What a function given to `apply` returns to have the entry removed."""

Entry = tuple[int, bytes, int]
"""Partition, key, and the number under which it is written."""


@dataclass(frozen=True, slots=True)
class ApplyCall:
    """What a task is to do."""

    map_name: str
    client: bytes
    """In whose name."""
    function: Pickled
    """With its arguments."""
    default: Pickled
    """The value of what is not there; each entry gets its own."""
    entries: list[Entry]
    with_backup: bool
    value_bytes_max: int
    left_s: float
    """For all of it, from its start on."""


def run_applies(call: ApplyCall) -> list[bytes | None]:
    """Apply to the first entries, as many as go into a slice, one at least.

    Returns: their records, None for what is removed.

    Raises: what the function raises; OperationError; SerializationError and its kin.
    """
    shell = shell_here()
    core = shell.core
    began_s = core.clock()
    applying = Applying(core, call, began_s + call.left_s)
    records: list[bytes | None] = []
    size_bytes = 0
    for entry in call.entries:
        try:
            record = shell.run(applying.on(entry))
        except BaseException as error:
            error.add_note(f"in apply to {quoted(decode_key(entry[1]))} of map {call.map_name!r}")
            if records and isinstance(error, OperationError):
                raise_unknown(error, "other entries of the same call have been written")
            raise
        records.append(record)
        size_bytes += 0 if record is None else len(record)
        if size_bytes >= RESULT_BYTES or core.clock() - began_s >= SLICE_S:
            break
    return records


class Applying:
    """One function, applied to one entry after the other."""

    def __init__(self, core: Core, call: ApplyCall, deadline_s: float) -> None:
        """Load the function."""
        self._core = core
        self._call = call
        self._deadline_s = deadline_s
        self._function, self._args = call.function.load()

    def on(self, entry: Entry) -> Operation[bytes | None]:
        """Apply to one entry; return its record, None if it is removed."""
        attempt = 0
        while True:
            reply = yield from self._ask(entry, self._looking(entry))
            if isinstance(reply, Done):
                return (yield from self._applied_before(entry, reply.version))
            if isinstance(reply, Found | FoundLarge):
                version = version_of(reply.record)
                value = decode_record(reply.record)
            else:
                version, value = b"", self._call.default.load()
            new = self._function(value, *self._args)
            if new is REMOVE and not version:
                return None
            self._check_time()
            if new is REMOVE:
                stored = None
                reply = yield from self._ask(entry, self._removing(entry, version))
            else:
                stored = self._split(entry, new)
                reply = yield from self._ask(entry, *self._storing(entry, version, *stored))
            if isinstance(reply, Done) and reply.count:
                header = reply.version.to_bytes(VERSION_BYTES, "big")
                return None if stored is None else header + stored[0] + stored[1]
            if attempt:
                pause_s = min(PAUSE_MIN_S * 2 ** min(attempt, 16), PAUSE_MAX_S)
                yield Pause(pause_s * self._core.random.uniform(0.1, 1))
            attempt += 1

    def _ask(
        self, entry: Entry, make: MakeRequest, payload: bytes | None = None
    ) -> Operation[Reply]:
        return self._core.on_partition(entry[0], make, payload, deadline_s=self._deadline_s)

    def _check_time(self) -> None:
        if self._core.clock() >= self._deadline_s:
            raise OperationTimeoutError(
                "the time for apply is over; others may have written the entry again and again, or "
                "the function takes long",
                "not_applied",
            )

    def _applied_before(self, entry: Entry, version: int) -> Operation[bytes | None]:
        """Return the result of a task that died after its write, if it is still there."""
        partition_id, key, _ = entry
        name = self._call.map_name
        reply = yield from self._ask(entry, lambda n, epoch: Get(n, name, partition_id, epoch, key))
        if isinstance(reply, Found | FoundLarge):
            record = bytes(reply.record)
            if int.from_bytes(version_of(record), "big") == version:
                return record
        raise OperationError(
            "it was applied, and its worker died before it could answer; the entry has been "
            "removed or changed since, so its result is not known",
            "applied",
        )

    # -- requests -------------------------------------------------------------------------

    def _looking(self, entry: Entry) -> MakeRequest:
        partition_id, key, number = entry
        name, client = self._call.map_name, self._call.client
        return lambda request, epoch: GetUnlessDone(
            request, name, partition_id, epoch, key, client, number
        )

    def _removing(self, entry: Entry, version: bytes) -> MakeRequest:
        partition_id, key, number = entry
        name = self._call.map_name
        return self._named(lambda epoch: Delete(number, name, partition_id, epoch, key, version))

    def _storing(
        self, entry: Entry, version: bytes, tag: bytes, payload: bytes
    ) -> tuple[MakeRequest, bytes | None]:
        partition_id, key, number = entry
        name = self._call.map_name
        start, more = in_pieces(tag, payload)
        # Of an entry that is not there, an old date may still be.
        ttl_ms = KEEPS_DATE if version else 0
        condition = Condition.SAME if version else Condition.ABSENT

        def make(epoch: int) -> PutIf:
            return PutIf(number, name, partition_id, epoch, key, condition, version, ttl_ms, start)

        return self._named(make), more

    def _named(self, make: Callable[[int], PutIf | Delete]) -> MakeRequest:
        """Write in the caller's name and under its number, which is none of this worker's.

        The reply bears it as well. It meets no other one: a blocking shell has one request at a
        time on a connection.
        """
        client, with_backup = self._call.client, self._call.with_backup
        return lambda _, epoch: InNameOf(
            client, WithBackup(make(epoch)) if with_backup else make(epoch)
        )

    def _split(self, entry: Entry, new: object) -> tuple[bytes, bytes]:
        key: object = decode_key(entry[1])
        tag, payload = split_value(new, self._call.value_bytes_max, key)
        if len(payload) > RECORD_BYTES_MAX:
            raise ValueTooLargeError(
                f"the new value of {quoted(key)} takes {len(payload):,} bytes; at most "
                f"{RECORD_BYTES_MAX:,} are allowed in apply"
            )
        return tag, payload
