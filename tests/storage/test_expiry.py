"""Dates of entries, against a plain dict, in bounded memory."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from grid.storage.expiry import Expiries

keys = st.binary(max_size=1)
times = st.integers(0, 6).map(float)


def expiries(**dates: float) -> Expiries:
    result = Expiries()
    for key, at_s in dates.items():
        result.set(key.encode(), at_s)
    return result


def test_entry_is_over_from_its_date_on() -> None:
    dates = expiries(a=5.0)
    assert [dates.is_over(b"a", now_s) for now_s in (4.9, 5.0, 5.1)] == [False, True, True]
    assert not dates.is_over(b"other", 9.0)


def test_what_is_over_is_told_once_the_oldest_first() -> None:
    dates = expiries(late=3.0, early=1.0, later=9.0)
    assert dates.take_over(0.5, 10) == []
    assert dates.take_over(3.0, 10) == [b"early", b"late"]
    assert dates.take_over(3.0, 10) == []
    assert len(dates) == 1


def test_limit_leaves_the_rest_for_the_next_time() -> None:
    dates = expiries(a=1.0, b=2.0, c=3.0)
    assert [dates.take_over(9.0, 2), dates.take_over(9.0, 2)] == [[b"a", b"b"], [b"c"]]
    assert dates.take_over(9.0, 0) == []


def test_new_date_replaces_the_old_one() -> None:
    dates = expiries(a=1.0)
    dates.set(b"a", 5.0)
    assert not dates.is_over(b"a", 4.0)
    assert dates.take_over(4.0, 10) == []
    dates.set(b"a", 2.0)
    assert dates.take_over(4.0, 10) == [b"a"]
    assert dates.take_over(9.0, 10) == []


def test_same_date_twice_is_one_end() -> None:
    dates = expiries(a=1.0)
    dates.set(b"a", 1.0)
    assert dates.take_over(1.0, 10) == [b"a"]
    assert dates.take_over(1.0, 10) == []


def test_forgotten_entry_never_ends() -> None:
    dates = expiries(a=1.0)
    dates.forget(b"a")
    dates.forget(b"unknown")
    assert not dates.is_over(b"a", 9.0)
    assert dates.take_over(9.0, 10) == []
    assert len(dates) == 0


def test_overwritten_dates_take_bounded_memory() -> None:
    dates = Expiries()
    for number in range(10_000):
        dates.set(b"same", float(number))
    assert len(dates._heap) < 100
    assert dates.take_over(1e9, 10) == [b"same"]


def test_dates_of_removed_entries_take_bounded_memory() -> None:
    dates = Expiries()
    for number in range(10_000):
        dates.set(number.to_bytes(4, "big"), 1e6)
    for number in range(10_000):
        dates.forget(number.to_bytes(4, "big"))
    assert len(dates._heap) < 100
    for number in range(10_000):
        dates.set(number.to_bytes(4, "big"), 1e6)
        dates.forget(number.to_bytes(4, "big"))
    assert len(dates._heap) < 100


class ExpiriesAgainstDict(RuleBasedStateMachine):
    """A dict of dates says what must be over."""

    def __init__(self) -> None:
        super().__init__()
        self.expiries = Expiries()
        self.dates: dict[bytes, float] = {}

    @rule(some=st.dictionaries(keys, times, max_size=40))
    def date(self, some: dict[bytes, float]) -> None:
        for key, at_s in some.items():
            self.expiries.set(key, at_s)
        self.dates |= some

    @rule(some=st.sets(keys, max_size=40))
    def forget(self, some: set[bytes]) -> None:
        for key in some:
            self.expiries.forget(key)
            self.dates.pop(key, None)

    @rule(now_s=times, limit=st.integers(0, 5))
    def take_over(self, now_s: float, limit: int) -> None:
        over = self.expiries.take_over(now_s, limit)
        due = [key for key, at_s in self.dates.items() if at_s <= now_s]
        assert len(over) == len(set(over)) == min(limit, len(due))
        assert set(over) <= set(due)
        left = set(due) - set(over)
        assert all(self.dates[a] <= self.dates[b] for a in over for b in left)
        for key in over:
            del self.dates[key]

    @rule(key=keys, now_s=times)
    def is_over(self, key: bytes, now_s: float) -> None:
        assert self.expiries.is_over(key, now_s) == (self.dates.get(key, now_s + 1) <= now_s)

    @invariant()
    def counts_and_memory_are_those_of_the_dict(self) -> None:
        assert len(self.expiries) == len(self.dates)
        assert len(self.dates) <= len(self.expiries._heap) <= 2 * len(self.dates) + 64


ExpiriesAgainstDict.TestCase.settings = settings(
    derandomize=True, deadline=None, max_examples=50, stateful_step_count=30
)
TestExpiriesAgainstDict = ExpiriesAgainstDict.TestCase
