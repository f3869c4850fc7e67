"""Who may change a copy, and when it is known not to be what it should."""

from __future__ import annotations

import pytest

from grid.replication.messages import (
    Digest,
    FillBegin,
    FillEnd,
    FillPage,
    Item,
    Parcel,
    Receipt,
)
from grid.replication.receiving import Copies, Sender
from grid.storage.applying import digest_of
from grid.storage.changes import Change, Cleared, Result
from grid.storage.partition import Partition
from grid.storage.partitions import Partitions

MAP = "m"
A, B, C = (letter * 16 for letter in (b"a", b"b", b"c"))
PRIMARY, OTHER = Sender(A, 0), Sender(B, 0)


class Receiver:
    """Copies by themselves, and senders who number their parcels."""

    def __init__(self) -> None:
        self.partitions = Partitions()
        self.demoted: list[int] = []
        self.copies = Copies(self.partitions, lambda: 0.0, self.demoted.append)
        self.numbers: dict[Sender, int] = {}

    def send(self, *items: Item, sender: Sender = PRIMARY) -> Receipt:
        number = self.numbers[sender] = self.numbers.get(sender, 0) + 1
        return self.copies.receive(sender, Parcel(number, number, number + 5, list(items)))

    def fill(self, epoch: int = 1, sequence: int = 0, sender: Sender = PRIMARY) -> Receipt:
        history = [(epoch, 0)]
        return self.send(
            FillBegin(1, epoch, sequence, history), FillEnd(1, epoch, sequence, []), sender=sender
        )

    @property
    def held(self) -> Partition:
        return self.partitions.copies[1]

    def is_complete(self) -> bool:
        return 1 in self.copies.known and self.copies.known[1].is_complete


def stored(sequence: int, epoch: int = 1, partition: int = 1) -> Change:
    key = b"%d" % sequence
    return Change(partition, epoch, sequence, MAP, key, b"v", 0, b"", 0, Result.STORED)


@pytest.fixture(name="receiver")
def fixture_receiver() -> Receiver:
    """A receiver with a complete copy of partition 1."""
    receiver = Receiver()
    assert receiver.fill() == Receipt(1, False, [])
    assert receiver.is_complete()
    return receiver


# -- order ------------------------------------------------------------------------------------


def test_parcel_is_applied_once_however_often_it_comes(receiver: Receiver) -> None:
    parcel = Parcel(2, 1, 1, [stored(1)])
    for _ in range(3):
        assert receiver.copies.receive(PRIMARY, parcel) == Receipt(2, False, [])
    assert (receiver.held.sequence, receiver.held.entry_count) == (1, 1)


def test_parcel_after_a_gap_is_left_alone_and_said_so(receiver: Receiver) -> None:
    assert receiver.copies.receive(PRIMARY, Parcel(3, 2, 2, [stored(2)])) == Receipt(1, True, [])
    assert receiver.held.sequence == 0
    assert receiver.copies.receive(PRIMARY, Parcel(2, 1, 1, [stored(1)])) == Receipt(2, False, [])
    assert receiver.copies.receive(PRIMARY, Parcel(3, 2, 2, [stored(2)])) == Receipt(3, False, [])
    assert receiver.held.sequence == 2


def test_streams_of_two_processes_of_a_node_are_apart(receiver: Receiver) -> None:
    second = Sender(A, 1)
    assert receiver.copies.receive(second, Parcel(1, 9, 12, [])) == Receipt(1, False, [])
    receiver.send(stored(1))
    assert receiver.copies.lost_at_most(A) == 3 + 5
    assert receiver.copies.lost_at_most(B) == 0


@pytest.mark.parametrize("sequence", [0, 2, 7])
def test_change_that_is_not_the_next_one_breaks_the_copy(sequence: int, receiver: Receiver) -> None:
    assert receiver.send(stored(sequence)).broken == [1]
    assert not receiver.is_complete()
    assert receiver.copies.has_changed
    assert receiver.held.entry_count == 0
    assert receiver.send(stored(1)).broken == [1], "until it is filled anew"
    assert receiver.fill(sequence=7).broken == []
    assert receiver.is_complete()
    assert receiver.send(stored(8)).broken == []


def test_one_broken_copy_is_no_matter_to_the_others(receiver: Receiver) -> None:
    receiver.send(FillBegin(2, 1, 0, []), FillEnd(2, 1, 0, []))
    assert receiver.send(stored(5), stored(1, partition=2)).broken == [1]
    both = Cleared(MAP, [(1, 1, 6), (2, 1, 2)])
    assert receiver.send(both).broken == [1]
    assert receiver.partitions.copies[2].sequence == 2
    assert receiver.partitions.copies[2].entry_count == 0


def test_digest_that_does_not_fit_breaks_the_copy(receiver: Receiver) -> None:
    receiver.send(stored(1))
    entries, digest = digest_of(receiver.held)
    assert receiver.send(Digest(1, 1, 1, entries, digest)).broken == []
    assert receiver.send(Digest(1, 1, 1, entries, digest + 1)).broken == [1]
    assert not receiver.is_complete()


@pytest.mark.parametrize("item", [Digest(1, 1, 4, 0, 0), Digest(1, 1, 0, 1, 0)])
def test_digest_of_another_moment_or_of_more_entries_breaks_the_copy(
    item: Digest, receiver: Receiver
) -> None:
    assert receiver.send(item).broken == [1]


# -- filling ----------------------------------------------------------------------------------


def test_copy_is_complete_only_at_the_end_of_its_fill() -> None:
    receiver = Receiver()
    receiver.send(FillBegin(1, 3, 5, [(3, 0)]))
    page = FillPage(1, 3, MAP, [b"k"], [bytes(8) + b"v"], [])
    receiver.send(page, stored(6, epoch=3))
    assert not receiver.is_complete()
    receiver.send(FillEnd(1, 3, 6, []))
    assert receiver.is_complete()
    assert (receiver.held.epoch, receiver.held.sequence) == (3, 6)
    assert (receiver.held.entry_count, receiver.held.history) == (2, [(3, 0)])


def test_fill_that_ends_at_another_sequence_is_none() -> None:
    receiver = Receiver()
    assert receiver.send(FillBegin(1, 1, 5, []), FillEnd(1, 1, 6, [])).broken == [1]
    assert not receiver.is_complete()


def test_second_fill_begins_from_nothing(receiver: Receiver) -> None:
    receiver.send(stored(1))
    receiver.send(FillBegin(1, 1, 1, []))
    assert receiver.held.entry_count == 0
    assert not receiver.is_complete()


def test_rest_of_a_fill_whose_copy_was_dropped_is_refused(receiver: Receiver) -> None:
    receiver.send(FillBegin(1, 1, 1, []))
    receiver.copies.drop(1)
    page = FillPage(1, 1, MAP, [b"k"], [bytes(9)], [])
    assert receiver.send(page, FillEnd(1, 1, 1, [])).broken == [1]
    assert receiver.partitions.copies == {}


def test_fill_by_anybody_else_in_between_is_refused(receiver: Receiver) -> None:
    receiver.send(FillBegin(1, 2, 1, []))
    page = FillPage(1, 2, MAP, [b"k"], [bytes(9)], [])
    assert receiver.send(page, sender=OTHER).broken == [1]
    assert receiver.held.entry_count == 0
    assert receiver.send(page, FillEnd(1, 2, 1, [])).broken == []
    assert receiver.is_complete()


def test_fill_of_what_is_served_here_or_known_to_be_newer_is_refused(receiver: Receiver) -> None:
    receiver.copies.follow(1, 4, B, is_synced=True)
    assert receiver.fill(epoch=3).broken == [1]
    assert (receiver.held.epoch, receiver.is_complete()) == (4, True)
    receiver.partitions.own(2, 5)
    assert receiver.send(FillBegin(2, 9, 0, [])).broken == [1, 2]
    assert 2 not in receiver.partitions.copies


# -- who may change a copy --------------------------------------------------------------------


def test_higher_epoch_proves_its_sender_primary_before_the_table_comes(receiver: Receiver) -> None:
    receiver.send(stored(1))
    assert receiver.send(stored(2, epoch=2), sender=OTHER).broken == []
    assert (receiver.held.epoch, receiver.held.sequence) == (2, 2)
    assert receiver.send(stored(2)).broken == [1]
    assert receiver.is_complete(), "the deposed one says nothing about the copy"
    assert receiver.send(stored(3, epoch=2), sender=OTHER).broken == []


def test_same_epoch_of_anybody_else_is_refused(receiver: Receiver) -> None:
    assert receiver.send(stored(1), sender=OTHER).broken == [1]
    assert (receiver.is_complete(), receiver.held.sequence) == (True, 0)
    assert receiver.send(stored(1)).broken == []


def test_table_that_is_ahead_of_the_primary_leaves_its_changes_valid(receiver: Receiver) -> None:
    receiver.copies.follow(1, 5, A, is_synced=True)
    assert receiver.send(stored(1)).broken == []
    assert (receiver.held.epoch, receiver.held.sequence) == (5, 1)


def test_primary_that_the_table_has_deposed_is_refused(receiver: Receiver) -> None:
    receiver.copies.follow(1, 2, B)
    assert receiver.send(stored(1)).broken == [1]
    assert (receiver.is_complete(), receiver.held.sequence) == (True, 0)
    assert receiver.send(stored(1, epoch=2), sender=OTHER).broken == []


def test_older_table_changes_nothing(receiver: Receiver) -> None:
    receiver.copies.follow(1, 5, B, is_synced=True)
    receiver.copies.follow(1, 4, A, is_synced=True)
    assert (receiver.held.epoch, receiver.copies.known[1].source) == (5, B)


def test_primary_does_not_take_changes_unless_it_is_frozen() -> None:
    receiver = Receiver()
    own = receiver.partitions.own(1, 1)
    own.sequence = 4
    assert receiver.send(stored(5, epoch=2)).broken == [1]
    assert (receiver.demoted, own.sequence) == ([], 4)


def test_frozen_primary_is_demoted_by_its_successors_first_change() -> None:
    receiver = Receiver()
    own = receiver.partitions.own(1, 1)
    own.sequence = 4
    own.freeze()
    assert receiver.send(stored(5, epoch=1)).broken == [1], "not by anybody of its own epoch"
    assert receiver.demoted == []
    assert receiver.send(stored(5, epoch=2), sender=OTHER).broken == []
    assert (receiver.demoted, receiver.partitions.by_id) == ([1], {})
    assert receiver.held is own
    assert (receiver.is_complete(), own.sequence, own.epoch) == (True, 5, 2)


def test_what_was_sent_to_a_primary_is_forgotten_when_it_becomes_a_copy() -> None:
    receiver = Receiver()
    own = receiver.partitions.own(1, 1)
    entries, digest = digest_of(own)
    assert receiver.send(Digest(1, 0, 0, entries, digest)).broken == [1]
    own.freeze()
    receiver.copies.lend(1, 2, A)
    assert receiver.send(stored(1, epoch=2)).broken == []
    assert receiver.is_complete()


# -- those who are gone -----------------------------------------------------------------------


def test_copy_that_becomes_primary_tells_whose_it_was(receiver: Receiver) -> None:
    held = receiver.held
    assert receiver.copies.take(1) == A
    assert receiver.partitions.own(1, 2) is held
    assert receiver.copies.known == {}
    assert receiver.send(stored(1)).broken == [1]


def test_incomplete_copy_does_not_become_primary() -> None:
    receiver = Receiver()
    receiver.send(FillBegin(1, 1, 0, []))
    assert receiver.copies.take(1) is None
    assert receiver.partitions.copies == {}


def test_stream_of_a_dead_node_is_not_gone_on_with(receiver: Receiver) -> None:
    receiver.copies.forget_senders(frozenset([A, B, C]))
    receiver.send(stored(1))
    receiver.copies.forget_senders(frozenset([B, C]))
    assert receiver.copies.lost_at_most(A) == 0
    assert receiver.send(stored(2)) == Receipt(0, True, [])
    assert receiver.held.sequence == 1


def test_stream_of_a_node_that_our_table_does_not_name_yet_goes_on() -> None:
    receiver = Receiver()
    receiver.fill()
    receiver.copies.forget_senders(frozenset([B, C]))  # An older table than the sender's.
    assert receiver.send(stored(1)) == Receipt(2, False, [])
    receiver.copies.forget_senders(frozenset([A, B, C]))
    assert receiver.send(stored(2)) == Receipt(3, False, [])
    assert receiver.held.sequence == 2


def test_dropped_copy_is_told_to_who_fills_it(receiver: Receiver) -> None:
    assert receiver.copies.take_receipts() == []
    receiver.copies.drop(1)
    assert receiver.copies.take_receipts() == [(PRIMARY, Receipt(1, False, [1]))]
    assert receiver.copies.take_receipts() == []


def test_copy_that_no_table_comes_to_name_is_dropped_in_the_end(receiver: Receiver) -> None:
    receiver.send(FillBegin(2, 1, 0, []))
    receiver.copies.follow(1, 1, A)
    receiver.copies.drop_unassigned()
    assert receiver.partitions.copies.keys() == {1, 2}
    receiver.copies.drop_unassigned()
    assert receiver.partitions.copies.keys() == {1}
    assert receiver.copies.take_receipts() == [(PRIMARY, Receipt(2, False, [2]))]


def test_copy_stays_of_its_epoch_until_table_or_primary_vouches_for_it(receiver: Receiver) -> None:
    """A table that names it again may come long after the one that named it first."""
    receiver.copies.follow(1, 7, B)
    assert (receiver.held.epoch, receiver.copies.known[1].source) == (1, B)
    assert receiver.send(stored(1, epoch=7), sender=OTHER).broken == []
    assert receiver.held.epoch == 7


def test_parcels_of_a_stream_that_is_not_known_here_are_asked_for_from_the_first() -> None:
    receiver = Receiver()
    late = Parcel(7, 0, 0, [FillBegin(1, 1, 0, [])], 5)
    assert receiver.copies.receive(PRIMARY, late) == Receipt(0, True, [], 5)
    assert receiver.partitions.copies == {}


def test_later_stream_of_a_sender_replaces_the_earlier_one() -> None:
    receiver = Receiver()
    begin = FillBegin(1, 1, 0, [])
    for number in (1, 2):
        receiver.copies.receive(PRIMARY, Parcel(number, 0, 0, [begin], 5))
    assert receiver.copies.receive(PRIMARY, Parcel(1, 0, 0, [begin], 6)) == Receipt(1, False, [], 6)
    assert receiver.copies.receive(PRIMARY, Parcel(3, 0, 0, [begin], 5)) == Receipt(0, False, [], 5)
    assert receiver.copies.receive(PRIMARY, Parcel(2, 0, 0, [begin], 6)) == Receipt(2, False, [], 6)
