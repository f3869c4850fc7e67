"""Clusters on a LAN of hosts: no address is configured anywhere, only name and secret."""

from __future__ import annotations

import json

import pytest

from grid.hosts.host import Host
from grid.hosts.network import lan, wait_until

pytestmark = pytest.mark.usefixtures("hosts_are_possible")


def has_formed(host: Host, names: set[str]) -> bool:
    """Whether the host's node sees these members alive, nobody else, and each with partitions."""
    status = host.status()
    if status is None or status["partitions"]["lost"]:
        return False
    primaries = {m["name"]: m["primaries"] for m in status["members"] if m["state"] == "alive"}
    return primaries.keys() == names and all(primaries.values())


def form(*clusters: list[Host]) -> None:
    """Start a node on each host, all at once; wait until each sees its cluster, and only that."""
    for host in (host for cluster in clusters for host in cluster):
        host.start()
    waiting = [(host, {h.name for h in cluster}) for cluster in clusters for host in cluster]

    def has_everyone() -> bool:
        waiting[:] = [(host, names) for host, names in waiting if not has_formed(host, names)]
        return not waiting

    wait_until(has_everyone, lambda: "\n".join(told_by(host) for host, _ in waiting))


def told_by(host: Host) -> str:
    """Return what a host has to say for itself when a test has failed."""
    return f"{host}: {host.status()}\n" + "\n".join(node.so_far() for node in host.nodes)


def test_four_hosts_form_one_cluster_without_any_address():
    with lan(hosts=4) as net:
        form(net.hosts)
        for host in net.hosts:
            status = host.run("status", "--json")
            assert status.returncode == 0, status.stderr
            members = json.loads(status.stdout)["members"]
            assert {(m["name"], m["address"], m["state"]) for m in members} == {
                (other.name, f"{other.address}:7701", "alive") for other in net.hosts
            }


def test_clusters_of_other_names_or_secrets_on_one_lan_never_mix():
    with lan(hosts=6) as net:
        secret = "known to two of the three"
        configs = [
            net.write_config("one", secret=secret),
            net.write_config("another", secret=secret),
            net.write_config("one", secret="known to the third alone"),
        ]
        clusters = [net.hosts[number::3] for number in range(3)]
        for host, config in zip(net.hosts, configs * 2, strict=True):
            host.config = config
        # All at once: each hears the beacons of all others while it looks for its own cluster.
        form(*clusters)
        for cluster in clusters:
            for host in cluster:
                # The last one has long been heard by the first.
                assert host.alive() == {other.name for other in cluster}


@pytest.mark.parametrize("is_first", [True, False], ids=["shared-first", "shared-second"])
def test_a_host_with_two_interfaces_joins_by_the_one_it_shares(is_first: bool):
    with lan(hosts=2) as net:
        private = net.add_lan()
        net.add_host(*((net.lan, private) if is_first else (private, net.lan)))
        form(net.hosts)
