"""Tests with hosts need rights and programs; where these are missing they are skipped, aloud."""

from __future__ import annotations

import pytest

from grid.hosts.network import lacking


@pytest.fixture
def hosts_are_possible() -> None:
    """Ask for a machine that can be divided into hosts; other ones skip the test."""


@pytest.fixture
def quotas_are_possible(hosts_are_possible: None) -> None:
    """Ask for a machine that can also give each host a share of the CPU."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot do.

    By a mark, not from within the fixtures: pytest then sums up the tests of a file in one line.
    """
    for item in items:
        wanted = getattr(item, "fixturenames", ())
        if "hosts_are_possible" in wanted and (
            reason := lacking(with_quotas="quotas_are_possible" in wanted)
        ):
            item.add_marker(pytest.mark.skip(reason=reason))
