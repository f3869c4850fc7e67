"""Following the table: handing over, taking over, giving up, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from grid.partition.messages import HoldingRole
from grid.replication.replicator import RELEASE_DEADLINE_S, RESULTS_IDLE_S, Promotion
from grid.storage.messages import (
    Condition,
    Delete,
    Done,
    Flush,
    Found,
    Get,
    Increment,
    Put,
    PutAll,
    PutIf,
    RefusalReason,
    Refused,
    RemoveAll,
    Request,
    Survived,
    Take,
)
from grid.storage.partitions import MustWaitError
from grid.storage.replies import Held

from .pairs import CLIENT, MAP, World, is_over


def put_if(epoch: int) -> PutIf:
    return PutIf(7, MAP, 1, epoch, b"k", Condition.ALWAYS, b"", 0, memoryview(b"first"))


def put_all(epoch: int) -> PutAll:
    return PutAll(6 + epoch, MAP, [(1, epoch)], 0, b"\x01", [b"k"], [b"first"], 0, 7)


WRITES: dict[str, Callable[[int], Request]] = {
    "Put": lambda epoch: Put(7, MAP, 1, epoch, b"k", b"first"),
    "PutIf": put_if,
    "Delete": lambda epoch: Delete(7, MAP, 1, epoch, b"k", b""),
    "Take": lambda epoch: Take(7, MAP, 1, epoch, b"k"),
    "Increment": lambda epoch: Increment(7, MAP, 1, epoch, b"k", 1),
    "PutAll": put_all,
    "RemoveAll": lambda epoch: RemoveAll(6 + epoch, MAP, [(1, epoch)], 0, b"\x01", [b"k"], 7),
}


@pytest.fixture(name="world")
def fixture_world() -> World:
    """A world where a leads partition 1 and b has its backup; `k` is a number."""
    world = World("abc")
    world.serve({1: (1, "ab")})
    world.settle()
    world.serve({1: (1, "ab+")})
    world.put("a", b"k", b"\x01\x05", number=1_000)
    world.settle()
    return world


def role(world: World, name: str) -> tuple[HoldingRole, int] | None:
    held = world[name].replicator.holdings()
    return (held[0].role, held[0].epoch) if held else None


def hand_over(world: World, giver: str, taker: str, epoch: int) -> None:
    world[giver].replicator.release(1, [], [1])
    for _ in range(100):
        if world[giver].released:
            break
        world.turn()
    assert world[giver].released.pop() == [1]
    world.serve({1: (epoch, f"{taker}{giver}+")})


def promote(world: World) -> None:
    world.kill("a")
    world.serve({1: (2, "b")}, living="bc")


# -- moving -----------------------------------------------------------------------------------


def test_handover_loses_nothing_and_the_old_primary_stays_as_backup(world: World) -> None:
    world.put("a", b"l")
    hand_over(world, "a", "b", 2)
    assert (role(world, "a"), role(world, "b")) == (
        (HoldingRole.BACKUP, 2),
        (HoldingRole.PRIMARY, 2),
    )
    assert world["b"].entries() == world["a"].entries()
    assert set(world["b"].entries()) == {b"k", b"l"}
    assert world["b"].store.partitions.by_id[1].is_protected
    world.put("b", b"m")
    world.settle()
    assert world["a"].entries() == world["b"].entries()


def test_partition_may_go_to_and_fro_without_being_filled_again(world: World) -> None:
    for epoch, (giver, taker) in enumerate([("a", "b"), ("b", "a")] * 3, start=2):
        world[giver].replicator._primaries.compare(world[giver].store.partitions.by_id[1])
        hand_over(world, giver, taker, epoch)
        held = world[giver].store.partitions.copies[1]
        world.put(taker, b"%d" % epoch)
        for _ in range(50):
            world.turn()
            assert world[taker].store.partitions.by_id[1].is_protected
        assert world[giver].store.partitions.copies[1] is held
        assert world["a"].entries() == world["b"].entries()


def test_frozen_partition_carries_out_nothing_and_loses_nothing(world: World) -> None:
    world.is_cut = True
    world["a"].replicator.release(1, [], [1])
    for request in (Get(9, MAP, 1, 1, b"k"), Put(9, MAP, 1, 1, b"k", b"v")):
        with pytest.raises(MustWaitError):
            world["a"].store.handle(request, CLIENT)
    assert world["a"].replicator.released[0].partition_ids == [1]
    world.serve({1: (1, "ab+")})  # Whatever the table says next, it is served again.
    assert isinstance(world["a"].store.handle(Get(9, MAP, 1, 1, b"k")), Found)


def test_partition_whose_copies_do_not_catch_up_is_not_handed_over(world: World) -> None:
    world.put("a", b"l")
    world.is_cut = True
    world["a"].replicator.release(1, [], [1])
    world.settle(100)
    assert world["a"].released == []
    world.turn(RELEASE_DEADLINE_S)
    assert world["a"].released == [[]]
    assert isinstance(world["a"].store.handle(Get(9, MAP, 1, 1, b"k")), Found)


def test_successors_change_comes_before_the_table(world: World) -> None:
    world["a"].replicator.release(1, [], [1])
    world.turn()
    world["b"].replicator.serve(world.assignments("b", {1: (2, "ba+")}), frozenset(world.by_id))
    world.put("b", b"l")
    world.settle(20)
    assert role(world, "a") == (HoldingRole.BACKUP, 2)
    assert world["a"].entries() == world["b"].entries()
    world.serve({1: (2, "ba+")})
    world.put("b", b"m")
    world.settle(20)
    assert world["a"].entries() == world["b"].entries()
    assert world["b"].store.partitions.by_id[1].is_protected


def test_empty_partition_is_given_up_and_one_with_entries_is_not(world: World) -> None:
    world.serve({1: (1, "ab+"), 2: (1, "ab")})
    world["a"].replicator.release(4, [1, 2, 3], [])
    world.turn(0)
    assert world["a"].released == [[2, 3]]
    assert [holding.partition_id for holding in world["a"].replicator.holdings()] == [1]


def test_primary_that_the_table_takes_unawares_gives_up(world: World) -> None:
    world.serve({1: (2, "ba")})
    world.settle()
    assert role(world, "b") == (HoldingRole.PRIMARY, 2)
    assert role(world, "a") == (HoldingRole.BACKUP, 2)
    assert world["a"].entries() == world["b"].entries()


# -- taking over ------------------------------------------------------------------------------


def test_promotion_tells_how_much_is_lost_at_most(world: World) -> None:
    world["a"].replicator.want({1: 20})
    world.settle(20)
    world.is_cut = True
    for number in range(3):
        world.put("a", b"%d" % number)
    world.turn(0.01)
    promote(world)
    world.turn(0)
    (promotion,) = world["b"].promotions
    assert (promotion.source, promotion.partitions) == (b"a" * 16, 1)
    assert 3 <= promotion.lost_at_most <= 40
    assert set(world["b"].entries()) == {b"k"}


def test_promotion_after_a_while_without_writes_loses_nothing(world: World) -> None:
    world.put("a", b"l")
    world.settle(2_000)
    promote(world)
    world.turn(0)
    assert world["b"].promotions == [Promotion(b"a" * 16, 1, 0)]
    assert set(world["b"].entries()) == {b"k", b"l"}


@pytest.mark.parametrize("writes", [0, 1, 300])
def test_promotion_after_a_flush_loses_nothing(world: World, writes: int) -> None:
    for number in range(writes):
        world.put("a", b"%d" % number, number=2_000 + number)
    held = world["a"].store.handle(Flush(7, [(1, 1)]))
    assert isinstance(held, Held)
    assert bool(world["a"].replicator.at_risk) == bool(writes)
    while not is_over(held):
        world.turn()
    assert world["a"].replicator.at_risk == 0
    promote(world)
    world.turn(0)
    assert world["b"].promotions == [Promotion(b"a" * 16, 1, 0)]
    assert len(world["b"].entries()) == 1 + writes


def test_writers_get_their_turn_however_much_is_flushed(world: World) -> None:
    waiting = 0
    for number in range(20):
        request = Put(2_000 + number, MAP, 1, 1, b"%d" % number, b"v")
        for _ in range(100):
            world["a"].store.handle(Flush(7, [(1, 1)]))
            world["a"].replicator.step()  # What is due comes before those who wait.
            try:
                world["a"].store.handle(request, CLIENT)
                break
            except MustWaitError as wait:
                world["a"].replicator.want(wait.entries)
                waiting += 1
                world.turn()
        else:
            raise AssertionError("it waits for ever")
    assert 0 < waiting < 100


def test_writes_that_were_lost_and_those_that_were_not_are_known(world: World) -> None:
    kept = world.put("a", b"kept")
    world.settle(20)
    world.is_cut = True
    lost = world.put("a", b"lost")
    promote(world)
    versions = [reply.version for reply in (kept, lost) if isinstance(reply, Done)]
    replies = [world.ask("b", Survived(9, 1, 2, version)) for version in versions]
    assert replies == [Done(9, 1), Done(9, 0)]
    newer = world.put("b", b"newer")
    assert isinstance(newer, Done)
    assert newer.version > versions[1]
    assert world.ask("b", Survived(9, 1, 2, newer.version)) == Done(9, 1)


def test_what_the_dead_had_on_its_way_comes_too_late(world: World) -> None:
    world.put("a", b"l")
    world.settle(20)
    world.put("a", b"late")
    world.now_s += world.options.flush_interval_s
    world["a"].replicator.step()
    on_the_way = world["a"].replicator.take_outgoing()
    assert [outgoing.node_id for outgoing in on_the_way] == [b"b" * 16]
    promote(world)
    world["b"].replicator.receive(b"a" * 16, 0, on_the_way[0].body)
    assert set(world["b"].entries()) == {b"k", b"l"}


def test_new_primary_knows_that_entries_end_and_how_large_they_are(world: World) -> None:
    value = memoryview(bytes(1_000))
    world.ask("a", PutIf(70, MAP, 1, 1, b"brief", Condition.ALWAYS, b"", 500, value))
    world.settle(50)
    promote(world)
    store = world["b"].store
    assert store.has_expiries
    assert store._many.largest_bytes == 1_008
    world.now_s += 0.5
    assert not store.expire()
    assert set(world["b"].entries()) == {b"k"}


def test_incomplete_copy_is_never_promoted_with_its_content(world: World) -> None:
    world.is_cut = True
    world.serve({1: (2, "ac")})
    world.turn()
    world.kill("a")
    world.serve({1: (3, "c")}, living="bc")
    assert world["c"].entries() == {}
    assert world["c"].replicator.promotions == []


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("how", ["promotion", "handover", "fill and handover"])
def test_repeated_request_is_known_wherever_the_partition_goes(
    name: str, how: str, world: World
) -> None:
    request, again = WRITES[name](1), WRITES[name](2)
    first = world.ask("a", request)
    world.put("a", b"k", b"newer", number=50)
    world.settle()
    heir = "b"
    if how == "promotion":
        promote(world)
    elif how == "handover":
        hand_over(world, "a", "b", 2)
    else:
        heir = "c"
        world.serve({1: (1, "ab+/c")})
        world.settle()
        hand_over(world, "a", "c", 2)
    reply = world.ask(heir, again)
    if isinstance(first, Done):
        first = Done(again.request, first.count, first.version)
    assert reply == first
    found = world.ask(heir, Get(9, MAP, 1, 2, b"k"))
    assert isinstance(found, Found)
    assert found.record[8:] == b"newer"


# -- housekeeping -----------------------------------------------------------------------------


def test_clients_that_are_silent_for_long_are_forgotten_everywhere(world: World) -> None:
    held = [
        world["a"].store.partitions.by_id[1],
        world["b"].store.partitions.copies[1],
    ]
    assert all(CLIENT in one.results.clients for one in held)
    for _ in range(5):
        world.turn(RESULTS_IDLE_S)
    assert all(one.results.clients == {} for one in held)


def test_nothing_is_unprotected_where_no_backups_are_wanted() -> None:
    world = World("a")
    world.serve({1: (1, "a")})
    world.put("a", b"k")
    assert world["a"].replicator.unprotected == 1
    world["a"].replicator.protect(protects=False)
    assert world["a"].replicator.unprotected == 0


def test_entries_without_a_complete_backup_are_counted(world: World) -> None:
    assert world["a"].replicator.unprotected == 0
    world.serve({1: (2, "a")})
    assert world["a"].replicator.unprotected == 1


def test_what_is_no_message_of_the_stream_is_refused(world: World) -> None:
    with pytest.raises(msgspec.MsgspecError):
        world["a"].replicator.receive(b"b" * 16, 0, b"\x91\x07")


def test_sleep_is_as_long_as_nothing_is_due(world: World) -> None:
    world.settle(3_000)
    replicator = world["a"].replicator
    assert replicator.due_s > world.now_s + 1.0
    world["a"].replicator.want({1: 5})
    assert replicator.due_s <= world.now_s
    world.settle(10)
    world.put("a", b"l")
    assert replicator.due_s == pytest.approx(world.now_s + world.options.flush_interval_s)
    replicator.hurry([world["a"].store.partitions.by_id[1]])
    assert replicator.due_s <= world.now_s


def test_refusal_after_promotion_names_what_to_do(world: World) -> None:
    promote(world)
    wrong = Refused(9, RefusalReason.WRONG_EPOCH, 1)
    assert world.ask("b", Get(9, MAP, 1, 1, b"k")) == wrong
