"""Versions in real time, once each, from one node in an epoch."""

from __future__ import annotations

from grid.verification.versions import VersionOrder
from tests.verification.histories import put, read, unknown, version


def test_growing_versions_of_concurrent_and_later_writes_are_fine() -> None:
    faults = VersionOrder().check(
        [
            put(1, 0, 9, version=version(1, 2), owner="x"),
            put(2, 1, 2, version=version(1, 1), owner="x"),
            put(3, 3, 4, version=version(2, 1), owner="y"),
            put(4, 5, 6),
            unknown(put(5, 7, 8)),
            read(4, 7, 8),
        ]
    )
    assert (faults.reordered, faults.duplicated, faults.two_owners) == ([], [], [])


def test_version_below_one_acknowledged_before_is_reordered() -> None:
    late = put(2, 2, 3, version=version(1, 1))
    faults = VersionOrder().check([put(1, 0, 1, version=version(1, 2)), late])
    assert faults.reordered == [late]


def test_equal_versions_are_duplicated_at_the_same_time_or_later() -> None:
    concurrent = put(2, 0, 2, version=version(1, 1))
    later = put(3, 5, 6, version=version(1, 1))
    faults = VersionOrder().check([put(1, 0, 1, version=version(1, 1)), concurrent, later])
    assert faults.duplicated == [concurrent, later]


def test_partitions_count_for_themselves() -> None:
    first = put(1, 0, 1, version=version(1, 1), owner="x")
    other = put(2, 2, 3, version=version(1, 1), owner="y", partition=2)
    faults = VersionOrder().check([first, other])
    assert (faults.reordered, faults.duplicated, faults.two_owners) == ([], [], [])


def test_second_owner_of_an_epoch_is_noticed_also_in_a_later_round() -> None:
    order = VersionOrder()
    order.check([put(1, 0, 1, version=version(1, 1), owner="x")])
    second = put(2, 2, 3, version=version(1, 2), owner="y")
    assert order.check([second]).two_owners == [second]


def test_version_of_an_earlier_round_does_not_come_again() -> None:
    order = VersionOrder()
    order.check([put(1, 0, 1, version=version(1, 5))])
    again, lower = put(2, 2, 3, version=version(1, 5)), put(3, 2, 3, version=version(1, 4))
    faults = order.check([again, lower])
    assert (faults.duplicated, faults.reordered) == ([again], [lower])
