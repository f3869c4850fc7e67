"""What an HTTP request is answered: who may ask, and what is on each page."""

from __future__ import annotations

from http import HTTPStatus
from typing import NoReturn

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from grid.process.counts import NodeCounts
from grid.process.pages import Answer, Snapshot, respond
from grid.process.status import status_document

from .test_events import table
from .test_status import FIRST, SECOND, plane

TOKEN = b"the right token"
PAGES = ("/", "/health", "/metrics", "/status")
SAFE = Snapshot(status_document(plane(table([FIRST, SECOND])), "library"), NodeCounts())
HALF_LOST = Snapshot(
    status_document(plane(table([FIRST, SECOND], vacant=2, unsynced=3)), "library"), NodeCounts()
)


def ask(
    path: str,
    authorization: bytes | None = b"Bearer " + TOKEN,
    *,
    method: str = "GET",
    is_trusted: bool = False,
    snapshot: Snapshot | None = SAFE,
) -> Answer:
    """Return the answer; without a snapshot nothing may be made for the request."""

    def made() -> Snapshot:
        assert snapshot is not None, "made for somebody who may not see it"
        return snapshot

    return respond(
        method,
        path,
        authorization,
        is_trusted=is_trusted,
        is_bearer=lambda token: token == TOKEN,
        snapshot=made,
    )


def kind(answer: Answer) -> str:
    return dict(answer.headers)["Content-Type"]


def test_healthy_cluster_is_200() -> None:
    answer = ask("/health")
    assert (answer.status, kind(answer)) == (200, "application/json")
    shown = orjson.loads(answer.body)
    assert (shown["healthy"], shown["reasons"], shown["cluster"]) == (True, [], "library")
    assert shown["warnings"] == []
    assert shown["partitions"]["safe"] == 256


def test_unhealthy_cluster_is_503_with_the_reasons() -> None:
    answer = ask("/health", snapshot=HALF_LOST)
    assert answer.status == 503
    shown = orjson.loads(answer.body)
    assert shown["healthy"] is False
    assert [reason.partition(":")[0] for reason in shown["reasons"]] == [
        "2 partitions are lost",
        "3 partitions are unprotected",
    ]


def test_metrics_are_prometheus_text() -> None:
    answer = ask("/metrics")
    assert answer.status == 200
    assert kind(answer).startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(answer.body.decode())}
    assert {"grid_healthy", "grid_partitions", "grid_events"} <= names


def test_status_is_the_document_itself() -> None:
    answer = ask("/status")
    assert (answer.status, kind(answer), answer.body) == (200, "application/json", SAFE.status)


def test_root_lists_the_pages_and_an_unknown_path_does_too() -> None:
    index, unknown = ask("/", snapshot=None), ask("/healthz", snapshot=None)
    assert (index.status, unknown.status) == (200, 404)
    for path in ("/health", "/metrics", "/status"):
        assert path in index.body.decode()
        assert path in unknown.body.decode()


def test_query_is_ignored() -> None:
    assert ask("/health?from=probe").body == ask("/health").body


@pytest.mark.parametrize("path", [*PAGES, "/nowhere"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    ("authorization", "sentence"),
    [
        (None, "a bearer token is needed"),
        (b"", "a bearer token is needed"),
        (b"Basic dXNlcjpwYXNz", "a bearer token is needed"),
        (TOKEN, "a bearer token is needed"),
        (b"Bearer", "the bearer token is not this cluster's"),
        (b"Bearer another token", "the bearer token is not this cluster's"),
    ],
)
def test_whoever_has_no_token_is_told_where_it_is_and_nothing_else(
    path: str, method: str, authorization: bytes | None, sentence: str
) -> None:
    answer = ask(path, authorization, method=method, snapshot=None)
    assert answer.status == 401
    assert ("WWW-Authenticate", "Bearer") in answer.headers
    text = answer.body.decode()
    assert text.startswith(sentence)
    assert "'grid token'" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
def test_scheme_is_read_in_any_case(scheme: bytes) -> None:
    assert ask("/health", scheme + TOKEN).status == 200


@pytest.mark.parametrize("path", PAGES)
def test_unix_socket_needs_no_token(path: str) -> None:
    assert ask(path, None, is_trusted=True).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "get"])
def test_nothing_can_be_changed_here(method: str) -> None:
    answer = ask("/status", method=method, snapshot=None)
    assert answer.status == 405
    assert ("Allow", "GET, HEAD") in answer.headers


@pytest.mark.parametrize("path", PAGES)
def test_head_is_answered_as_get(path: str) -> None:
    assert ask(path, method="HEAD") == ask(path)


@given(st.text(), st.text(), st.none() | st.binary())
def test_whatever_is_asked_without_the_token_is_refused(
    method: str, path: str, authorization: bytes | None
) -> None:
    def unasked() -> NoReturn:
        raise AssertionError("made for somebody who may not see it")

    answer = respond(
        method,
        path,
        authorization,
        is_trusted=False,
        is_bearer=lambda token: False,
        snapshot=unasked,
    )
    assert answer.status is HTTPStatus.UNAUTHORIZED
