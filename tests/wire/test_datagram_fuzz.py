"""Hostile datagrams: whatever the bytes are, the envelope and the decoder answer, never raise.

The same over real sockets, with a whole node behind them: ``tests/process/test_datagrams.py``.
"""

from __future__ import annotations

import random
import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.errors import ProtocolError
from grid.membership.messages import MembershipMessage
from grid.types import NODE_ID_BYTES, NodeId
from grid.wire import datagram as envelope
from grid.wire.catalog import decode_membership, encode
from grid.wire.datagram import ENVELOPE_BYTES, DatagramOpener, DatagramSealer, Opened
from grid.wire.security import derive_keys

from .samples import message_of

KEYS = derive_keys(b"correct horse battery staple", "grid")
SENDER = NodeId(b"0123456789abcdef")
KINDS = typing.get_args(MembershipMessage)
UDP_BYTES_MAX = 65_507
REJECTIONS = typing.get_args(envelope.Rejection)
STEADY = settings(derandomize=True, deadline=None, max_examples=150)

generators = st.integers(0, 2**32).map(random.Random)


def body_of(generator: random.Random) -> bytes:
    return encode(message_of(generator.choice(KINDS), generator))


def sealed(generator: random.Random, sender: NodeId = SENDER) -> bytes:
    sealer = DatagramSealer(KEYS, sender)
    for _ in range(generator.randrange(3)):
        sealer.seal(b"")
    return sealer.seal(body_of(generator))


def flipped(datagram: bytes, generator: random.Random) -> bytes:
    """Return it with one to eight bits changed."""
    damaged = bytearray(datagram)
    for bit in generator.sample(range(8 * len(damaged)), generator.randrange(1, 9)):
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def spliced(one: bytes, other: bytes, generator: random.Random) -> bytes:
    """Return the head of one and the tail of another."""
    cut = generator.choice([4, 8, 12, 28, 36, ENVELOPE_BYTES, generator.randrange(len(one))])
    return one[:cut] + other[cut:]


@STEADY
@given(generators)
def test_damaged_datagram_is_refused_and_uses_up_no_counter(generator: random.Random) -> None:
    datagram, opener = sealed(generator), DatagramOpener(KEYS)
    long = datagram + generator.randbytes(generator.randrange(1, UDP_BYTES_MAX - len(datagram)))
    cut = datagram[: generator.randrange(len(datagram))]
    for damaged in (flipped(datagram, generator), long, cut):
        assert opener.open(damaged) in REJECTIONS
    assert opener._windows == {}
    assert isinstance(opener.open(datagram), Opened)


@STEADY
@given(generators)
def test_parts_of_two_datagrams_make_no_third(generator: random.Random) -> None:
    one, other = sealed(generator), sealed(generator, NodeId(generator.randbytes(NODE_ID_BYTES)))
    mixed = spliced(one, other, generator)
    opened = DatagramOpener(KEYS).open(mixed)
    assert isinstance(opened, Opened) == (mixed in (one, other))


@STEADY
# What begins as ours do is no noise: it is told apart by the tags behind.
@given(
    st.binary(max_size=200).filter(lambda noise: not noise.startswith(envelope.MAGIC)),
    st.integers(0, UDP_BYTES_MAX),
)
def test_noise_of_any_length_is_not_ours(noise: bytes, length: int) -> None:
    data = (noise * (length // max(1, len(noise)) + 1))[:length]
    assert DatagramOpener(KEYS).open(data) == "not_ours"
    # With the tags of this cluster in front it is still forged, or too short to be anything.
    tagged = DatagramSealer(KEYS, SENDER).seal(b"")[:12] + data
    expected = "forged" if len(tagged) >= ENVELOPE_BYTES else "not_ours"
    assert DatagramOpener(KEYS).open(tagged) == expected


@STEADY
@given(st.lists(st.tuples(st.integers(0, 5), generators), min_size=1, max_size=12))
def test_replayed_and_reordered_datagrams_are_opened_once_each(order) -> None:
    sealer, opener = DatagramSealer(KEYS, SENDER), DatagramOpener(KEYS)
    datagrams = [sealer.seal(body_of(generator)) for _, generator in order]
    heard = [datagrams[place % len(datagrams)] for place, _ in order] + datagrams
    opened = [data for data in heard if isinstance(opener.open(data), Opened)]
    assert sorted(opened) == sorted(datagrams)
    assert {opener.open(data) for data in datagrams} == {"replayed"}


@STEADY
@given(generators)
def test_other_names_and_secrets_are_told_apart(generator: random.Random) -> None:
    name, secret = f"other-{generator.random()}", generator.randbytes(8)
    body = body_of(generator)
    by_name = DatagramSealer(derive_keys(b"correct horse battery staple", name), SENDER)
    by_secret = DatagramSealer(derive_keys(secret, "grid"), SENDER)
    assert DatagramOpener(KEYS).open(by_name.seal(body)) == "other_cluster"
    assert DatagramOpener(KEYS).open(by_secret.seal(body)) == "other_secret"


def garbage(generator: random.Random) -> bytes:
    """Return a body that looks more or less like a message."""
    body = body_of(generator)
    match generator.randrange(5):
        case 0:
            return generator.randbytes(generator.randrange(1, 400))
        case 1:
            return flipped(body, generator)
        case 2:
            return body[: generator.randrange(len(body))]
        case 3:
            return body + generator.randbytes(generator.randrange(1, 60_000))
        case _:
            fields = msgspec.msgpack.decode(body)
            generator.shuffle(fields)
            return msgspec.msgpack.encode(fields)


@settings(STEADY, max_examples=400)
@given(generators)
def test_garbage_under_the_right_key_is_a_message_or_a_protocol_error(
    generator: random.Random,
) -> None:
    opened = DatagramOpener(KEYS).open(DatagramSealer(KEYS, SENDER).seal(garbage(generator)))
    assert isinstance(opened, Opened)
    try:
        message = decode_membership(opened.body)
    except ProtocolError:
        return
    assert isinstance(message, KINDS)
    encode(message)


def test_senders_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert envelope._SENDERS_MAX == 6_000
    monkeypatch.setattr(envelope, "_SENDERS_MAX", 3)
    opener, generator = DatagramOpener(KEYS), random.Random(1)
    for _ in range(20):
        opener.open(sealed(generator, NodeId(generator.randbytes(NODE_ID_BYTES))))
    assert len(opener._windows) == 3
