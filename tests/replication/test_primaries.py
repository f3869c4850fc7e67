"""Primaries and their copies: what is confirmed, who waits, what is filled anew."""

from __future__ import annotations

import pytest

from grid.partition.messages import HoldingRole
from grid.replication.options import ReplicationOptions
from grid.storage.messages import Done, Flush, Get, Put, PutAll, RefusalReason, Refused, WithBackup
from grid.storage.partitions import MustWaitError
from grid.storage.replies import Held

from .pairs import CLIENT, MAP, World, id_of, is_over


def paired(names: str = "ab", options: ReplicationOptions | None = None) -> World:
    """Return a world where b has the backup of a's partition 1, and nothing is on the way."""
    world = World(names, options)
    world.serve({1: (1, "ab")})
    world.settle()
    world.serve({1: (1, "ab+")})
    world.settle()
    return world


@pytest.fixture(name="world")
def fixture_world() -> World:
    return paired()


def warm(world: World) -> None:
    """Have writes allowed: they need not wait for the other side any more."""
    world["a"].replicator.want({1: 50})
    world.settle(20)
    assert not world["a"].store.partitions.shut


def held_put(world: World, key: bytes, *, epoch: int = 1) -> Held:
    world.number += 1
    reply = world.ask("a", WithBackup(Put(world.number, MAP, 1, epoch, key, b"v")))
    assert isinstance(reply, Held)
    return reply


def is_protected(world: World, name: str = "a") -> bool:
    return world[name].store.partitions.by_id[1].is_protected


# -- what is confirmed ------------------------------------------------------------------------


def test_copy_that_is_filled_counts_when_the_table_says_so() -> None:
    world = World()
    world.serve({1: (1, "ab")})
    world.put("a", b"k")
    world.settle()
    assert world["a"].entries() == world["b"].entries()
    request = WithBackup(Put(9, MAP, 1, 1, b"l", b"v"))
    assert world.ask("a", request) == Refused(9, RefusalReason.NO_BACKUP, 1)
    world.serve({1: (1, "ab+")})
    assert is_protected(world)


def test_synced_copy_that_is_not_complete_protects_nothing() -> None:
    world = World()
    world.serve({1: (1, "ab")})
    world.is_cut = True
    world.serve({1: (1, "ab+")})
    world.settle()
    # A new outlet that the table calls synced was handed over; this one is known not to be.
    assert not is_protected(world)


def test_write_is_confirmed_when_its_backup_has_it_and_not_before(world: World) -> None:
    warm(world)
    world.is_cut = True
    held = held_put(world, b"k")
    world.settle()
    assert not is_over(held)
    assert b"k" not in world["b"].entries()
    world.is_cut = False
    world.settle(600)
    assert is_over(held)
    assert world["a"].entries() == world["b"].entries()


def test_write_is_confirmed_when_every_complete_copy_has_it() -> None:
    world = paired("abc")
    world.serve({1: (1, "ab+/c")})
    world.settle()
    assert len(world["a"].replicator.holdings()[0].complete) == 2
    warm(world)
    world.by_id.pop(world["c"].node_id)  # Nothing comes or goes there.
    held = held_put(world, b"k")
    world.settle()
    assert b"k" in world["b"].entries()
    assert not is_over(held)
    world.serve({1: (2, "ab+")}, living="ab")
    assert held_put(world, b"l", epoch=2)
    world.settle()
    assert is_over(held)


def test_deposed_primary_is_told_nothing_that_it_could_count_on(world: World) -> None:
    warm(world)
    nodes = frozenset(world.by_id)
    world["b"].replicator.serve(world.assignments("b", {1: (2, "b")}), nodes)
    held = held_put(world, b"k")
    world.settle(500)
    assert not is_over(held)
    assert not is_protected(world)
    world.number += 1
    flush = Flush(world.number, [(1, 1)])
    assert isinstance(world["a"].store.handle(flush), Refused)


def test_backup_that_the_table_takes_away_confirms_nothing_more(world: World) -> None:
    warm(world)
    world.is_cut = True
    held = held_put(world, b"k")
    world.serve({1: (2, "a")})
    world.is_cut = False
    world.settle(500)
    assert not is_over(held)
    assert not is_protected(world)
    assert world["b"].store.partitions.copies == {}


# -- gates ------------------------------------------------------------------------------------


def test_writers_wait_while_the_window_is_full() -> None:
    world = paired(options=ReplicationOptions(window_operations_max=5, window_age_max_s=60))
    warm(world)
    world.is_cut = True
    for number in range(5):
        world["a"].store.handle(Put(100 + number, MAP, 1, 1, b"k", b"v"), CLIENT)
    with pytest.raises(MustWaitError):
        world["a"].store.handle(Put(110, MAP, 1, 1, b"k", b"v"), CLIENT)
    assert not isinstance(world["a"].store.handle(Get(1, MAP, 1, 1, b"k")), Refused)
    world.is_cut = False
    world.settle(400)
    assert isinstance(world["a"].store.handle(Put(110, MAP, 1, 1, b"k", b"v"), CLIENT), Done)


def test_writers_wait_while_the_backup_is_silent_for_too_long(world: World) -> None:
    warm(world)
    world.is_cut = True
    world.put("a", b"k")
    world.settle(200)
    with pytest.raises(MustWaitError):
        world["a"].store.handle(Put(110, MAP, 1, 1, b"k", b"v"), CLIENT)
    # A dead backup is no longer waited for once the table says so.
    world.serve({1: (2, "a")}, living="a")
    assert isinstance(world["a"].store.handle(Put(110, MAP, 1, 2, b"k", b"v"), CLIENT), Done)
    assert world["a"].replicator.at_risk == 0


def test_batch_waits_until_all_its_entries_are_allowed(world: World) -> None:
    count = 5_000
    keys = [number.to_bytes(4, "big") for number in range(count)]
    request = PutAll(1, MAP, [(1, 1)], 0, b"\x01" * count, keys, [b"v"] * count, 0)
    warm(world)
    with pytest.raises(MustWaitError) as raised:
        world["a"].store.handle(request, CLIENT)
    assert raised.value.entries == {1: count}
    assert world["a"].entries() == {}
    assert world.ask("a", request) == Done(1, count)
    assert world["a"].replicator.at_risk == count
    world.settle()
    assert world["a"].replicator.at_risk == 0
    assert world["b"].entries() == world["a"].entries()


def test_partition_without_complete_copies_waits_for_nobody() -> None:
    world = World()
    world.serve({1: (1, "ab"), 2: (1, "a")})
    world.is_cut = True
    for partition in (1, 2):
        for number in range(100):
            request = Put(number, MAP, partition, 1, b"k", b"v")
            assert isinstance(world["a"].store.handle(request, CLIENT), Done)


# -- copies that are not what they should be --------------------------------------------------


def spoil(world: World, name: str) -> None:
    held = world[name].store.partitions.copies[1]
    held.table_to_write(MAP).records[b"spoiled"] = bytes(9)


def test_copy_that_is_different_is_found_by_comparing_and_filled_anew(world: World) -> None:
    world.put("a", b"k")
    world.settle()
    spoil(world, "b")
    world["a"].replicator.take_change()
    world.settle(40_000)  # More than an interval of comparing.
    assert world["a"].entries() == world["b"].entries()
    assert is_protected(world)
    assert world["a"].replicator.take_change()
    assert world["b"].replicator.take_change()


def test_copy_that_was_lost_on_its_way_is_filled_anew_by_the_next_write(world: World) -> None:
    warm(world)
    world["b"].replicator._copies.drop(1)
    held = held_put(world, b"k")
    world.turn(0.006)
    world.turn(0.006)
    assert not is_over(held)
    world.settle(300)
    assert is_over(held)
    assert world["a"].entries() == world["b"].entries()


def test_what_is_said_of_the_copy_before_does_not_begin_the_fill_again(world: World) -> None:
    warm(world)
    world["b"].replicator._copies.drop(1)
    (channel,) = world["a"].replicator._primaries.channels.values()
    begun = []
    for number in range(60):
        if number < 5:
            world.put("a", b"k")
        world["a"].replicator.hurry([world["a"].store.partitions.by_id[1]])
        world.turn()
        begun.append(channel.outlets[1].begun_in)
    assert is_protected(world)
    assert len(set(begun)) == 2, "that of the first fill, and that of the second"
    assert world["a"].entries() == world["b"].entries()


def test_primary_without_its_only_complete_copy_is_not_handed_over(world: World) -> None:
    world["b"].replicator._copies.drop(1)
    world.put("a", b"k")
    for _ in range(100):
        if not is_protected(world):
            break
        world.turn()
    world["a"].replicator.release(1, [], [1])
    assert world["a"].released == []
    world.settle(300)
    assert world["a"].released == [[1]], "after it has been filled anew"


def test_nothing_is_sent_to_nodes_that_are_gone(world: World) -> None:
    world.put("a", b"k")
    world.serve({1: (2, "a")}, living="a")
    assert world["a"].replicator._primaries.channels == {}
    assert world["a"].replicator.take_outgoing() == []


@pytest.mark.parametrize("turns_before", range(0, 48, 3))
def test_copy_whose_fill_was_on_its_way_belongs_to_the_new_epoch_as_soon_as_it_is_complete(
    turns_before: int,
) -> None:
    world = World("abc")
    world.serve({1: (1, "ab+")})
    for number in range(20):
        world.put("a", b"key %d" % number)
    world.settle()
    world.serve({1: (1, "ab+/c")})
    world.delay_max_s = 0.02
    world.settle(turns_before)
    world.kill("b")
    world.serve({1: (2, "ac")}, living="ac")
    world.settle(1_000)  # A second; the next digest is due within thirty.
    (primary,) = world["a"].replicator.holdings()
    (copy,) = world["c"].replicator.holdings()
    assert (copy.role, copy.epoch) == (HoldingRole.BACKUP, 2)
    assert (primary.epoch, primary.complete) == (2, [id_of("c")])
