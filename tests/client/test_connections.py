"""Connections that break, are interrupted, or are inherited by a fork."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from grid import ConnectError, Map
from grid.api import LocalCluster
from grid.client.options import ClientOptions
from grid.client.session import Grid
from grid.transport.blocking import BlockingConnection
from grid.types import Address

FORKING_PROGRAM = """
import os, sys, grid
with grid.local(nodes=1, workers=1) as g:
    m = g.map("m")
    m["who"] = "parent"
    child = os.fork()
    if child == 0:
        for n in range(200):
            m["child", n] = n
        assert [m["child", n] for n in range(200)] == list(range(200))
        os._exit(7)
    for n in range(200):
        m["parent", n] = n
    assert [m["parent", n] for n in range(200)] == list(range(200))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    print(len(m))
"""


def test_a_forked_child_gets_connections_of_its_own():
    finished = subprocess.run(
        [sys.executable, "-c", FORKING_PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("401\n", "")


def test_an_interrupted_request_never_meets_the_next_reply(
    users: Map[Any, Any], monkeypatch: pytest.MonkeyPatch
):
    users["a"], users["b"] = "value of a", "value of b"
    exchange = BlockingConnection.exchange

    def interrupted(connection: BlockingConnection, body: bytes) -> bytes:
        monkeypatch.setattr(BlockingConnection, "exchange", exchange)
        connection.send_frame(body)
        raise KeyboardInterrupt  # Ctrl-C while the reply is on its way.

    monkeypatch.setattr(BlockingConnection, "exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        users["a"]
    assert users["b"] == "value of b"


def test_a_gateway_that_is_gone_is_replaced_by_another_node(running_cluster: LocalCluster):
    nobody = Address("127.0.0.1", 1)
    with Grid(
        [nobody, *running_cluster.addresses],
        running_cluster.keys,
        running_cluster.name,
        ClientOptions(),
    ) as client:
        assert len(client.nodes()) == 2


def test_a_node_of_another_cluster_is_not_used(running_cluster: LocalCluster):
    with pytest.raises(ConnectError, match=f"a node of the cluster '{running_cluster.name}'"):
        Grid([running_cluster.addresses[0]], running_cluster.keys, "another name", ClientOptions())
