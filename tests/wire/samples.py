"""Strategies for keys, values and the messages of every conversation."""

from __future__ import annotations

import enum
import functools
import random
import types
import typing
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from grid.membership.messages import MemberRecord, MemberState
from grid.partition.table import VACANT, PartitionTable, make_table
from grid.types import PARTITION_COUNT, NodeId, TableStamp
from grid.wire import catalog
from grid.wire.report import NodeReport

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=100)
THOROUGH = settings(REPEATABLE, max_examples=300)

DECODERS: dict[str, catalog.Decoder[Any]] = {
    name: value for name, value in vars(catalog).items() if isinstance(value, catalog.Decoder)
}

WORST_RECORD = MemberRecord(
    id=bytes(16),
    name="\N{GRINNING FACE}" * 63,  # The longest name that is configurable, in 4 bytes each.
    host="h" * 253,  # The longest host name there is.
    port=65_535,
    pid=2**22,
    storage_processes=64,
    workers=1024,
    incarnation=2**63,
    state=MemberState.SUSPECT,
)
WORST_REPORT = NodeReport(
    stamp=TableStamp(2**63, bytes(16), 2**63),
    cpu_percent=99.9,
    memory_percent=99.9,
    entries=2**63,
    tasks_queued=2**63,
    tasks_running=2**63,
    tasks_done=2**63,
)


def usual_record(number: int) -> MemberRecord:
    """Return a record as a LAN has them."""
    return MemberRecord(
        id=random.Random(number).randbytes(16),
        name=f"library-{number}",
        host=f"192.168.1.{number % 250 + 1}",
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


@functools.cache
def messages_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy of everything that the type `kind` allows on the wire."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    result: st.SearchStrategy[Any]
    if origin in (types.UnionType, typing.Union):
        result = st.one_of([messages_of(member) for member in arguments])
    elif origin is list:
        result = st.lists(messages_of(arguments[0]), max_size=4)
    elif origin is tuple:
        result = st.tuples(*[messages_of(argument) for argument in arguments])
    elif origin is dict:
        result = st.dictionaries(*[messages_of(argument) for argument in arguments], max_size=4)
    elif kind is PartitionTable:
        result = st.integers(0, 2**16).map(table_of)
    elif issubclass(kind, enum.Enum):
        result = st.sampled_from(kind)
    elif issubclass(kind, msgspec.Struct):
        fields = [messages_of(field.type) for field in msgspec.structs.fields(kind)]
        result = st.builds(kind, *fields)
    elif hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        result = st.builds(kind, *[messages_of(hints[name]) for name in kind._fields])
    else:
        result = _PRIMITIVES[kind]
    return result


_PRIMITIVES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=20),
    bytes: st.binary(max_size=20),
    type(None): st.none(),
}


def members_of(union: Any) -> tuple[type[msgspec.Struct], ...]:
    """Return the message classes of a conversation, which may consist of one."""
    members: tuple[type[msgspec.Struct], ...] = typing.get_args(union) or (union,)
    return members
