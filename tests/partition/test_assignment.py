"""Target owners: even, sticky, deterministic, with few moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.partition.assignment import assign
from grid.types import NODE_ID_BYTES, PARTITION_COUNT, NodeId

from .samples import node

repeatable = settings(derandomize=True, deadline=None, max_examples=40)
seeds = st.integers(0, 1_000_000)
NOBODY: list[NodeId | None] = [None] * PARTITION_COUNT


def random_nodes(random: Random, count: int) -> list[NodeId]:
    return [NodeId(random.randbytes(NODE_ID_BYTES)) for _ in range(count)]


def random_owners(random: Random, nodes: Sequence[NodeId]) -> list[NodeId | None]:
    """Owners of no order at all: some missing, some gone, shares uneven."""
    gone = NodeId(random.randbytes(NODE_ID_BYTES))
    weights = [random.random() ** 3 for _ in range(len(nodes) + 2)]
    return random.choices([*nodes, gone, None], weights, k=PARTITION_COUNT)


def moved(before: Sequence[NodeId | None], after: Sequence[NodeId | None]) -> int:
    return sum(old != new for old, new in zip(before, after, strict=True))


@repeatable
@given(seeds, st.integers(1, 20))
def test_shares_differ_by_at_most_one(seed: int, count: int) -> None:
    random = Random(seed)
    nodes = random_nodes(random, count)
    shares = Counter(assign(nodes, random_owners(random, nodes)))
    assert set(shares) == set(nodes)
    assert max(shares.values()) - min(shares.values()) <= 1


@repeatable
@given(seeds, st.integers(1, 12))
def test_holder_within_its_share_keeps_everything(seed: int, count: int) -> None:
    random = Random(seed)
    nodes = random_nodes(random, count)
    owners = random_owners(random, nodes)
    held = Counter(owners)
    targets = assign(nodes, owners)
    for owner, target in zip(owners, targets, strict=True):
        if owner in nodes and held[owner] <= PARTITION_COUNT // count:
            assert target == owner


@repeatable
@given(seeds, st.integers(1, 12))
def test_balanced_assignment_is_left_alone(seed: int, count: int) -> None:
    random = Random(seed)
    nodes = random_nodes(random, count)
    targets = assign(nodes, random_owners(random, nodes))
    assert assign(nodes, targets) == targets


@repeatable
@given(seeds, st.integers(1, 12))
def test_order_of_the_members_does_not_matter(seed: int, count: int) -> None:
    random = Random(seed)
    nodes = random_nodes(random, count)
    owners = random_owners(random, nodes)
    shuffled = random.sample(nodes, count)
    assert assign(shuffled, owners) == assign(nodes, owners)


@pytest.mark.parametrize("seed", range(3))
def test_join_moves_within_five_percent_of_the_minimum(seed: int) -> None:
    nodes = random_nodes(Random(seed), 33)
    targets: Sequence[NodeId | None] = assign(nodes[:1], NOBODY)
    for count in range(2, len(nodes) + 1):
        before, targets = targets, assign(nodes[:count], targets)
        minimum = PARTITION_COUNT // count
        assert minimum <= moved(before, targets) <= minimum * 1.05
        assert {new for old, new in zip(before, targets, strict=True) if old != new} == {
            nodes[count - 1]
        }


@pytest.mark.parametrize("seed", range(3))
def test_leave_moves_only_what_the_leaver_held(seed: int) -> None:
    nodes = random_nodes(Random(seed), 20)
    targets = assign(nodes, NOBODY)
    while len(nodes) > 1:
        leaver = nodes.pop()
        before, targets = targets, assign(nodes, targets)
        assert moved(before, targets) == Counter(before)[leaver]


def test_single_node_takes_everything() -> None:
    assert assign([node(1)], NOBODY) == [node(1)] * PARTITION_COUNT


def test_more_nodes_than_partitions_leave_some_without() -> None:
    nodes = random_nodes(Random(1), PARTITION_COUNT + 4)
    assert max(Counter(assign(nodes, NOBODY)).values()) == 1


def test_no_node_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no node"):
        assign([], NOBODY)
