"""Which changes of primary the network process tells of: those after a death, however it knows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from grid.membership.members import MemberList
from grid.membership.messages import MemberState
from grid.partition.table import PartitionTable
from grid.process.network import NetworkProcess
from grid.wire.family import PromotionKnown

from .test_events import FIRST, SECOND, fresh_log, member, table

BOTH, WITHOUT = table([FIRST, SECOND]), table([FIRST])


@pytest.mark.parametrize(
    ("state", "known", "is_told"),
    [
        (MemberState.ALIVE, BOTH, False),  # A handover.
        (MemberState.SUSPECT, BOTH, False),
        (MemberState.DEAD, BOTH, True),
        (MemberState.DEAD, WITHOUT, True),
        (MemberState.ALIVE, WITHOUT, True),  # The table is quicker than the gossip.
    ],
)
def test_promotion_is_told_if_member_list_or_table_says_that_the_source_is_gone(
    state: MemberState, known: PartitionTable | None, is_told: bool
) -> None:
    members, log = MemberList(member(1)), fresh_log()
    members.merge(msgspec.structs.replace(member(2), state=state))
    process = SimpleNamespace(
        _plane=SimpleNamespace(
            membership=SimpleNamespace(members=members), follower=SimpleNamespace(table=known)
        ),
        _events=log,
        _lost_at_most=0,
    )
    NetworkProcess._on_promotion(cast(NetworkProcess, process), PromotionKnown(SECOND, 64, 5))
    assert [event.text for event in log.since(0)] == (
        ["took over 64 partitions of desk-2; at most 5 writes lost"] if is_told else []
    )
    assert process._lost_at_most == (5 if is_told else 0)
