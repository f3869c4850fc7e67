"""Programs on hosts without a node: they find the cluster on the LAN, or say what they tried."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from grid.client.requests.connections import HINT
from grid.hosts.host import Host
from grid.hosts.network import Network, lan, wait_until
from grid.hosts.node_process import DEADLINE_S

pytestmark = pytest.mark.usefixtures("hosts_are_possible")

SECRET = "the secret of this LAN"

PROGRAM = """
import grid
with grid.connect() as g:
    print(*sorted(node.name for node in g.nodes()))
"""


def config(
    net: Network, secret: str = SECRET, *, multicast: bool = True, deadline_s: float = DEADLINE_S
) -> Path:
    more = f"""
        [discovery]
        beacon_period_s = 0.5
        multicast = {str(multicast).lower()}
        [client]
        connect_deadline_s = {deadline_s}
        """
    return net.write_config("ours", secret=secret, more=more)


def run_program(host: Host) -> str:
    program = host.program(sys.executable, "-c", PROGRAM)
    printed, _ = program.communicate(timeout=DEADLINE_S)
    assert program.returncode == 0
    return printed.strip()


def test_a_program_on_a_host_without_a_node_finds_the_cluster_without_an_address():
    with lan(hosts=3) as net:
        *nodes, other = net.hosts
        for host in net.hosts:
            host.config = config(net)
        for host in nodes:
            host.start()
        wait_until(lambda: all(h.alive() == {"h1", "h2"} for h in nodes), lambda: nodes)
        assert run_program(other) == "h1 h2"
        # It has listened, and is no member of anything.
        assert [host.alive() for host in nodes] == [{"h1", "h2"}] * 2


def test_a_program_with_another_secret_is_told_so_in_one_sentence():
    with lan(hosts=2) as net:
        node, other = net.hosts
        node.start(config=config(net)).wait_until_ready()
        status = other.run("status", config=config(net, "the secret of others", deadline_s=5.0))
        assert status.returncode == 1
        assert status.stderr == (
            "grid: no node of the cluster 'ours' answers (no node of this user runs on this "
            "machine; no beacon of the cluster was heard within 5 s, but 10.77.0.1 announces a "
            f"cluster of this name with another secret); {HINT}\n"
        )


def test_where_multicast_is_filtered_a_program_finds_whom_the_host_s_node_had_met():
    with lan(hosts=2) as net:
        first, second = net.hosts
        for host in net.hosts:
            host.config = config(net)
            host.start()
        wait_until(lambda: all(h.alive() == {"h1", "h2"} for h in net.hosts), lambda: net.hosts)
        wait_until(lambda: any(second.folder.rglob("peers-*.json")), lambda: "nobody remembered")
        assert second.run("down").returncode == 0
        second.config = config(net, multicast=False)
        wait_until(lambda: first.alive() == {"h1"}, lambda: first.status())
        assert run_program(second) == "h1"
