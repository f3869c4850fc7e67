"""What else runs on a machine steers tasks away from it: hosts of equal quotas, one with a hog."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable

import psutil
import pytest

import grid
from grid.client.current import current_node
from grid.client.session import Grid
from grid.errors import GridError
from grid.hosts.network import lan, wait_until
from tests.hosts.test_formation import form, told_by

pytestmark = pytest.mark.usefixtures("quotas_are_possible")

TASKS = 120
TASK_CPU_S = 0.02
DEADLINE_S = 120.0
QUOTA = 0.2
"""Cores: together they leave more than half of a small machine to other tests."""
BUSY_PERCENT = 90.0
SHARE_MAX = 0.6
"""Of what the host had without the hog."""


def burning() -> Callable[[float], str]:
    """Return a function that uses so much CPU time and says where; it travels by value."""

    def burn(cpu_s: float) -> str:
        end_s = time.process_time() + cpu_s
        while time.process_time() < end_s:
            pass
        return current_node()

    return burn


def tasks_per_host(client: Grid) -> Counter[str]:
    """Run tasks, two at a time: of the four hosts each could be spared."""
    with client.executor() as pool:
        return Counter(pool.map(burning(), [TASK_CPU_S] * TASKS, timeout=DEADLINE_S, buffersize=2))


def free_hosts(client: Grid) -> set[str]:
    """Return the hosts that tell of half of their quota or more that nobody uses."""
    return {node.name for node in client.nodes() if node.free_share >= QUOTA / 2}


def test_hog_on_one_of_four_hosts_cuts_its_share_of_the_tasks():
    hosts = {"h1", "h2", "h3", "h4"}
    with lan(hosts=4, cpu_quota=QUOTA) as net:
        form(net.hosts)
        hogged = net.hosts[1]
        with net.hosts[0].inside(), grid.connect(config=str(net.config)) as client:

            def wait_until_free(wanted: set[str]) -> None:
                """Also of what nodes need to start, and of the tasks before."""
                try:
                    wait_until(lambda: free_hosts(client) == wanted, lambda: told_by(hogged))
                except GridError:
                    if wanted - free_hosts(client) and psutil.cpu_percent(1.0) > BUSY_PERCENT:
                        pytest.skip("other programs use all cores: no host of this machine is free")
                    raise

            wait_until_free(hosts)
            before = tasks_per_host(client)
            hog = hogged.program(sys.executable, "-c", "while True: pass")
            wait_until_free(hosts - {"h2"})
            with_hog = tasks_per_host(client)
            hog.kill()
            hog.communicate()
        assert sum(with_hog.values()) == sum(before.values()) == TASKS
        assert set(before) == hosts
        assert with_hog["h2"] <= SHARE_MAX * before["h2"], f"{before} became {with_hog}"
