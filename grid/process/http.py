"""The pages of a node by HTTP/1.1, on its public port: one request for each connection.

Responsible for: reading one request head within its bounds, sending the answer, ending the
connection so that the answer arrives.

Not responsible for: what is answered, and to whom (``pages.py``); who accepts the connection
and for how long it may take (``gateway.py``); the grammar of HTTP, which is h11's.

Theory of operation. A connection is unproven, with the same deadline and the same place among
those that are dropped first, until its answer is sent, and it is closed then, with or without a
valid token. So there is nothing to be kept open, and what follows the first head (a body, further
requests) is never looked at. It is read nevertheless, up to a bound: to close a socket that has
unread bytes resets the connection, and the other side might lose the answer.

Departures and omissions. No TLS: the token crosses the network as it is.

Runs in: network process.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from http import HTTPStatus

import h11

from grid.errors import ProtocolError
from grid.process.pages import Answer, Snapshot, failure, respond
from grid.wire.security import ClusterKeys, is_bearer

METHOD_STARTS = frozenset(
    (b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"PATC", b"OPTI", b"TRAC", b"CONN")
)
"""What the first four bytes of a connection are if it is one of this protocol."""

HEAD_BYTES_MAX = 8 * 1024
HEADERS_MAX = 64
LINGER_S = 1.0
LINGER_BYTES_MAX = 64 * 1024
"""How long, and for how many bytes after the head, an answered connection is waited for."""


def is_http(start: bytes) -> bool:
    """Whether a connection that begins with these four bytes is one of this protocol."""
    return start in METHOD_STARTS


class HttpPages:
    """Answers requests; knows no connection beyond the call it is served in."""

    def __init__(self, keys: ClusterKeys, cluster: str, snapshot: Callable[[], Snapshot]) -> None:
        """Keep what the answers are made of."""
        self._keys = keys
        self._cluster = cluster
        self._snapshot = snapshot

    async def serve(self, sock: socket.socket, start: bytes) -> None:
        """Answer the one request of a connection that began with `start`; the caller closes it.

        Raises: ProtocolError when the answer was a refusal; OSError.
        """
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX - 1)
        request: h11.Request | None = None
        try:
            request = await _receive_head(connection, sock, start)
            answer = self._answer(request, is_trusted=sock.family == socket.AF_UNIX)
        except h11.RemoteProtocolError as error:
            answer = failure(HTTPStatus(error.error_status_hint), f"this is no request: {error}")
        await asyncio.get_running_loop().sock_sendall(sock, _packed(connection, request, answer))
        await _linger(sock)
        if request is None or answer.status is HTTPStatus.UNAUTHORIZED:
            raise ProtocolError(f"an HTTP request was answered {answer.status}")

    def _answer(self, request: h11.Request, *, is_trusted: bool) -> Answer:
        given = [value for name, value in request.headers if name == b"authorization"]
        return respond(
            request.method.decode(),
            request.target.decode(),
            given[0] if len(given) == 1 else None,
            is_trusted=is_trusted,
            is_bearer=lambda token: is_bearer(self._keys, self._cluster, token),
            snapshot=self._snapshot,
        )


async def _receive_head(
    connection: h11.Connection, sock: socket.socket, start: bytes
) -> h11.Request:
    """Read until the first head is complete, or is none, or is too large.

    Raises: h11.RemoteProtocolError.
    """
    loop = asyncio.get_running_loop()
    connection.receive_data(start)
    received_bytes = len(start)
    while not isinstance(event := connection.next_event(), h11.Request):
        assert event is h11.NEED_DATA, f"{event} before a request"
        # h11 refuses a head that is incomplete at the bound, so there is always room here.
        data = await loop.sock_recv(sock, HEAD_BYTES_MAX - received_bytes)
        received_bytes += len(data)
        connection.receive_data(data)
    if len(event.headers) > HEADERS_MAX:
        raise h11.RemoteProtocolError(
            f"it has more than {HEADERS_MAX} headers",
            error_status_hint=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        )
    return event


def _packed(connection: h11.Connection, request: h11.Request | None, answer: Answer) -> bytes:
    """Return the answer's bytes."""
    headers = [
        *answer.headers,
        ("Content-Length", str(len(answer.body))),
        ("Connection", "close"),
    ]
    response = h11.Response(status_code=answer.status, headers=headers, reason=answer.status.phrase)
    head = connection.send(response)
    assert head is not None
    is_head = request is not None and request.method == b"HEAD"
    return head if is_head else head + answer.body


async def _linger(sock: socket.socket) -> None:
    """Say that nothing follows, and wait until the other side has closed, within bounds."""
    loop = asyncio.get_running_loop()
    left_bytes = LINGER_BYTES_MAX
    with contextlib.suppress(OSError, TimeoutError):
        sock.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(LINGER_S):
            while left_bytes > 0 and (data := await loop.sock_recv(sock, left_bytes)):
                left_bytes -= len(data)
