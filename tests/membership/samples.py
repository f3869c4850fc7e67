"""Members to test with, and short ways to look at effects."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

import msgspec

from grid.membership.messages import MemberRecord, MemberState
from grid.membership.options import MembershipOptions
from grid.membership.swim import Swim
from grid.types import NODE_ID_BYTES, Address, NodeId

E = TypeVar("E")

ALIVE, SUSPECT, DEAD, LEFT = MemberState


def node_id(number: int) -> NodeId:
    return NodeId(number.to_bytes(NODE_ID_BYTES, "big"))


def record(number: int, state: MemberState = ALIVE, incarnation: int = 0) -> MemberRecord:
    return MemberRecord(
        id=node_id(number),
        name=f"n{number}",
        host=f"10.0.{number // 250}.{number % 250 + 1}",
        port=7701,
        pid=number,
        storage_processes=1,
        workers=1,
        incarnation=incarnation,
        state=state,
    )


def changed(source: MemberRecord, **changes: object) -> MemberRecord:
    return msgspec.structs.replace(source, **changes)


def swim(number: int = 1, seed: int = 1) -> Swim:
    return Swim(record(number), MembershipOptions(), Random(seed), lambda: b"report")


def address(number: int) -> Address:
    return record(number).address


def of_kind(kind: type[E], effects: Sequence[object]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]
