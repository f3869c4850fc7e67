"""The stream to one process: order, repetition, what may be on its way, fills."""

from __future__ import annotations

import pytest

from grid.replication.channel import PARCEL_BYTES
from grid.replication.messages import FillBegin, FillEnd, FillPage, Parcel, Receipt
from grid.replication.options import ReplicationOptions
from grid.replication.outlet import CopyState
from grid.replication.unreceipted import RESEND_MAX_S, RESEND_S, UNRECEIPTED_MAX
from grid.storage.changes import Change

from .channels import Line, is_complete, is_shut

FLUSH_S = ReplicationOptions().flush_interval_s
AGE_S = ReplicationOptions().window_age_max_s


@pytest.fixture(name="line")
def fixture_line() -> Line:
    line = Line()
    line.open(100)
    return line


def sequences(parcels: list[Parcel]) -> list[int]:
    items = [item for parcel in parcels for item in parcel.items]
    return [item.sequence for item in items if isinstance(item, Change)]


# -- when something is sent -------------------------------------------------------------------


def test_writes_that_nobody_waits_for_go_together_after_the_interval(line: Line) -> None:
    outlet = line.complete()
    line.write(outlet)
    assert line.channel.due_s() == pytest.approx(line.now_s + FLUSH_S)
    assert line.tick(FLUSH_S / 2) == []
    line.write(outlet, 2)
    (parcel,) = line.tick(FLUSH_S)
    assert sequences([parcel]) == [1, 2, 3]
    assert line.tick(FLUSH_S) == []


def test_write_that_somebody_waits_for_goes_at_once(line: Line) -> None:
    line.write(line.complete())
    line.channel.is_urgent = True
    assert line.channel.due_s() == 0.0
    assert sequences(line.tick()) == [1]


def test_many_bytes_go_at_once(line: Line) -> None:
    line.write(line.complete(), value=bytes(PARCEL_BYTES))
    assert line.channel.due_s() == 0.0
    assert sequences(line.tick()) == [1]


def test_nothing_is_due_where_nothing_is_written() -> None:
    line = Line()
    line.complete()
    assert line.channel.due_s() is None
    assert line.tick(1_000) == []


def test_parcels_are_numbered_and_keep_the_order(line: Line) -> None:
    outlet = line.complete()
    parcels = []
    for _ in range(5):
        line.write(outlet, 3)
        parcels += line.tick(FLUSH_S)
    numbers = [parcel.number for parcel in parcels]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert sequences(parcels) == list(range(1, 16))


def test_parcels_without_receipt_are_bounded_and_the_rest_goes_together() -> None:
    line = Line(ReplicationOptions(window_age_max_s=60))
    line.open(10_000)
    outlet = line.complete()
    sent = []
    for _ in range(UNRECEIPTED_MAX + 10):
        line.write(outlet)
        line.channel.is_urgent = True
        sent += line.tick()
    assert len(sent) == UNRECEIPTED_MAX
    assert line.channel.due_s() != 0.0
    line.receipt(sent[0].number)
    (rest,) = line.tick(FLUSH_S)
    assert sequences([rest]) == list(range(UNRECEIPTED_MAX + 1, UNRECEIPTED_MAX + 11))


# -- repetition -------------------------------------------------------------------------------


def test_parcel_without_receipt_is_sent_again_each_time_later(line: Line) -> None:
    line.write(line.complete())
    (parcel,) = line.tick(FLUSH_S)
    begun_s = line.now_s
    waits: list[float] = []
    while len(waits) < 6:
        due_s = line.channel.due_s()
        assert due_s is not None
        line.now_s = max(line.now_s, due_s)
        if again := line.tick():
            assert again == [parcel]
            waits.append(round(line.now_s - begun_s, 2))  # Its few bytes take microseconds.
            begun_s = line.now_s
    assert waits == [RESEND_S, 2 * RESEND_S, 4 * RESEND_S, *[RESEND_MAX_S] * 3]
    line.receipt(parcel.number)
    assert parcel not in line.tick(5 * RESEND_MAX_S)


def test_gap_is_closed_at_once_with_all_that_follows(line: Line) -> None:
    outlet = line.complete()
    sent = []
    for _ in range(4):
        line.write(outlet)
        sent += line.tick(FLUSH_S)
    line.receipt(sent[0].number, is_gap=True)
    assert line.sent() == sent[1:]
    line.receipt(sent[0].number, is_gap=True)  # Each parcel after a gap brings such a receipt.
    assert line.sent() == []
    line.now_s += FLUSH_S
    line.receipt(sent[0].number, is_gap=True)
    assert line.sent() == sent[1:]


def test_receipt_is_for_all_parcels_up_to_its_number_and_old_ones_say_nothing(line: Line) -> None:
    outlet = line.complete()
    sent = []
    for _ in range(4):
        line.write(outlet, 2)
        sent += line.tick(FLUSH_S)
    assert line.receipt(sent[2].number) == [outlet] * 3
    assert (outlet.acked, outlet.operations) == (6, 2)
    assert line.receipt(sent[1].number) == []
    assert line.receipt(sent[3].number + 1) == []  # Of a parcel that was never sent.
    assert (outlet.acked, outlet.operations, line.channel.at_risk) == (6, 2, 2)
    line.receipt(sent[3].number)
    assert (outlet.acked, outlet.operations, outlet.bytes) == (8, 0, 0)
    assert line.channel.at_risk == 0


def test_copy_that_has_refused_its_changes_has_not_got_them(line: Line) -> None:
    one, other = line.complete(1), line.complete(2)
    line.write(one)
    line.write(other)
    (parcel,) = line.tick(FLUSH_S)
    line.receipt(parcel.number, 1)
    assert (one.acked, other.acked) == (0, 1)
    assert (one.operations, one.bytes) == (0, 0)


def test_line_is_late_while_its_oldest_parcel_is_old(line: Line) -> None:
    line.write(line.complete())
    (parcel,) = line.tick(FLUSH_S)
    assert not is_shut(line)
    line.tick(AGE_S)
    assert line.channel.is_late
    assert is_shut(line)
    line.receipt(parcel.number)
    assert not is_shut(line)
    assert line.gates[-2:] == [True, False]


# -- fills ------------------------------------------------------------------------------------


def pumped(line: Line) -> list[object]:
    """Send all there is of fills."""
    kinds: list[object] = []
    while line.channel.has_fill_to_send:
        line.channel.pump()
        kinds += [type(item) for parcel in line.tick() for item in parcel.items]
    return kinds


@pytest.mark.parametrize("parts", [0, 1, 2])
def test_copy_that_is_dropped_is_filled_no_further(parts: int, line: Line) -> None:
    outlet = line.empty()
    line.write(outlet, 3)
    for _ in range(parts):
        line.channel.pump()
    line.channel.drop(outlet)
    assert not line.channel.has_fill_to_send
    assert line.channel.outlets == {}


def test_copy_is_complete_when_the_end_of_its_fill_is_receipted(line: Line) -> None:
    outlet = line.empty()
    line.write(outlet, 3)
    assert pumped(line) == [FillBegin, FillPage, FillEnd]
    assert outlet.state is CopyState.FILLING
    line.receipt(line.channel._number)
    assert is_complete(outlet)
    assert (outlet.acked, line.channel.completed) == (3, [outlet])


@pytest.mark.parametrize("broken", [[], [1]])
def test_copy_whose_fill_was_refused_or_given_up_is_not_complete(
    broken: list[int], line: Line
) -> None:
    outlet = line.empty()
    pumped(line)
    if not broken:
        line.channel.drop(outlet)
    line.receipt(line.channel._number, *broken)
    assert not is_complete(outlet)
    assert line.channel.completed == []


def test_fills_on_their_way_are_bounded() -> None:
    line = Line(ReplicationOptions(fill_bytes_in_flight_max=200_000))
    outlet = line.empty()
    line.write(outlet, 20, value=bytes(50_000))
    pumped(line)
    pages = line.channel._number
    assert 200_000 <= line.channel._fill_bytes < 200_000 + 2 * PARCEL_BYTES
    assert not is_complete(outlet)
    while not is_complete(outlet):
        line.receipt(line.channel._number)
        pumped(line)
        assert line.channel._number < 3 * pages + 10
    assert line.channel._fill_bytes == 0


def test_writes_to_a_copy_that_is_being_filled_put_nothing_at_risk() -> None:
    line = Line()
    outlet = line.empty()
    outlet.held.outlets = (outlet,)
    line.channel.pump()
    line.write(outlet, 50)
    assert line.channel.entries == 0
    line.channel.is_urgent = True
    (parcel,) = line.tick()
    assert (parcel.entries, len(parcel.items)) == (0, 51)


def test_channel_that_the_receiver_has_forgotten_fills_its_copies_anew() -> None:
    line = Line()
    outlet = line.complete()
    line.open(10)
    line.write(outlet, 3)
    (parcel,) = line.tick(1.0)
    before = parcel.stream
    outlet.settled_by = parcel.number
    assert line.receipt(0, is_gap=True) == [outlet]
    assert outlet.settled_by == 0, "else a frozen partition waits for a number of the old stream"
    assert not is_complete(outlet)
    assert line.channel.has_restarted
    assert line.channel.pump() is outlet
    while line.channel.has_fill_to_send:
        line.channel.pump()
    (parcel,) = line.tick(1.0)
    assert (parcel.number, type(parcel.items[0])) == (1, FillBegin)
    assert parcel.stream > before
    line.receipt(parcel.number)
    assert is_complete(outlet)


def test_receipt_for_an_earlier_stream_is_no_matter() -> None:
    line = Line()
    line.complete()
    line.open(10)
    old = Receipt(0, True, [], line.channel.stream - 1)
    assert line.channel.receive(old, line.now_s) == []
    assert not line.channel.has_restarted
