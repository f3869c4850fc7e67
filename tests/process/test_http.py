"""HTTP on a node's public port: real sockets, well-meant requests and others."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from collections.abc import Awaitable, Callable
from random import Random

import h11
import orjson
import pytest

from grid.process import gateway as gateway_module
from grid.process import http as http_module
from grid.process.counts import NodeCounts
from grid.process.http import HEAD_BYTES_MAX, HEADERS_MAX, LINGER_BYTES_MAX, is_http
from grid.process.pages import Snapshot
from grid.process.status import status_document
from grid.transport.stream import dial
from grid.transport.unix import socket_name
from grid.wire.handshake import MAGIC, Hello, Purpose
from grid.wire.security import bearer_token

from .gates import KEYS, OTHER_KEYS, Gate, node_id, until, within_patience
from .test_events import table
from .test_status import FIRST, SECOND, plane

SNAPSHOT = Snapshot(status_document(plane(table([FIRST, SECOND])), "grid"), NodeCounts())
TOKEN = bearer_token(KEYS)
SECRET = "a secret of the tests of processes"  # Of KEYS.


def head(path: str, token: str | None = TOKEN, *, method: str = "GET", more: str = "") -> bytes:
    authorization = "" if token is None else f"Authorization: Bearer {token}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: node\r\n{authorization}{more}\r\n".encode()


async def connected(gate: Gate, *, by_unix: bool = False) -> socket.socket:
    family = socket.AF_UNIX if by_unix else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    where = socket_name(gate.address.port) if by_unix else gate.address
    await asyncio.get_running_loop().sock_connect(sock, where)
    return sock


async def send(sock: socket.socket, data: bytes) -> None:
    # Whoever sends too much may find the connection closed.
    with contextlib.suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(sock, data)


async def read_to_the_end(sock: socket.socket, *, closes: bool = True) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    with sock if closes else contextlib.nullcontext(), contextlib.suppress(ConnectionResetError):
        while piece := await within_patience(loop.sock_recv(sock, 65_536)):
            data += piece
    return data


def parsed(data: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of what must be exactly one complete answer."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "node")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    client.receive_data(b"")
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data == (b"", True)
    headers = {name.decode(): value.decode() for name, value in response.headers}
    return response.status_code, headers, body


def with_gate(scenario: Callable[[Gate], Awaitable[None]]) -> None:
    """Run a scenario with a node's gateway that has a snapshot to show."""

    async def run() -> None:
        with Gate(1, snapshot=lambda: SNAPSHOT).start() as gate:
            await scenario(gate)

    asyncio.run(run())


def status_of(request: bytes) -> int:
    """Return the status that a request is answered with."""
    found: list[int] = []

    async def scenario(gate: Gate) -> None:
        sock = await connected(gate)
        await send(sock, request)
        found.append(parsed(await read_to_the_end(sock))[0])

    with_gate(scenario)
    return found[0]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_first_four_bytes_tell_http_from_the_handshake(method: str) -> None:
    assert is_http(head("/", method=method)[:4])
    assert not is_http(MAGIC)
    assert not is_http(b"\x16\x03\x01\x02")  # TLS


@pytest.mark.parametrize("token", [TOKEN, SECRET])
def test_page_is_answered_and_the_connection_ends(token: str) -> None:
    async def scenario(gate: Gate) -> None:
        sock = await connected(gate)
        await send(sock, head("/status", token))
        status, headers, body = parsed(await read_to_the_end(sock))
        assert (status, body) == (200, SNAPSHOT.status)
        assert headers["connection"] == "close"
        assert headers["content-length"] == str(len(body))
        assert gate.gateway.refused_count == 0

    with_gate(scenario)


def test_usual_client_understands_the_answers() -> None:
    def ask(gate: Gate) -> None:
        connection = http.client.HTTPConnection(*gate.address, timeout=60)
        with contextlib.closing(connection):
            for path in ("/health", "/metrics", "/status", "/"):
                connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
                response = connection.getresponse()
                assert response.status == 200
                assert len(response.read()) > 0

    with_gate(lambda gate: within_patience(asyncio.to_thread(ask, gate)))


def test_head_has_the_headers_of_get_and_no_body() -> None:
    async def scenario(gate: Gate) -> None:
        sock = await connected(gate)
        await send(sock, head("/status", method="HEAD"))
        status, headers, body = parsed(await read_to_the_end(sock), "HEAD")
        assert (status, body) == (200, b"")
        assert headers["content-length"] == str(len(SNAPSHOT.status))

    with_gate(scenario)


@pytest.mark.parametrize("token", [None, bearer_token(OTHER_KEYS), "x"])
def test_stranger_is_answered_401_and_counted(token: str | None) -> None:
    async def scenario(gate: Gate) -> None:
        sock = await connected(gate)
        await send(sock, head("/status", token))
        status, headers, body = parsed(await read_to_the_end(sock))
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert b"members" not in body
        await until(lambda: gate.gateway.refused_count == 1)

    with_gate(scenario)


def test_two_tokens_are_none() -> None:
    assert status_of(head("/health", more=f"Authorization: Bearer {TOKEN}\r\n")) == 401


def test_user_of_the_machine_needs_no_token_by_unix_socket() -> None:
    async def scenario(gate: Gate) -> None:
        sock = await connected(gate, by_unix=True)
        await send(sock, head("/health", None))
        status, _, body = parsed(await read_to_the_end(sock))
        assert (status, orjson.loads(body)["healthy"]) == (200, True)

    with_gate(scenario)


def test_head_may_come_byte_by_byte() -> None:
    async def scenario(gate: Gate) -> None:
        sock = await connected(gate)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head("/health"):
            await send(sock, bytes((byte,)))
            await asyncio.sleep(0)
        assert parsed(await read_to_the_end(sock))[0] == 200

    with_gate(scenario)


def test_second_request_on_a_connection_is_not_answered() -> None:
    assert status_of(head("/health") + head("/status")) == 200  # `parsed` wants exactly one.


def test_body_does_not_keep_the_answer_from_arriving() -> None:
    body_bytes = LINGER_BYTES_MAX // 2
    request = head("/health", method="POST", more=f"Content-Length: {body_bytes}\r\n")
    assert status_of(request + bytes(body_bytes)) == 405


def test_head_of_the_largest_size_is_answered_and_one_byte_more_is_refused() -> None:
    padding = HEAD_BYTES_MAX - len(head("/health", more="X: \r\n"))
    assert status_of(head("/health", more=f"X: {'x' * padding}\r\n")) == 200
    assert status_of(head("/health", more=f"X: {'x' * (padding + 1)}\r\n")) == 431


def test_head_without_end_is_refused() -> None:
    assert status_of(b"GET /" + b"a" * HEAD_BYTES_MAX * 2) == 431


def test_too_many_headers_are_refused() -> None:
    more = "".join(f"X-{number}: 1\r\n" for number in range(HEADERS_MAX - 2))
    assert status_of(head("/health", more=more)) == 200
    assert status_of(head("/health", more=more + "Y: 1\r\n")) == 431


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",  # No Host.
        b"GET /\r\n\r\n",  # HTTP/0.9
        b"GET / HTTP/1.1\r\nHost: node\r\nno header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: node\r\nX: \x00\r\n\r\n",
        b"GET \xff HTTP/1.1\r\nHost: node\r\n\r\n",
        b"POST" + bytes(HEAD_BYTES_MAX - 4),
    ],
)
def test_what_is_no_request_is_refused_and_counted(request_bytes: bytes) -> None:
    async def scenario(gate: Gate) -> None:
        sock = await connected(gate)
        await send(sock, request_bytes)
        assert parsed(await read_to_the_end(sock))[0] in (400, 431)
        await until(lambda: gate.gateway.refused_count == 1)

    with_gate(scenario)


def test_silent_client_is_dropped_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "DEADLINE_S", 0.05)

    async def scenario(gate: Gate) -> None:
        sock = await connected(gate)
        await send(sock, head("/health")[:-1])
        assert await read_to_the_end(sock) == b""
        await until(lambda: gate.gateway.refused_count == 1)

    with_gate(scenario)


def test_answered_client_that_does_not_close_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_module, "LINGER_S", 0.05)

    async def scenario(gate: Gate) -> None:
        sock = await connected(gate)
        await send(sock, head("/health"))
        assert parsed(await read_to_the_end(sock, closes=False))[0] == 200
        await until(lambda: not gate.gateway._tasks)
        sock.close()

    with_gate(scenario)


def test_silent_clients_of_http_are_the_first_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "UNPROVEN_MAX", 3)

    async def scenario(gate: Gate) -> None:
        silent = []
        for _ in range(3):
            sock = await connected(gate)
            await send(sock, b"GET /status HTTP/1.1\r\n")
            silent.append(sock)
        await until(lambda: len(gate.gateway._tasks) == 3)
        late = await connected(gate)
        await send(late, head("/health"))
        assert parsed(await read_to_the_end(late))[0] == 200
        assert await read_to_the_end(silent[0]) == b""
        for sock in silent[1:]:
            sock.close()

    with_gate(scenario)


@pytest.mark.parametrize("seed", range(20))
def test_broken_requests_are_answered_or_dropped_and_harm_nobody(seed: int) -> None:
    random = Random(seed)

    async def scenario(gate: Gate) -> None:
        for _ in range(10):
            data = bytearray(head("/status", random.choice([None, "x"])))
            for _ in range(random.randint(1, 8)):
                place = random.randrange(4, len(data))
                data[place : place + random.randint(0, 3)] = random.randbytes(random.randint(0, 3))
            sock = await connected(gate)
            await send(sock, bytes(data[: random.randint(1, len(data))]))
            sock.shutdown(socket.SHUT_WR)  # Some lack their end, and nobody is to wait for it.
            answer = await read_to_the_end(sock)
            assert not answer or parsed(answer)[0] in (400, 401, 501)
        # And the handshake works as before.
        sock, answered_by = await dial(gate.address, Hello.create(Purpose.PING), KEYS)
        sock.close()
        assert answered_by == node_id(1)

    with_gate(scenario)
