"""Tasks on hosts of their own: what they need lives on other machines, behind the secret."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import grid
from grid.client.current import current
from grid.hosts.network import lan
from tests.hosts.test_formation import form

pytestmark = pytest.mark.usefixtures("hosts_are_possible")

ENTRIES = 40


def reading() -> Callable[[str, int], int]:
    """Return a function that sums up entries of a map; it travels by value."""

    def read_all(name: str, count: int) -> int:
        entries = current().map(name)
        return sum(entries[number] for number in range(count))

    return read_all


def test_a_task_reads_entries_that_live_on_another_host():
    with lan(hosts=2) as net:
        form(net.hosts)
        with net.hosts[0].inside(), grid.connect(config=str(net.config)) as client:
            client.map("numbers").put_all({number: number for number in range(ENTRIES)})
            with client.executor() as pool:
                for host in net.hosts:
                    future = pool.submit_to(reading(), "numbers", ENTRIES, node=host.name)
                    assert future.result(timeout=60) == sum(range(ENTRIES))
