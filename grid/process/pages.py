"""What a node answers to an HTTP request, as plain data.

| Path | Answer |
|---|---|
| ``/health`` | 200, or 503 with the reasons, as JSON |
| ``/metrics`` | Prometheus' text format |
| ``/status`` | the document of ``grid status --json`` |
| ``/`` | this list |

Responsible for: who may ask, which page it is, status, headers and body.

Not responsible for: sockets and the bytes of HTTP (``http.py``), what is measured (``status.py``,
``metrics.py``), what is healthy (``health.py``).

Theory of operation. Who has no token learns nothing, not even which paths there are; nothing is
made for such a request. The kernel vouches for who comes by unix socket.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from grid.process.counts import NodeCounts
from grid.process.health import doubtful_because, unhealthy_because

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

INDEX = """\
/health   200, or 503 with reasons while partitions are unprotected or lost
/metrics  for Prometheus
/status   members, partitions and tasks as JSON
"""
TOKEN_HINT = (
    "send 'Authorization: Bearer TOKEN'; 'grid token' prints the token, "
    "run by the node's user with the node's cluster.toml"
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the pages are made of: the status document as JSON, and the node's own counts."""

    status: bytes
    counts: NodeCounts


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send; `headers` are those besides the length and what concerns the connection."""

    status: HTTPStatus
    headers: tuple[tuple[str, str], ...]
    body: bytes


def respond(
    method: str,
    path: str,
    authorization: bytes | None,
    *,
    is_trusted: bool,
    is_bearer: Callable[[bytes], bool],
    snapshot: Callable[[], Snapshot],
) -> Answer:
    """Return the answer to one request.

    Args:
        method: as sent; HEAD is answered as GET, and whoever sends it leaves the body out.
        path: as sent, with or without a query, which is ignored.
        authorization: the header of that name, if there was exactly one.
        is_trusted: whether the kernel has vouched for the other side: then no token is needed.
        is_bearer: whether a token is this cluster's.
        snapshot: asked only for those who may see it.
    """
    if not is_trusted:
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return _unauthorized(f"a bearer token is needed: {TOKEN_HINT}")
        if not is_bearer(token.strip()):
            return _unauthorized(f"the bearer token is not this cluster's: {TOKEN_HINT}")
    if method not in ("GET", "HEAD"):
        return failure(
            HTTPStatus.METHOD_NOT_ALLOWED, "pages are read with GET or HEAD", ("Allow", "GET, HEAD")
        )
    match path.partition("?")[0]:
        case "/health":
            return _health(snapshot())
        case "/metrics":
            return _metrics(snapshot())
        case "/status":
            return _page(HTTPStatus.OK, JSON, snapshot().status)
        case "/":
            return _page(HTTPStatus.OK, TEXT, INDEX.encode())
        case _:
            return failure(HTTPStatus.NOT_FOUND, f"there is no such page, only\n{INDEX.rstrip()}")


def failure(status: HTTPStatus, sentence: str, *headers: tuple[str, str]) -> Answer:
    """Return an answer that says what is wrong with the request."""
    return _page(status, TEXT, f"{sentence}\n".encode(), *headers)


def _unauthorized(sentence: str) -> Answer:
    return failure(HTTPStatus.UNAUTHORIZED, sentence, ("WWW-Authenticate", "Bearer"))


def _health(now: Snapshot) -> Answer:
    document = _document(now)
    reasons = unhealthy_because(document)
    body = orjson.dumps(
        {
            "healthy": not reasons,
            "reasons": reasons,
            "warnings": doubtful_because(document),
            "cluster": document["cluster"],
            "partitions": document["partitions"],
        }
    )
    return _page(HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK, JSON, body + b"\n")


def _metrics(now: Snapshot) -> Answer:
    # Loaded when asked for: its library takes 50 ms, a tenth of the time in which a node starts.
    metrics = importlib.import_module("grid.process.metrics")
    body = metrics.exposition(_document(now), now.counts)
    return _page(HTTPStatus.OK, metrics.CONTENT_TYPE, body)


def _page(status: HTTPStatus, kind: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    return Answer(status, (("Content-Type", kind), *headers), body)


def _document(now: Snapshot) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(now.status)
    return document
