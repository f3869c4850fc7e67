"""Samples of the messages of every conversation, and settings for hypothesis."""

from __future__ import annotations

import contextlib
import enum
import random
import types
import typing
from typing import Any

import msgspec
from hypothesis import settings

from grid.membership.messages import MemberRecord, MemberState
from grid.partition.table import VACANT, PartitionTable, make_table
from grid.types import PARTITION_COUNT, NodeId, TableStamp
from grid.wire import catalog
from grid.wire.report import NodeReport

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=100)
THOROUGH = settings(REPEATABLE, max_examples=200)

DECODERS: dict[str, catalog.Decoder[Any]] = {
    name: value for name, value in vars(catalog).items() if isinstance(value, catalog.Decoder)
}

WORST_RECORD = MemberRecord(
    id=bytes(16),
    name="\N{GRINNING FACE}" * 63,  # The longest name that is configurable, in 4 bytes each.
    hosts=("h" * 253,),  # The longest host name there is.
    port=65_535,
    pid=2**22,
    storage_processes=64,
    workers=1024,
    incarnation=2**62,
    state=MemberState.SUSPECT,
    accuser=bytes(16),
)
WORST_REPORT = NodeReport(
    stamp=TableStamp(2**63, bytes(16), 2**63),
    cpu_percent=99.9,
    memory_percent=99.9,
    entries=2**63,
    tasks_queued=2**63,
    tasks_running=2**63,
    tasks_done=2**63,
    at_risk=2**63,
    unprotected=2**63,
    lost_at_most=2**63,
    operations_per_s=2**63,
    tasks_retried=2**63,
    age_s=2**63,
)


def usual_record(number: int) -> MemberRecord:
    """Return a record as a LAN has them."""
    return MemberRecord(
        id=random.Random(number).randbytes(16),
        name=f"library-{number}",
        hosts=(f"192.168.1.{number % 250 + 1}",),
        port=7701,
        pid=12_000 + number,
        storage_processes=4,
        workers=8,
        incarnation=2,
        state=MemberState.ALIVE,
    )


def table_of(seed: int) -> PartitionTable:
    """Return a table with up to five nodes and some lost partitions."""
    generator = random.Random(seed)
    order = [NodeId(generator.randbytes(16)) for _ in range(generator.randrange(6))]
    owners = [generator.choice([*order, None]) for _ in range(PARTITION_COUNT)]
    epochs = [generator.randrange(2**40) for _ in range(PARTITION_COUNT)]
    stamp = TableStamp(generator.randrange(2**40), generator.randbytes(16), 7)
    table = make_table(stamp, order, owners, epochs)
    assert VACANT in table.primaries
    return table


def message_of(kind: Any, generator: random.Random) -> Any:
    """Return one of everything that the type `kind` allows on the wire."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return allowed_of(kind, arguments[0], generator)
    if origin in (types.UnionType, typing.Union):
        return message_of(generator.choice(arguments), generator)
    if origin is list:
        return [message_of(arguments[0], generator) for _ in range(generator.randrange(4))]
    if origin is tuple and arguments[-1] is Ellipsis:
        return tuple(message_of(arguments[0], generator) for _ in range(generator.randrange(4)))
    if origin is tuple:
        return tuple(message_of(argument, generator) for argument in arguments)
    if origin is dict:
        key, value = arguments
        count = generator.randrange(4)
        return {message_of(key, generator): message_of(value, generator) for _ in range(count)}
    if kind is PartitionTable:
        return table_of(generator.randrange(2**16))
    if kind in _PRIMITIVES:
        return generator.choice(_PRIMITIVES[kind])
    if issubclass(kind, enum.Enum):
        return generator.choice(list(kind))
    if issubclass(kind, msgspec.Struct):
        fields = [field.type for field in msgspec.structs.fields(kind)]
    else:
        fields = list(typing.get_type_hints(kind).values())  # a NamedTuple
    return kind(*(message_of(field, generator) for field in fields))


def allowed_of(kind: Any, base: Any, generator: random.Random) -> Any:
    """Return one of what a type with bounds (`msgspec.Meta`) allows."""
    for _ in range(1_000):
        value = message_of(base, generator)
        with contextlib.suppress(msgspec.ValidationError):
            msgspec.convert(value, kind)
            return value
    raise AssertionError(f"no sample fits {kind}")


_PRIMITIVES: dict[Any, tuple[Any, ...]] = {
    bool: (False, True),
    int: (0, 1, -1, 127, 128, 65_536, 2**32, 2**63, 2**64 - 1, -(2**31) - 1, -(2**63)),
    float: (0.0, -0.0, 12.5, 1e300, 5e-324, float("inf")),
    str: ("", "a", "José", "x" * 300, "\x00", "\N{GRINNING FACE}"),
    bytes: (b"", b"\x00", b"0123456789abcdef", bytes(300), b"\xff\xc1"),
    memoryview: tuple(map(memoryview, (b"", b"\x00", bytes(300), b"\xff\xc1"))),
    type(None): (None,),
}


def members_of(union: Any) -> tuple[type[msgspec.Struct], ...]:
    """Return the message classes of a conversation, which may consist of one."""
    members: tuple[type[msgspec.Struct], ...] = typing.get_args(union) or (union,)
    return members
