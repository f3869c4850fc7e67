"""Target owners: even, sticky, deterministic, with few moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.partition.assignment import assign, assign_backups
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


# -- backups ------------------------------------------------------------------------------


def alone(nodes: Sequence[NodeId]) -> dict[NodeId, str]:
    """Return a machine of its own for each node."""
    return {node_id: node_id.hex() for node_id in nodes}


class Layout:
    """Owners and backups, through joins and deaths."""

    def __init__(self) -> None:
        self.owners: Sequence[NodeId | None] = NOBODY
        self.backups: Sequence[NodeId | None] = NOBODY

    @property
    def copies(self) -> set[tuple[int, NodeId]]:
        both = (self.owners, self.backups)
        return {(p, n) for row in both for p, n in enumerate(row) if n is not None}

    def assign(self, nodes: Sequence[NodeId], hosts: dict[NodeId, str] | None = None) -> None:
        pairs = zip(self.backups, self.owners, strict=True)
        present = [[n for n in pair if n is not None and n in nodes] for pair in pairs]
        others = [[n] if n in nodes and n is not None else [] for n in self.backups]
        owners = assign(nodes, self.owners, copies=others)
        where = alone(nodes) if hosts is None else hosts
        self.backups = assign_backups(nodes, where, owners, present)
        self.owners = owners

    def lose(self, node_id: NodeId) -> None:
        """Promote the backups of a node that died."""
        pairs = list(zip(self.owners, self.backups, strict=True))
        self.owners = [backup if owner == node_id else owner for owner, backup in pairs]
        self.backups = [None if node_id in pair else pair[1] for pair in pairs]


def spread(shares: Counter[NodeId]) -> int:
    return max(shares.values()) - min(shares.values())


def check(layout: Layout, nodes: Sequence[NodeId]) -> None:
    for owner, backup in zip(layout.owners, layout.backups, strict=True):
        assert owner in nodes
        assert backup in nodes
        assert owner != backup
    owned = [owner for owner in layout.owners if owner is not None]
    assert spread(Counter(owned)) <= 1
    assert spread(Counter(n for _, n in layout.copies)) <= 1


@pytest.mark.parametrize("seed", range(4))
def test_joins_move_no_copy_more_than_the_minimum(seed: int) -> None:
    nodes = random_nodes(Random(seed), 12)
    layout = Layout()
    layout.assign(nodes[:1])
    assert layout.backups == NOBODY
    for count in range(2, len(nodes) + 1):
        before = layout.copies
        layout.assign(nodes[:count])
        check(layout, nodes[:count])
        minimum = 2 * PARTITION_COUNT // count
        assert len(layout.copies - before) <= minimum * 1.05


@pytest.mark.parametrize("seed", range(4))
def test_death_moves_hardly_a_copy_that_need_not_be_made(seed: int) -> None:
    random = Random(seed)
    nodes = random_nodes(random, 12)
    layout = Layout()
    for count in range(1, 13):
        layout.assign(nodes[:count])
    while len(nodes) > 2:
        dead = nodes.pop(random.randrange(len(nodes)))
        layout.lose(dead)
        survived = layout.copies
        layout.assign(nodes)
        check(layout, nodes)
        missing = 2 * PARTITION_COUNT - len(survived)
        assert len(layout.copies - survived) <= missing * 1.05


@repeatable
@given(seeds, st.integers(2, 12))
def test_copies_are_even_whoever_has_what(seed: int, count: int) -> None:
    random = Random(seed)
    nodes = random_nodes(random, count)
    layout = Layout()
    layout.owners, layout.backups = random_owners(random, nodes), random_owners(random, nodes)
    layout.assign(nodes)
    check(layout, nodes)
    settled = layout.copies
    layout.assign(random.sample(nodes, count))
    assert layout.copies == settled


@repeatable
@given(seeds, st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_backup_is_on_another_host_however_uneven_they_are(seed: int, sizes: list[int]) -> None:
    random = Random(seed)
    nodes = random_nodes(random, sum(sizes))
    names = [str(host) for host, size in enumerate(sizes) for _ in range(size)]
    hosts = dict(zip(nodes, names, strict=True))
    layout = Layout()
    layout.assign(nodes, hosts)
    for owner, backup in zip(layout.owners, layout.backups, strict=True):
        assert owner is not None
        assert backup is not None
        assert hosts[owner] != hosts[backup]
    settled = layout.copies
    layout.assign(nodes, hosts)
    assert layout.copies == settled
    if max(sizes) * 2 <= sum(sizes) - 1:
        assert spread(Counter(n for _, n in layout.copies)) <= 1


def test_nodes_of_one_host_back_each_other() -> None:
    nodes = random_nodes(Random(1), 3)
    layout = Layout()
    layout.assign(nodes, dict.fromkeys(nodes, "one"))
    check(layout, nodes)


def test_what_is_lost_has_no_backup_and_counts_for_nobody() -> None:
    nodes = random_nodes(Random(2), 3)
    lost = set(range(0, PARTITION_COUNT, 3))
    owners = assign(nodes, NOBODY, lost)
    backups = assign_backups(nodes, alone(nodes), owners, [[]] * PARTITION_COUNT, lost)
    assert {p for p, backup in enumerate(backups) if backup is None} == lost
    shares = Counter(n for row in (owners, backups) for n in row if n is not None)
    assert spread(shares) <= 1


def test_a_hundred_nodes_are_assigned_as_well() -> None:
    nodes = random_nodes(Random(3), 100)
    layout = Layout()
    layout.assign(nodes)
    check(layout, nodes)
