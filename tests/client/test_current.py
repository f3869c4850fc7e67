"""``grid.current()``: inside a task it leads to the node that runs it."""

from __future__ import annotations

import socket

import pytest

from grid.client.current import current, current_node, set_local_node
from grid.errors import ConnectError, GridError
from grid.wire.catalog import decode_client_request, encode
from grid.wire.control import ViewWanted
from grid.wire.frame import frame
from grid.wire.handshake import Purpose, Verdict
from tests.transport.servers import read_exactly, says_nothing_more, shake_hands, unix_server

from .samples import FIRST, node_view, view_of


@pytest.fixture(name="_outside", autouse=True)
def fixture_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin outside a task, and leave no trace."""
    monkeypatch.setattr("grid.client.current._local", None)
    monkeypatch.setattr("grid.client.current._current", None)


def answer_views(sock: socket.socket) -> None:
    """Be a node of the cluster "library" that knows itself alone."""
    hello = shake_hands(sock, verdict=Verdict.TRUSTED)
    assert hello.purpose is Purpose.CONTROL
    view = view_of([FIRST], [node_view(FIRST, 1)], cluster="library")
    while header := read_exactly(sock, 4):
        body = read_exactly(sock, int.from_bytes(header, "big"))
        assert isinstance(decode_client_request(body), ViewWanted)
        sock.sendall(frame(encode(view)))


@pytest.mark.parametrize("ask", [current, current_node])
def test_outside_a_task_it_says_what_to_use_instead(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(GridError, match=r"inside a task only; use grid\.connect\(\) elsewhere"):
        ask()


def test_node_is_called_as_the_worker_was_told() -> None:
    set_local_node(7701, "library", "library-1")
    assert current_node() == "library-1"
    set_local_node(7702, "library", "library-2")
    assert current_node() == "library-2"


def test_client_of_a_task_is_connected_once_to_its_own_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with unix_server(monkeypatch, answer_views) as port:
        set_local_node(port, "library", "library-1")
        client = current()
        assert current() is client
        assert [node.name for node in client.nodes()] == ["library-1"]
        client.close()


def test_node_of_another_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with unix_server(monkeypatch, answer_views) as port:
        set_local_node(port, "annexe", "library-1")
        with pytest.raises(ConnectError, match="a node of the cluster 'library' answers there"):
            current()


def test_failed_attempt_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(sock: socket.socket) -> None:
        shake_hands(sock, verdict=Verdict.TRUSTED, final=Verdict.BUSY)
        assert says_nothing_more(sock)

    with unix_server(monkeypatch, refuse) as port:
        set_local_node(port, "library", "library-1")
        with pytest.raises(ConnectError, match="answers BUSY"):
            current()
    with unix_server(monkeypatch, answer_views) as port:
        set_local_node(port, "library", "library-1")
        current().close()
