"""``grid down`` says what it waits for; the end of its connection says that a node is gone."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import orjson
import pytest

from grid.config import ClusterOptions, Config
from grid.supervisor import stop as stop_module
from grid.supervisor.stop import left_text
from grid.transport.blocking import BlockingConnection
from grid.types import NODE_ID_BYTES, NodeId
from grid.wire.catalog import decode_client_request, encode
from grid.wire.control import Status, StatusWanted, View
from grid.wire.frame import frame
from grid.wire.security import derive_keys

PATIENCE_S = 30.0


def member(name: str, copies: int, state: str = "alive") -> dict[str, Any]:
    return {"id": name, "state": state, "primaries": copies, "backups": copies, "more": 1}


def document(*members: dict[str, Any]) -> bytes:
    return orjson.dumps({"cluster": "library", "members": members})


@pytest.mark.parametrize(
    ("node_ids", "text"),
    [
        (["a"], "waiting for 1 node: 20 copies of partitions to move to other nodes"),
        (["a", "b"], "waiting for 2 nodes: 30 copies of partitions to move to other nodes"),
        (["c"], "waiting for 1 node to end"),
        (["d"], "waiting for 0 nodes to end"),
    ],
)
def test_what_is_left_counts_the_nodes_that_leave(node_ids: list[str], text: str) -> None:
    members = [member("a", 10), member("b", 5, "suspect"), member("c", 0), member("d", 9, "left")]
    assert left_text(document(*members), node_ids) == text


class Leaver:
    """The other end of a connection: a node that says a few times how far it is, then ends."""

    def __init__(self, *documents: bytes, ends: bool = True) -> None:
        self._sock, theirs = socket.socketpair()
        self.connection = BlockingConnection(theirs, NodeId(bytes(NODE_ID_BYTES)))
        self._documents = documents
        self._ends = ends
        self.asked: list[object] = []
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        for shown in self._documents:
            data = self._sock.recv(4096)
            request = decode_client_request(data[4:])
            self.asked.append(request)
            self._sock.sendall(frame(encode(Status(2, shown))))
        if self._ends:
            self._sock.close()

    def close(self) -> None:
        self._thread.join(PATIENCE_S)
        self._sock.close()


def test_node_is_asked_until_its_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_module, "LOOK_INTERVAL_S", 0.01)
    leaver = Leaver(b"one", b"two")
    shown: list[bytes] = []
    deadline_s = time.monotonic() + PATIENCE_S
    assert stop_module._has_gone(leaver.connection, deadline_s, shown.append)
    assert shown == [b"one", b"two"]
    assert leaver.asked == [StatusWanted(2)] * 2
    leaver.close()


def test_node_that_stays_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_module, "LOOK_INTERVAL_S", 0.01)
    leaver = Leaver(ends=False)
    deadline_s = time.monotonic() + 0.05
    assert not stop_module._has_gone(leaver.connection, deadline_s, lambda document: None)
    leaver.close()


def test_nodes_that_end_while_they_are_asked_are_none_of_those_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ended(port: int, *_: object, **__: object) -> BlockingConnection:
        theirs, ours = socket.socketpair()
        theirs.close()
        return BlockingConnection(ours, NodeId(port.to_bytes(NODE_ID_BYTES, "big")))

    monkeypatch.setattr(stop_module, "local_node_ports", lambda: [7701, 7702])
    monkeypatch.setattr(stop_module, "connect", ended)
    assert stop_module.stop_local_nodes(Config()) == 0


def test_a_node_that_ends_when_it_is_told_to_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(port: int, *_: object) -> BlockingConnection:
        theirs, ours = socket.socketpair()
        theirs.close()
        return BlockingConnection(ours, NodeId(bytes(NODE_ID_BYTES)))

    monkeypatch.setattr(stop_module, "local_node_ports", lambda: [7701])
    monkeypatch.setattr(stop_module, "_of_cluster", ended)
    assert stop_module.stop_local_nodes(Config()) == 1


@pytest.mark.parametrize(
    ("secret", "stopped", "told"),
    [
        ("the secret of this folder", 1, []),
        (
            "the secret of another one",
            0,
            [
                "a node of a cluster of this name with another secret runs on port 7701 and is "
                "left alone"
            ],
        ),
    ],
)
def test_a_node_with_another_secret_than_the_configured_one_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, secret: str, stopped: int, told: list[str]
) -> None:
    ours, theirs = socket.socketpair()
    view = View(0, "grid", derive_keys(secret.encode(), "grid").key_tag, b"", [], None)

    def connected(port: int, *_: object, **__: object) -> BlockingConnection:
        theirs.sendall(frame(encode(view)))
        theirs.shutdown(socket.SHUT_WR)
        return BlockingConnection(ours, NodeId(bytes(NODE_ID_BYTES)))

    monkeypatch.setattr(stop_module, "local_node_ports", lambda: [7701])
    monkeypatch.setattr(stop_module, "connect", connected)
    config = Config(cluster=ClusterOptions(secret="the secret of this folder"))
    said: list[str] = []
    assert stop_module.stop_local_nodes(config, on_stranger=said.append) == stopped
    assert said == told
    theirs.close()
