"""A rate of a count that grows."""

from __future__ import annotations

from grid.process.counts import OperationRate


def test_rate_is_of_the_time_since_the_count_before() -> None:
    rate = OperationRate(100.0)
    assert rate.per_s(500, 101.0) == 500
    assert rate.per_s(500, 102.0) == 0
    assert rate.per_s(1_503, 104.0) == 502  # 501.5, to the even one.


def test_counts_near_to_each_other_change_nothing() -> None:
    rate = OperationRate(100.0)
    assert rate.per_s(300, 101.0) == 300
    assert rate.per_s(900, 101.1) == rate.per_s(900, 101.0) == 300
    assert rate.per_s(900, 102.0) == 600
