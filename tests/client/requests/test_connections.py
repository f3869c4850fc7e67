"""A client's way to the network processes: which node is asked, and when another is."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from grid import AuthenticationError, ConnectError, GridError
from grid.api import LocalCluster, local_cluster
from grid.client.options import ClientOptions
from grid.client.requests import connections as module
from grid.client.requests.connections import Connections
from grid.client.session import Grid
from grid.transport.blocking import BlockingConnection, connect
from grid.types import Address
from grid.wire.control import LossAccepted, Status, StatusWanted, View, ViewWanted
from grid.wire.handshake import Purpose
from grid.wire.security import derive_keys
from tests.client.stopping import family_of, stopped

NOBODY = Address("127.0.0.1", 1)


def made(cluster: LocalCluster, *first: Address, options: ClientOptions | None = None):
    return Connections(
        [*first, *cluster.addresses], cluster.keys, cluster.name, options or ClientOptions()
    )


@pytest.fixture
def connections(running_cluster: LocalCluster) -> Iterator[Connections]:
    connected = made(running_cluster)
    yield connected
    connected.close()


def test_each_question_has_its_answer(connections: Connections, running_cluster: LocalCluster):
    assert isinstance(connections.ask(ViewWanted), View)
    assert isinstance(connections.ask(StatusWanted), Status)
    connections.ask(LossAccepted)
    assert connections.view().cluster == running_cluster.name
    assert connections.first_view().table is not None


def test_threads_get_the_answers_to_their_own_questions(connections: Connections):
    kinds = [ViewWanted, StatusWanted] * 50
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(connections.ask, kinds))
    assert [type(answer) for answer in answers] == [View, Status] * 50


def test_a_connection_that_has_ended_is_replaced(connections: Connections):
    control = connections._control
    assert control is not None
    control.socket.shutdown(2)
    assert isinstance(connections.ask(ViewWanted), View)
    assert connections._control is not control


@pytest.mark.parametrize("dying", [1, 2])
def test_each_gateway_is_asked_before_the_question_fails(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, dying: int
):
    dial_gateway = connections._dial_gateway
    dialled = []

    def dial(deadline_s: float) -> BlockingConnection:
        connection = dial_gateway(deadline_s)
        dialled.append(connections._gateway)
        if len(dialled) <= dying:
            connection.socket.shutdown(2)
        return connection

    control = connections._control
    assert control is not None
    control.socket.shutdown(2)
    monkeypatch.setattr(connections, "_dial_gateway", dial)
    if dying == 1:
        assert isinstance(connections.ask(ViewWanted), View)
    else:
        with pytest.raises(ConnectError, match="the node does not answer"):
            connections.ask(ViewWanted)
    assert len(dialled) == len(set(dialled)) == 2


def test_no_gateway_is_asked_again_after_the_deadline(connections: Connections):
    control = connections._control
    assert control is not None
    control.socket.shutdown(2)
    with pytest.raises(ConnectError, match="the node does not answer"):
        connections.ask(ViewWanted, 0.0)


def test_an_interrupted_question_never_meets_the_next_answer(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(_):
        raise KeyboardInterrupt

    control = connections._control
    assert control is not None
    monkeypatch.setattr(type(control), "receive_frame", interrupt)
    with pytest.raises(KeyboardInterrupt):
        connections.ask(ViewWanted)
    monkeypatch.undo()
    assert control.socket.fileno() == -1
    assert isinstance(connections.ask(StatusWanted), Status)


def test_a_gateway_that_is_gone_is_replaced_by_another_node(running_cluster: LocalCluster):
    connected = made(running_cluster, NOBODY)
    assert len(connected.view().nodes) == 2
    connected.close()


def test_nodes_that_were_met_become_gateways(running_cluster: LocalCluster):
    connected = Connections(
        running_cluster.addresses[:1], running_cluster.keys, running_cluster.name, ClientOptions()
    )
    assert set(connected._gateways) == set(running_cluster.addresses)
    connected.close()


def test_a_node_of_another_cluster_is_not_used(running_cluster: LocalCluster):
    with pytest.raises(ConnectError, match=f"a node of the cluster '{running_cluster.name}'"):
        Grid([running_cluster.addresses[0]], running_cluster.keys, "another name", ClientOptions())


def test_another_secret_is_refused_by_name(running_cluster: LocalCluster):
    keys = derive_keys(b"another secret", running_cluster.name)
    with pytest.raises(AuthenticationError):
        Grid(running_cluster.addresses[:1], keys, running_cluster.name, ClientOptions())
    with pytest.raises(ConnectError, match=r"uses another secret.*uses another secret"):
        Grid(running_cluster.addresses, keys, running_cluster.name, ClientOptions())


def test_what_was_tried_is_said():
    keys = derive_keys(b"secret", "nowhere")
    with pytest.raises(ConnectError, match=r"no node of the cluster 'nowhere' .*:1: .*there"):
        Connections([NOBODY], keys, "nowhere", ClientOptions())
    with pytest.raises(ConnectError, match=r"no node of this user .* start one with 'grid up'"):
        Connections([], keys, "nowhere", ClientOptions())


def test_local_nodes_are_reached_by_their_unix_sockets_unless_that_is_off(
    running_cluster: LocalCluster, connections: Connections
):
    for node in connections.view().nodes:
        assert connections.gateway_of(node.id, Address(node.host, node.port)) == node.port
    by_tcp = made(running_cluster, options=ClientOptions(unix_sockets=False))
    for node in by_tcp.view().nodes:
        address = Address(node.host, node.port)
        assert by_tcp.gateway_of(node.id, address) == address
    by_tcp.close()


def test_a_closed_client_dials_nobody(connections: Connections, running_cluster: LocalCluster):
    connections.close()
    connections.close()
    with pytest.raises(GridError, match="this client is closed"):
        connections.ask(ViewWanted)
    with pytest.raises(GridError, match="this client is closed"):
        connections.dial(running_cluster.addresses[0], Purpose.CONTROL)


def test_a_silent_gateway_is_given_up_for_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CONTROL_TIMEOUT_S", 0.2)
    monkeypatch.setattr(module, "DIAL_TIMEOUT_S", 0.2)
    with local_cluster(2, workers=1, storage_processes=1) as cluster, cluster.client() as client:
        asked = client._connections._gateway
        first = next(node for node in client.nodes() if (node.host, node.port) == asked)
        users = client.map("m")
        users.put_all({number: number for number in range(100)})
        others = [number for number in range(100) if users.owner_of(number) != first.id]
        with stopped(family_of(client, first.id)):
            assert len(client.nodes()) == 2
            assert client._connections._gateway != asked
            assert users.get_all(others) == {number: number for number in others}
            with cluster.client() as newcomer:  # Its first address is the silent one's.
                assert newcomer.map("m").get_all(others) == {number: number for number in others}


def test_storage_processes_know_a_client_by_one_name_and_others_by_none(
    running_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
):
    names: list[tuple[Purpose, bytes | None]] = []

    def noted(gateway, keys, purpose, *, client_id, **named):
        names.append((purpose, client_id))
        return connect(gateway, keys, purpose, client_id=client_id, **named)

    monkeypatch.setattr(module, "connect", noted)
    with running_cluster.client() as client, running_cluster.client() as other:
        client.map("m").put_all({number: number for number in range(100)})
        other.map("m").put_all({number: number for number in range(100)})
        own_id, other_id = client._connections.client_id, other._connections.client_id
    assert len(own_id) == len(other_id) == 16
    assert own_id != other_id
    assert {name for purpose, name in names if purpose is Purpose.STORAGE} == {own_id, other_id}
    assert {name for purpose, name in names if purpose is not Purpose.STORAGE} == {None}


def test_a_forked_child_is_another_client(connections: Connections):
    own_id = connections.client_id
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(sender, connections.client_id)
        os._exit(0)
    os.waitpid(child, 0)
    with open(receiver, "rb") as told, open(sender, "wb"):
        name = told.read(16)
    assert len(name) == 16
    assert name != own_id == connections.client_id


def test_every_node_tells_what_it_has_seen_happen(
    connections: Connections, running_cluster: LocalCluster
):
    events = connections.events()
    assert {event.node for event in events} == {"local-1", "local-2"}
    assert [event.time_s for event in events] == sorted(event.time_s for event in events)
    assert {event.kind for event in events} >= {"joined"}
    for name in ("local-1", "local-2"):
        numbers = [event.number for event in events if event.node == name]
        assert numbers == sorted(numbers)


def test_a_node_that_tells_no_events_is_left_out(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
):
    first, second = connections.view().nodes
    dial = connections.dial

    def refusing(gateway, *arguments, **named):
        if gateway == connections.gateway_of(first.id, Address(first.host, first.port)):
            raise ConnectError("nobody there")
        return dial(gateway, *arguments, **named)

    monkeypatch.setattr(connections, "dial", refusing)
    assert {event.node for event in connections.events()} == {second.name}


def test_a_forked_child_forgets_what_its_parent_has_open(connections: Connections):
    forgotten = threading.Event()

    class Owner:
        def forget(self) -> None:
            forgotten.set()

    owner = Owner()
    connections.call_after_fork(owner.forget)
    control = connections._control
    assert control is not None
    connections.after_fork()
    assert forgotten.is_set()
    assert control.socket.fileno() == -1
    assert isinstance(connections.ask(ViewWanted), View)
    del owner  # It is not kept alive by that.
    connections.after_fork()
