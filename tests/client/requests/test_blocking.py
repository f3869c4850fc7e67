"""Operations on sockets: connections shared by threads, ended, interrupted, or inherited."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from grid import GridError, Map
from grid.api import LocalCluster
from grid.client.map import Map as MapType
from grid.client.options import ClientOptions
from grid.client.processing.at_data import AtData
from grid.client.requests.blocking import IDLE_MAX, BlockingShell
from grid.client.requests.connections import Connections
from grid.client.requests.steps import Ask, AskAll, FetchTable, Lost, Pause
from grid.errors import OperationError
from grid.storage.messages import Get, Missing, Size
from grid.storage.options import StorageOptions
from grid.transport.blocking import BlockingConnection
from grid.wire.catalog import encode

FORKING_PROGRAM = """
import os, sys, grid
with grid.local(nodes=1, workers=1) as g:
    m = g.map("m")
    m["who"] = "parent"
    child = os.fork()
    if child == 0:
        for n in range(200):
            m["child", n] = n
        m.put_all({("child too", n): n for n in range(200)})
        assert [m["child", n] for n in range(200)] == list(range(200))
        assert g.status()["partitions"]["lost"] == 0
        os._exit(7)
    for n in range(200):
        m["parent", n] = n
    assert [m["parent", n] for n in range(200)] == list(range(200))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    print(len(m))
"""


@pytest.fixture
def connections(running_cluster: LocalCluster) -> Iterator[Connections]:
    made = Connections(
        running_cluster.addresses, running_cluster.keys, running_cluster.name, ClientOptions()
    )
    yield made
    made.close()


@pytest.fixture
def shell(connections: Connections) -> Iterator[BlockingShell]:
    made = BlockingShell(connections)
    yield made
    made.close()


@pytest.fixture
def users(shell: BlockingShell, request: pytest.FixtureRequest) -> Map[Any, Any]:
    limits = StorageOptions()
    at_data = AtData(shell.core, limits, lambda: pytest.fail("nothing runs at the data here"))
    return MapType(request.node.nodeid[-200:], shell, limits, at_data)


def idle(shell: BlockingShell) -> list[BlockingConnection]:
    return [connection for idle in shell._idle.values() for connection in idle]


def asks(shell: BlockingShell, deadline_s: float = 30.0) -> list[Ask]:
    """Return a question to each storage process."""
    asks = []
    for target in {
        target.place: target for target in shell.core.routing.targets if target
    }.values():
        at = shell.core.routing.targets.index(target)
        request = Get(shell.core.next_number(), "m", at, shell.core.routing.epochs[at], b"none")
        asks.append(Ask(target, request, shell.core.clock() + deadline_s))
    return asks


def carry_out(shell: BlockingShell, step: Any) -> Any:
    def operation():
        return (yield step)

    return shell.run(operation())


def test_one_caller_uses_one_connection_for_each_storage_process(shell, users):
    for number in range(200):
        users[number] = number
    users.get_all(range(200))
    assert len(idle(shell)) == 4


def test_every_question_gets_its_own_answer(shell):
    several = [*asks(shell), *asks(shell)]  # Two for each storage process.
    for window in (1, 3, len(several)):
        answered: list[tuple[Ask, Any]] = []
        carry_out(shell, AskAll(iter(several), lambda *both: answered.append(both), window))  # noqa: B023
        assert answered == [(ask, Missing(ask.request.request)) for ask in several]
    assert len(idle(shell)) == len(several) // 2


def test_nothing_to_ask_is_answered_at_once(shell):
    assert carry_out(shell, AskAll(iter(()), unexpected, 1)) is None


def unexpected(*arguments: object) -> None:
    raise AssertionError(arguments)


def test_a_table_that_was_fetched_is_used(shell):
    used = shell.core.routing
    assert carry_out(shell, FetchTable(shell.core.deadline())) is None
    assert shell.core.routing is not used
    assert carry_out(shell, Pause(0.001)) is None


def test_at_most_a_few_connections_are_kept(shell, users):
    users["k"] = 1
    ask = asks(shell)[0]
    taken = [shell._take(ask.target, ask.deadline_s) for _ in range(IDLE_MAX + 2)]
    assert len(set(map(id, taken))) == IDLE_MAX + 2
    for connection in taken:
        shell._put_back(ask, connection)
    assert len(shell._idle[ask.target.place]) == IDLE_MAX
    assert sum(connection.socket.fileno() == -1 for connection in taken) == 2


def test_an_idle_connection_that_has_ended_is_not_used_for_a_write(
    shell, users, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grid.client.requests.blocking.UNCHECKED_S", -1.0)
    users["k"] = 1
    for connection in idle(shell):
        connection.socket.shutdown(socket.SHUT_RDWR)  # As if the other side had.
    users["k"] = 2
    users.put_all({number: number for number in range(100)})
    assert users["k"] == 2


def test_an_idle_connection_on_which_something_has_come_is_not_used(
    shell, users, monkeypatch: pytest.MonkeyPatch
):
    """It would be taken for the reply to the next request."""
    monkeypatch.setattr("grid.client.requests.blocking.UNCHECKED_S", -1.0)
    users["k"] = 1
    (connection,) = idle(shell)
    connection.send_frame(b"\x95\x01\x01\xa1m\x00")  # A stray request: the node ends this.
    assert users["k"] == 1
    assert connection.socket.fileno() == -1


def test_a_reply_to_another_request_ends_the_connection(shell, users):
    users["a"], users["b"] = "value of a", "value of b"
    ask = next(ask for ask in asks(shell) if ask.target.node_id == users.owner_of("a"))
    connection = shell._take(ask.target, ask.deadline_s)
    connection.send_frame(encode(Size(999_999, "m", [])))
    shell._put_back(ask, connection)
    connection.used_s = ask.deadline_s  # It was used just now: nobody looks at it.
    reply = carry_out(shell, ask)
    assert isinstance(reply, Lost)
    assert reply.reason == "a reply to another request has arrived"
    assert connection.socket.fileno() == -1
    assert (users["a"], users["b"]) == ("value of a", "value of b")


@pytest.mark.parametrize("method", ["exchange", "receive_frame", "send_frame"])
def test_an_interrupted_request_never_meets_the_next_reply(
    shell, users, monkeypatch: pytest.MonkeyPatch, method: str
):
    entries = {f"key {number}": f"value {number}" for number in range(50)}
    users.put_all(entries)
    original = getattr(BlockingConnection, method)

    def interrupted(connection: BlockingConnection, *arguments: Any) -> bytes:
        monkeypatch.setattr(BlockingConnection, method, original)
        if method != "receive_frame":
            BlockingConnection.send_frame(connection, arguments[0])
        raise KeyboardInterrupt  # Ctrl-C while the reply is on its way.

    for operation in (lambda: users["key 1"], lambda: users.get_all(entries)):
        monkeypatch.setattr(BlockingConnection, method, interrupted)
        with contextlib.suppress(KeyboardInterrupt):  # Not each operation uses each method.
            operation()
        monkeypatch.setattr(BlockingConnection, method, original)
        assert {key: users[key] for key in entries} == entries
        assert users.get_all(entries) == entries


def test_many_who_interrupt_themselves_get_no_wrong_answers(shell, users):
    """A signal at any moment, again and again."""
    entries = {f"key {number}": number for number in range(20)}
    users.put_all(entries)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for round_ in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + round_ % 30 * 0.00002)
                # An end, for an interrupt that meets a destructor goes no further.
                for _ in range(20):
                    for key, value in entries.items():
                        assert users[key] == value
                    assert users.get_all(entries) == entries
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 100
    assert {key: users[key] for key in entries} == entries


def test_threads_that_come_and_go_meet_no_connection_of_another(shell, users):
    def work(thread: int) -> None:
        for number in range(100):
            users[thread, number] = (thread, number)
            assert users[thread, number] == (thread, number)
            if number % 20 == 0:
                shell.refresh()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(users) == 600
    assert len({id(connection) for connection in idle(shell)}) == len(idle(shell))


def test_closing_takes_no_connection_away_that_somebody_has_taken(shell, users):
    users["k"] = 1
    ask = next(ask for ask in asks(shell) if ask.target.place in shell._idle)
    waiting = shell._idle[ask.target.place]
    connection = shell._take(ask.target, ask.deadline_s)
    shell.close()
    assert connection.socket.fileno() != -1
    assert waiting == []
    shell._put_back(ask, connection)
    assert carry_out(shell, ask) == Missing(ask.request.request)


def test_what_is_put_back_after_closing_is_closed(shell, users, connections):
    ask = asks(shell)[0]
    connection = shell._take(ask.target, ask.deadline_s)
    connections.close()
    shell._put_back(ask, connection)
    assert connection.socket.fileno() == -1
    with pytest.raises(GridError, match="this client is closed"):
        users.get("k")


def test_a_node_that_was_replaced_at_its_address_is_not_asked(shell, monkeypatch):
    ask = asks(shell)[0]
    (other,) = {ask.target.address for ask in asks(shell)} - {ask.target.address}
    monkeypatch.setattr(shell._connections, "gateway_of", lambda node_id, address: other)
    reply = carry_out(shell, ask)
    assert reply == Lost(f"{ask.target.name} has been replaced", is_sent=False)


def test_a_read_whose_connection_breaks_is_repeated_and_a_write_is_carried_out_once(
    shell, users, monkeypatch: pytest.MonkeyPatch
):
    users["k"] = 1
    exchange = BlockingConnection.exchange
    broken = 0

    def break_once(connection: BlockingConnection, *arguments: Any) -> Any:
        nonlocal broken
        broken += 1
        monkeypatch.setattr(BlockingConnection, "exchange", exchange)
        exchange(connection, *arguments)
        raise ConnectionResetError("it broke")

    monkeypatch.setattr(BlockingConnection, "exchange", break_once)
    assert users["k"] == 1
    monkeypatch.setattr(BlockingConnection, "exchange", break_once)
    assert users.increment("k") == 2
    assert (users["k"], broken) == (2, 2)


def test_what_cannot_be_repeated_is_unknown_when_its_connection_breaks(
    shell, users, monkeypatch: pytest.MonkeyPatch
):
    users["k"] = 1

    def break_once(connection: BlockingConnection, *arguments: Any) -> Any:
        monkeypatch.undo()
        connection.send_frame(arguments[0])
        connection.receive_frame()
        raise ConnectionResetError("it broke")

    monkeypatch.setattr(BlockingConnection, "exchange", break_once)
    with pytest.raises(
        OperationError, match=r"broke after the write was sent \(it broke\)"
    ) as error:
        users.popitem()
    assert error.value.outcome == "unknown"


def test_a_write_that_is_repeated_after_closing_says_that_it_may_have_been_applied(
    shell, users, connections, monkeypatch: pytest.MonkeyPatch
):
    users["k"] = 1

    def close_and_break(connection: BlockingConnection, *arguments: Any) -> Any:
        connections.close()
        shell.close()
        raise ConnectionResetError("it broke")

    monkeypatch.setattr(BlockingConnection, "exchange", close_and_break)
    with pytest.raises(OperationError, match="this client is closed; an earlier try") as error:
        users["k"] = 2
    assert error.value.outcome == "unknown"


def test_a_forked_child_gets_connections_of_its_own():
    finished = subprocess.run(
        [sys.executable, "-c", FORKING_PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("601\n", "")
