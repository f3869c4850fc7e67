"""Where a node is looked for, in which order, and what is said when there is none."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

import pytest

from grid.client.requests.connections import HINT
from grid.finding.search import NO_SECRET, NOTES_SHOWN_MAX, OtherClusterError, Search
from grid.membership.options import DiscoveryOptions
from grid.types import Address
from grid.wire.handshake import Verdict
from grid.wire.security import ClusterKeys, derive_keys
from tests.finding.fakes import (
    CLUSTER,
    Group,
    announcing,
    beacon_from,
    local_node,
    nobody,
    silent_node,
    tcp_node,
)
from tests.transport.servers import KEYS, OTHER_KEYS, PATIENCE_S

IN_VAIN_S = 0.3
"""Deadline of a search that must end without success."""


@pytest.fixture(name="stack")
def fixture_stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def searching(
    *,
    seeds: Sequence[Address] = (),
    group: Group | None = None,
    keys: ClusterKeys | None = KEYS,
    deadline_s: float = PATIENCE_S,
    local_ports: Sequence[int] = (),
    remembered: Sequence[Address] = (),
) -> Search:
    """Return a search; without `group` it listens to nobody."""
    options = DiscoveryOptions(
        multicast=group is not None,
        multicast_group=group.name if group else "239.253.0.1",
        multicast_port=group.port if group else 1,
        seeds=tuple(str(seed) for seed in seeds),
    )
    return Search(
        CLUSTER,
        keys,
        options,
        deadline_s=deadline_s,
        local_ports=local_ports,
        remembered=remembered,
    )


def first_found(search: Search) -> list[Address | int]:
    with closing(search.found()) as found:
        return next(found)


def said_in_vain(search: Search) -> str:
    """Run the search to its end, without success; return what it says."""
    assert list(search.found()) == []
    return str(search.failure())


def test_a_node_on_this_machine_is_found_first_with_the_others_to_fall_back_on(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = stack.enter_context(local_node(monkeypatch))
    seed = stack.enter_context(tcp_node())
    assert first_found(searching(seeds=[seed], local_ports=[port, 99])) == [port, 99]


def test_a_local_node_of_another_cluster_is_passed_over(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = stack.enter_context(local_node(monkeypatch, "another"))
    seed = stack.enter_context(tcp_node())
    assert first_found(searching(seeds=[seed], local_ports=[stranger])) == [seed]
    said = said_in_vain(searching(keys=None, local_ports=[stranger]))
    assert "(on this machine run nodes of other clusters: 'another'; " in said


def test_of_many_local_clusters_a_few_are_named_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(gateway: int, *_: object, **__: object) -> None:
        raise OtherClusterError(gateway, f"local-{gateway // 2}")

    monkeypatch.setattr("grid.finding.search.ask_cluster", refuse)
    said = said_in_vain(searching(keys=None, local_ports=[2, 3, 4, 5]))
    assert "(on this machine run nodes of other clusters: 'local-1', 'local-2'; " in said
    said = said_in_vain(searching(keys=None, local_ports=list(range(100))))
    assert said.count("'local-") == NOTES_SHOWN_MAX
    assert ", ...; " in said


def test_a_local_node_of_this_name_with_another_secret_is_passed_over(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = stack.enter_context(local_node(monkeypatch))
    said = said_in_vain(searching(keys=OTHER_KEYS, deadline_s=IN_VAIN_S, local_ports=[stranger]))
    assert f"with another secret answers on local port {stranger}" in said
    assert first_found(searching(keys=None, local_ports=[stranger])) == [stranger]


def test_without_a_secret_the_network_is_not_searched(stack: ExitStack, group: Group) -> None:
    seed = stack.enter_context(tcp_node())
    said = said_in_vain(searching(seeds=[seed], remembered=[seed], group=group, keys=None))
    assert said == (
        f"no node of the cluster 'grid' answers (no node of this user runs on this machine; "
        f"{NO_SECRET}); {HINT}"
    )


def test_a_seed_that_answers_is_found_behind_one_that_does_not(stack: ExitStack) -> None:
    seeds = [stack.enter_context(nobody()), stack.enter_context(tcp_node())]
    assert first_found(searching(seeds=seeds)) == [seeds[1]]


def test_a_remembered_peer_is_found(stack: ExitStack) -> None:
    peer = stack.enter_context(tcp_node())
    absent = stack.enter_context(nobody())
    assert first_found(searching(seeds=[absent], remembered=[absent, peer])) == [peer]


def test_a_node_that_announces_itself_is_found_without_any_address(
    stack: ExitStack, group: Group
) -> None:
    address = stack.enter_context(tcp_node())
    stack.enter_context(announcing(group, beacon_from(address.port)))
    assert first_found(searching(group=group)) == [address]


def test_a_node_that_is_still_starting_is_asked_again_when_it_announces_itself(
    stack: ExitStack, group: Group
) -> None:
    address = stack.enter_context(tcp_node(first=[Verdict.BUSY, Verdict.BUSY]))
    stack.enter_context(announcing(group, beacon_from(address.port)))
    assert first_found(searching(seeds=[address], group=group)) == [address]


def test_a_node_that_says_nothing_leaves_time_for_others(stack: ExitStack) -> None:
    silent = stack.enter_context(silent_node())
    address = stack.enter_context(tcp_node())
    search = searching(seeds=[silent], remembered=[address], deadline_s=4.0)
    assert first_found(search) == [address]


def test_what_has_not_helped_after_all_is_followed_by_the_next(stack: ExitStack) -> None:
    seeds = [stack.enter_context(tcp_node()) for _ in range(2)]
    search = searching(seeds=seeds)
    with closing(search.found()) as found:
        for gateways in found:
            search.note(gateways[0], f"{gateways[0]} has just gone")
    for seed in seeds:
        assert f"{seed} has just gone (seed)" in str(search.failure())


def test_the_sentence_names_each_address_with_its_origin_and_the_silence(
    stack: ExitStack, group: Group
) -> None:
    seed, peer = stack.enter_context(nobody()), stack.enter_context(nobody())
    assert said_in_vain(
        searching(seeds=[seed], remembered=[peer], group=group, deadline_s=IN_VAIN_S)
    ) == (
        "no node of the cluster 'grid' answers (no node of this user runs on this machine; "
        f"no connection to {seed}: Connection refused (seed); "
        f"no connection to {peer}: Connection refused (remembered); "
        "no beacon of the cluster was heard within 0.3 s); "
        f"{HINT}"
    )


def test_an_announced_node_that_refuses_connections_is_named(
    stack: ExitStack, group: Group
) -> None:
    absent = stack.enter_context(nobody())
    with announcing(group, beacon_from(absent.port)):
        # It ends with the deadline, however often it is refused.
        said = said_in_vain(searching(group=group, deadline_s=2.0))
    assert f"no connection to {absent}: Connection refused (heard)" in said
    assert "no beacon" not in said


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (OTHER_KEYS, "127.0.0.1 announces a cluster of this name with another secret"),
        (
            derive_keys(b"correct horse battery staple", "another"),
            "127.0.0.1 announces a cluster of another name",
        ),
    ],
    ids=["secret", "name"],
)
def test_beacons_of_another_cluster_are_not_used_but_said(
    stack: ExitStack, group: Group, keys: ClusterKeys, expected: str
) -> None:
    address = stack.enter_context(tcp_node())
    stack.enter_context(announcing(group, beacon_from(address.port), keys))
    assert expected in said_in_vain(searching(group=group, deadline_s=2.0))


def test_a_node_with_another_secret_is_named(stack: ExitStack) -> None:
    seed = stack.enter_context(tcp_node())
    said = said_in_vain(searching(seeds=[seed], keys=OTHER_KEYS))
    assert f"{seed} belongs to another cluster or uses another secret" in said


def test_of_many_addresses_a_few_are_named(stack: ExitStack) -> None:
    absent = stack.enter_context(nobody())
    seeds = [Address(f"127.0.0.{number + 2}", absent.port) for number in range(20)]
    said = said_in_vain(searching(seeds=seeds))
    assert said.count("no connection") == NOTES_SHOWN_MAX
    assert f"; {20 - NOTES_SHOWN_MAX} more; " in said


def test_multicast_that_is_off_or_impossible_is_said(stack: ExitStack) -> None:
    assert "discovery.multicast is false" in said_in_vain(searching())
    owner = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    owner.bind(("", 0))
    taken = Group("239.253.0.1", owner.getsockname()[1])
    said = said_in_vain(searching(group=taken))
    assert "beacons cannot be heard: Address already in use" in said


def test_nothing_stays_open(stack: ExitStack, group: Group) -> None:
    address = stack.enter_context(tcp_node())
    assert first_found(searching(seeds=[address], group=group)) == [address]
    # Whoever does not share the port gets it only when nobody else has it.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((group.name, group.port))
