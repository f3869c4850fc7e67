"""The four fixed-size messages at the start of a connection, and what they prove."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.errors import AuthenticationError, ProtocolError
from grid.types import NODE_ID_BYTES, Address, NodeId
from grid.wire.handshake import (
    ANSWER_BYTES,
    HELLO_BYTES,
    MAGIC,
    PROOF_BYTES,
    WELCOME_BYTES,
    Answer,
    Hello,
    Purpose,
    Verdict,
    check_welcome,
    client_proof,
    server_proof,
    unpack_answer,
    unpack_hello,
    unpack_verdict,
)
from grid.wire.security import derive_keys

from .samples import REPEATABLE

KEYS = derive_keys(b"correct horse battery staple", "grid")
HELLO = Hello(Purpose.STORAGE, 3, b"c" * 16, b"n" * 16)
SERVER = Address("127.0.0.1", 7701)
ANSWER = Answer(Verdict.CHALLENGE, NodeId(b"s" * 16), b"m" * 16)
TRUSTED = dataclasses.replace(ANSWER, verdict=Verdict.TRUSTED)
IDS = st.binary(min_size=16, max_size=16)


def welcome(proof: bytes, verdict: int = Verdict.WELCOME) -> bytes:
    return bytes((verdict,)) + proof


@given(st.sampled_from(Purpose), st.integers(0, 255), IDS, IDS)
@REPEATABLE
def test_hello_round_trips(purpose: Purpose, index: int, client_id: bytes, nonce: bytes) -> None:
    hello = Hello(purpose, index, client_id, nonce)
    packed = hello.pack()
    assert len(packed) == HELLO_BYTES
    assert packed[:4] == MAGIC
    assert unpack_hello(packed) == hello
    assert unpack_hello(packed).purpose is purpose


@given(st.sampled_from(Verdict), IDS, IDS)
@REPEATABLE
def test_answer_round_trips(verdict: Verdict, node_id: bytes, nonce: bytes) -> None:
    answer = Answer(verdict, NodeId(node_id), nonce)
    packed = answer.pack()
    assert len(packed) == ANSWER_BYTES
    assert unpack_answer(packed) == answer
    assert unpack_verdict(packed) is verdict


def test_sizes_are_those_of_the_documented_layout() -> None:
    assert HELLO_BYTES == 4 + 1 + 1 + NODE_ID_BYTES + 16
    assert ANSWER_BYTES == 1 + NODE_ID_BYTES + 16
    assert 1 + len(server_proof(KEYS, HELLO, ANSWER, SERVER)) == WELCOME_BYTES
    assert len(client_proof(KEYS, HELLO, ANSWER, SERVER)) == PROOF_BYTES


@pytest.mark.parametrize(
    "data",
    [b"", MAGIC, HELLO.pack()[:-1], HELLO.pack() + b"\x00", b"GET / HTTP/1.1".ljust(HELLO_BYTES)],
)
def test_what_is_no_hello_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a grid connection"):
        unpack_hello(data)


@pytest.mark.parametrize("purpose", [0, 6, 255])
def test_unknown_purpose_is_refused(purpose: int) -> None:
    packed = HELLO.pack()
    with pytest.raises(ProtocolError, match=f"unknown connection purpose {purpose}"):
        unpack_hello(packed[:4] + bytes((purpose,)) + packed[5:])


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x07", b"HTTP/1.1 400", b"\xff"])
def test_unknown_verdict_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="does not speak grid's protocol"):
        unpack_verdict(data)
    with pytest.raises(ProtocolError):
        unpack_answer(data)


@given(st.binary(max_size=2 * HELLO_BYTES))
@REPEATABLE
def test_random_bytes_raise_nothing_but_protocol_errors(data: bytes) -> None:
    for unpack in (unpack_hello, unpack_answer, unpack_verdict):
        try:
            unpack(data)
        except ProtocolError:
            continue
        assert data


CHANGED: list[tuple[Hello, Answer]] = [
    (dataclasses.replace(HELLO, purpose=Purpose.PEER), ANSWER),
    (dataclasses.replace(HELLO, index=4), ANSWER),
    (dataclasses.replace(HELLO, client_id=b"d" * 16), ANSWER),
    (dataclasses.replace(HELLO, nonce=b"o" * 16), ANSWER),
    (HELLO, TRUSTED),
    (HELLO, dataclasses.replace(ANSWER, node_id=NodeId(b"t" * 16))),
    (HELLO, dataclasses.replace(ANSWER, nonce=b"p" * 16)),
]


def test_proofs_cover_every_field_of_both_messages() -> None:
    everything = [(HELLO, ANSWER), *CHANGED]
    proofs = {client_proof(KEYS, hello, answer, SERVER) for hello, answer in everything}
    proofs |= {server_proof(KEYS, hello, answer, SERVER) for hello, answer in everything}
    assert len(proofs) == 2 * len(everything)


def test_a_proof_for_one_endpoint_is_none_for_another() -> None:
    elsewhere = Address("127.0.0.1", 9)
    assert client_proof(KEYS, HELLO, ANSWER, SERVER) != client_proof(KEYS, HELLO, ANSWER, elsewhere)
    passed_on = welcome(server_proof(KEYS, HELLO, ANSWER, SERVER))
    with pytest.raises(AuthenticationError):
        check_welcome(passed_on, KEYS, HELLO, ANSWER, elsewhere, "elsewhere")


def test_proof_of_the_server_is_accepted() -> None:
    check_welcome(
        welcome(server_proof(KEYS, HELLO, ANSWER, SERVER)), KEYS, HELLO, ANSWER, SERVER, "here"
    )


@pytest.mark.parametrize(("hello", "answer"), CHANGED)
def test_proof_for_another_handshake_is_not_accepted(hello: Hello, answer: Answer) -> None:
    with pytest.raises(AuthenticationError, match="here could not prove"):
        check_welcome(
            welcome(server_proof(KEYS, hello, answer, SERVER)), KEYS, HELLO, ANSWER, SERVER, "here"
        )


@pytest.mark.parametrize(
    "proof",
    [
        client_proof(KEYS, HELLO, ANSWER, SERVER),  # what the server has just heard, sent back
        server_proof(derive_keys(b"another secret", "grid"), HELLO, ANSWER, SERVER),
        server_proof(derive_keys(b"correct horse battery staple", "annexe"), HELLO, ANSWER, SERVER),
        server_proof(KEYS, HELLO, ANSWER, SERVER)[:-1],
        bytes(PROOF_BYTES),
        b"",
    ],
    ids=["reflected", "other secret", "other name", "cut", "zeros", "none"],
)
def test_server_without_the_secret_is_not_accepted(proof: bytes) -> None:
    with pytest.raises(AuthenticationError, match="could not prove that it knows the secret"):
        check_welcome(welcome(proof), KEYS, HELLO, ANSWER, SERVER, "here")


def test_wrong_secret_says_what_must_be_the_same() -> None:
    with pytest.raises(AuthenticationError, match="cluster name and secret must be the same"):
        check_welcome(
            welcome(bytes(PROOF_BYTES), Verdict.WRONG_SECRET), KEYS, HELLO, ANSWER, SERVER, "here"
        )


@pytest.mark.parametrize(
    "verdict", [Verdict.BUSY, Verdict.NO_SUCH_STORAGE, Verdict.TRUSTED, Verdict.CHALLENGE]
)
def test_every_other_verdict_is_refused_by_name(verdict: Verdict) -> None:
    proof = server_proof(KEYS, HELLO, ANSWER, SERVER)
    with pytest.raises(ProtocolError, match=f"here answers {verdict.name}"):
        check_welcome(welcome(proof, verdict), KEYS, HELLO, ANSWER, SERVER, "here")


def test_trusted_connection_needs_no_keys_but_an_untrusted_one_does() -> None:
    proof = server_proof(KEYS, HELLO, ANSWER, SERVER)
    check_welcome(welcome(bytes(PROOF_BYTES)), None, HELLO, TRUSTED, SERVER, "here")
    with pytest.raises(AuthenticationError):
        check_welcome(welcome(proof), None, HELLO, ANSWER, SERVER, "here")


def test_trusted_connection_may_still_be_refused() -> None:
    with pytest.raises(ProtocolError, match="here answers NO_SUCH_STORAGE"):
        check_welcome(
            welcome(bytes(PROOF_BYTES), Verdict.NO_SUCH_STORAGE),
            None,
            HELLO,
            TRUSTED,
            SERVER,
            "here",
        )
