"""The stream to one process: how much may be lost with this one, and when that is nothing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.replication.channel import IDLE_S
from grid.replication.margin import MARGIN_RESUMED_MAX
from grid.replication.messages import Parcel
from grid.replication.options import ReplicationOptions

from .channels import Line, is_shut

FLUSH_S = ReplicationOptions().flush_interval_s


@pytest.fixture(name="line")
def fixture_line() -> Line:
    line = Line()
    line.open(100)
    return line


def test_writers_wait_until_something_is_allowed() -> None:
    line = Line()
    line.complete()
    assert is_shut(line)
    line.channel.want(10)
    (parcel,) = line.tick()
    assert parcel.allowance >= 10
    assert is_shut(line), "it counts from when the receiver has it"
    line.receipt(parcel.number)
    assert not is_shut(line)
    assert line.channel.room >= 10
    assert line.gates == [False]


def test_allowance_is_used_up_by_writes_and_grows_with_them(line: Line) -> None:
    outlet = line.complete()
    room = line.channel.room
    line.write(outlet, room)
    assert is_shut(line)
    line.channel.want(1)
    (parcel,) = line.tick()
    line.receipt(parcel.number)
    assert line.channel.room >= room


def test_allowance_is_taken_back_when_nothing_is_written(line: Line) -> None:
    outlet = line.complete()
    line.write(outlet)
    (parcel,) = line.tick(FLUSH_S)
    line.receipt(parcel.number)
    assert line.channel.due_s() is not None
    assert line.tick(IDLE_S / 2) == []
    (last,) = line.tick(IDLE_S)
    assert last.allowance == last.entries == 1
    assert is_shut(line), "at once: the receiver may have it already"
    line.receipt(last.number)
    assert line.channel.due_s() is None


def test_allowance_that_is_lowered_while_a_higher_one_is_on_its_way_is_the_lower_one(
    line: Line,
) -> None:
    outlet = line.complete()
    sent = []
    for _ in range(2):
        line.write(outlet)
        sent += line.tick(FLUSH_S)
    line.receipt(sent[0].number)  # Few writes in a round trip: less is allowed from now on.
    line.write(outlet)
    (lower,) = line.tick(FLUSH_S)
    assert lower.allowance < sent[1].allowance
    assert line.channel.room == lower.allowance - lower.entries
    line.receipt(sent[1].number)
    assert line.channel.room == lower.allowance - lower.entries


def settled(line: Line) -> Parcel:
    """Take the allowance back after a write; return the parcel that does it, with its receipt."""
    outlet = line.complete()
    line.write(outlet)
    is_settled = line.channel.settle()
    assert line.channel.due_s() == 0.0
    (written,) = line.tick()
    assert not is_shut(line), "who writes meanwhile need not wait"
    line.receipt(written.number)
    assert not is_settled()
    assert line.channel.due_s() == 0.0
    (last,) = line.tick()
    assert not is_settled(), "the receiver may not have it yet"
    line.receipt(last.number)
    assert is_settled()
    return last


def test_flush_takes_the_allowance_back_as_soon_as_all_is_receipted(line: Line) -> None:
    last = settled(line)
    assert (last.allowance, last.entries, last.items) == (1, 1, [])
    assert is_shut(line)
    assert line.channel.due_s() is None
    assert line.channel.settle()(), "there is nothing to take back any more"
    assert line.tick(10) == []


def test_first_write_after_a_flush_waits_once_for_room_for_many(line: Line) -> None:
    line.open(1_000)
    settled(line)
    line.channel.want(1)
    (parcel,) = line.tick()
    line.receipt(parcel.number)
    assert line.channel.room == MARGIN_RESUMED_MAX
    line.tick(IDLE_S)
    line.receipt(parcel.number + 1)
    line.channel.want(1)
    (parcel,) = line.tick()
    assert parcel.allowance == parcel.entries + 2, "not so much after a while without writes"


def test_flush_is_over_when_others_have_written_since_and_stops_none_of_them(line: Line) -> None:
    outlet = line.complete()
    line.write(outlet)
    is_settled = line.channel.settle()
    (first,) = line.tick()
    line.write(outlet)
    assert is_settled()
    line.receipt(first.number)
    assert line.tick() == []
    assert not is_shut(line)
    (second,) = line.tick(FLUSH_S)
    line.receipt(second.number)
    (last,) = line.tick()
    assert last.allowance == last.entries == 2, "when all is quiet it is taken back nevertheless"


def test_flushes_leave_a_raise_for_a_moment_to_those_who_wait_for_it() -> None:
    line = Line()
    outlet = line.complete()
    line.channel.want(5)
    (parcel,) = line.tick()
    is_settled = line.channel.settle()
    assert line.tick() == [], "not while it is on its way"
    line.receipt(parcel.number)
    assert line.channel.due_s() == pytest.approx(line.now_s + FLUSH_S)
    assert line.tick(FLUSH_S / 2) == []
    line.write(outlet, 5)
    assert is_settled()
    (written,) = line.tick(FLUSH_S)
    line.receipt(written.number)
    (last,) = line.tick()
    assert last.allowance == last.entries == 5

    line.receipt(last.number)
    line.channel.want(5)
    (parcel,) = line.tick()
    is_settled = line.channel.settle()
    line.receipt(parcel.number)
    (last,) = line.tick(FLUSH_S)
    assert last.allowance == last.entries == 5, "whoever wanted it has not used it"
    line.receipt(last.number)
    assert is_settled()


@pytest.mark.parametrize("event", ["copies go elsewhere", "the receiver has forgotten all"])
def test_flush_does_not_wait_for_who_has_no_copies_any_more(line: Line, event: str) -> None:
    outlet = line.complete()
    line.write(outlet)
    line.tick(FLUSH_S)
    is_settled = line.channel.settle()
    assert not is_settled()
    if event == "copies go elsewhere":
        line.channel.drop(outlet)
    else:
        line.receipt(0, is_gap=True)
        line.channel.pump()
        (parcel,) = line.tick(FLUSH_S)
        assert parcel.allowance == parcel.entries
    assert is_settled()


class Steady:
    """Writes that come at random, about as many in each millisecond, and a receiver."""

    def __init__(self, per_ms: float, seed: int = 1) -> None:
        self.line = Line()
        self.outlet = self.line.complete()
        self.random = Random(seed)
        self.per_ms = per_ms
        self.received = self.allowed = self.waiting = self.waited = 0
        self.at_risk = self.told = 0

    def run(self, turns: int) -> None:
        """Let so many milliseconds pass; parcels and receipts take one each."""
        channel = self.line.channel
        on_the_way: list[Parcel] = []
        for _ in range(turns):
            self.waiting += sum(self.random.random() < self.per_ms / 10 for _ in range(10))
            written = min(self.waiting, max(channel.room, 0))
            self.line.write(self.outlet, written)
            self.waiting -= written
            if self.waiting:
                channel.want(self.waiting)
                self.waited += self.waiting
            self.at_risk += channel.entries - self.received
            self.told += self.allowed - self.received
            arrived, on_the_way = on_the_way, self.line.tick(0.001)
            for parcel in arrived:
                self.received, self.allowed = parcel.entries, parcel.allowance
                self.line.receipt(parcel.number)


@pytest.mark.parametrize(("per_ms", "ratio"), [(0.5, 3.5), (1, 3.1), (4, 2.5)])
def test_steady_writing_is_said_to_risk_little_more_than_it_does_and_seldom_waits(
    per_ms: float, ratio: float
) -> None:
    steady = Steady(per_ms)
    steady.run(5_000)
    assert steady.at_risk < steady.told < ratio * steady.at_risk
    assert steady.waited < 0.025 * 5_000 * per_ms


events = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from([1, 1, 2, 40, 10_000])),
        st.tuples(st.just("want"), st.integers(1, 60)),
        st.tuples(st.just("tick"), st.sampled_from([0, 0.001, FLUSH_S, 0.1, 1.2])),
        st.tuples(st.just("arrive"), st.integers(1, 3)),
        st.tuples(st.just("receipt"), st.integers(0, 2)),
        st.tuples(st.just("settle"), st.just(0)),
    ),
    max_size=80,
)


@given(events)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_never_is_more_acknowledged_than_the_receiver_has_been_told(
    happening: list[tuple[str, float]],
) -> None:
    line = Line(ReplicationOptions(window_age_max_s=60))
    outlet = line.complete()
    on_the_way: list[Parcel] = []
    arrived: list[Parcel] = []
    settling: list[tuple[Callable[[], bool], int, int]] = []
    for what, count in happening:
        if what == "write" and not is_shut(line):
            line.write(outlet, min(int(count), line.channel.room))
        elif what == "want":
            line.channel.want(int(count))
        elif what == "tick":
            fresh = [p for p in line.tick(count) if p not in arrived and p not in on_the_way]
            on_the_way += fresh
        elif what == "arrive":
            arrived += on_the_way[: int(count)]
            del on_the_way[: int(count)]
        elif what == "receipt" and arrived:
            line.receipt(arrived[-1 - min(int(count), len(arrived) - 1)].number)
        elif what == "settle":
            settling.append((line.channel.settle(), line.channel.entries, len(arrived)))
        told = arrived[-1].allowance if arrived else 0
        assert line.channel.entries <= told
        assert line.channel.room <= told - line.channel.entries
        for is_settled, entries, since in settling:
            if line.channel.entries == entries and is_settled():
                known = [(0, 0), *((parcel.entries, parcel.allowance) for parcel in arrived)]
                assert (entries, entries) in known[since:]
