"""A datagram is opened once, only unharmed, and only by those who share name and secret."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.types import NODE_ID_BYTES, NodeId
from grid.wire.datagram import ENVELOPE_BYTES, MAGIC, DatagramOpener, DatagramSealer, Opened
from grid.wire.security import derive_keys

from .samples import THOROUGH

KEYS = derive_keys(b"correct horse battery staple", "grid")
OWN_ID = NodeId(b"0123456789abcdef")
WINDOW = 64
SENDERS_MAX = 6_000
REJECTIONS = ("not_ours", "other_cluster", "other_secret", "forged", "replayed")


def sealed(count: int, sender: NodeId = OWN_ID) -> list[bytes]:
    """Return datagrams with the counters 1 .. `count`, item 0 unused."""
    sealer = DatagramSealer(KEYS, sender)
    return [b"", *(sealer.seal(b"body %d" % number) for number in range(1, count + 1))]


def test_sealed_body_is_opened_with_its_sender() -> None:
    datagram = DatagramSealer(KEYS, OWN_ID).seal(b"hello")
    assert len(datagram) == ENVELOPE_BYTES + 5
    assert DatagramOpener(KEYS).open(datagram) == Opened(OWN_ID, b"hello")


def test_envelope_has_the_documented_52_bytes() -> None:
    datagram = DatagramSealer(KEYS, OWN_ID).seal(b"")
    assert len(datagram) == ENVELOPE_BYTES == 52
    assert datagram[:4] == MAGIC
    assert datagram[12:28] == OWN_ID
    assert datagram[28:36] == (1).to_bytes(8, "big")


def test_other_cluster_is_told_from_other_secret() -> None:
    opener = DatagramOpener(KEYS)
    other_name = derive_keys(b"correct horse battery staple", "annexe")
    other_secret = derive_keys(b"wrong horse battery staple", "grid")
    assert opener.open(DatagramSealer(other_name, OWN_ID).seal(b"x")) == "other_cluster"
    assert opener.open(DatagramSealer(other_secret, OWN_ID).seal(b"x")) == "other_secret"


def test_copied_tags_do_not_help_without_the_secret() -> None:
    ours = DatagramSealer(KEYS, OWN_ID).seal(b"x")
    theirs = DatagramSealer(derive_keys(b"another", "grid"), OWN_ID).seal(b"x")
    assert DatagramOpener(KEYS).open(ours[:12] + theirs[12:]) == "forged"


@pytest.mark.parametrize(
    ("first", "last", "rejection"),
    [
        (0, 3, "not_ours"),
        (4, 7, "other_cluster"),
        (8, 11, "other_secret"),
        (12, 27, "forged"),  # sender
        (28, 35, "forged"),  # counter
        (36, 51, "forged"),  # MAC
        (52, 61, "forged"),  # body
    ],
)
def test_every_flipped_bit_is_noticed(first: int, last: int, rejection: str) -> None:
    datagram = DatagramSealer(KEYS, OWN_ID).seal(b"ten bytes.")
    assert len(datagram) == 62
    for place in range(first, last + 1):
        for bit in range(8):
            forged = bytearray(datagram)
            forged[place] ^= 1 << bit
            assert DatagramOpener(KEYS).open(bytes(forged)) == rejection


def test_cut_and_lengthened_datagrams_are_refused() -> None:
    datagram = DatagramSealer(KEYS, OWN_ID).seal(b"ten bytes.")
    opener = DatagramOpener(KEYS)
    for length in range(ENVELOPE_BYTES):
        assert opener.open(datagram[:length]) == "not_ours"
    for length in range(ENVELOPE_BYTES, len(datagram)):
        assert opener.open(datagram[:length]) == "forged"
    assert opener.open(datagram + b"\x00") == "forged"
    assert isinstance(opener.open(datagram), Opened), "none of those has used up its counter"


def test_recorded_datagram_cannot_be_played_again() -> None:
    datagrams, opener = sealed(3), DatagramOpener(KEYS)
    for number in (1, 2, 3):
        assert isinstance(opener.open(datagrams[number]), Opened)
    assert [opener.open(datagrams[number]) for number in (1, 2, 3)] == ["replayed"] * 3


def test_overtaken_datagrams_inside_the_window_are_accepted_once() -> None:
    datagrams, opener = sealed(WINDOW), DatagramOpener(KEYS)
    for number in range(WINDOW, 0, -1):
        assert isinstance(opener.open(datagrams[number]), Opened)
    for number in range(1, WINDOW + 1):
        assert opener.open(datagrams[number]) == "replayed"


@pytest.mark.parametrize("newest", [WINDOW + 1, WINDOW + 2, 3 * WINDOW])
def test_edge_of_the_window_is_64_behind_the_newest(newest: int) -> None:
    datagrams, opener = sealed(newest), DatagramOpener(KEYS)
    assert isinstance(opener.open(datagrams[newest]), Opened)
    assert opener.open(datagrams[newest - WINDOW]) == "replayed"
    assert isinstance(opener.open(datagrams[newest - WINDOW + 1]), Opened)
    assert opener.open(datagrams[newest - WINDOW + 1]) == "replayed"


@pytest.mark.parametrize("step", [1, WINDOW - 1, WINDOW, WINDOW + 1, 5 * WINDOW])
def test_window_remembers_what_it_keeps_after_a_jump(step: int) -> None:
    datagrams, opener = sealed(10 + step), DatagramOpener(KEYS)
    for number in (10, 10 + step):
        assert isinstance(opener.open(datagrams[number]), Opened)
    assert opener.open(datagrams[10]) == "replayed"
    assert opener.open(datagrams[10 + step]) == "replayed"


def test_forged_counter_does_not_move_the_window() -> None:
    datagrams, opener = sealed(2), DatagramOpener(KEYS)
    forged = datagrams[1][:28] + b"\xff" * 8 + datagrams[1][36:]
    assert opener.open(forged) == "forged"
    assert isinstance(opener.open(datagrams[1]), Opened)


def test_senders_have_windows_of_their_own() -> None:
    opener = DatagramOpener(KEYS)
    for number in range(5):
        sender = NodeId(bytes([number]) * NODE_ID_BYTES)
        datagram = sealed(1, sender)[1]
        assert opener.open(datagram) == Opened(sender, b"body 1")
        assert opener.open(datagram) == "replayed"


def test_openers_remember_apart() -> None:
    datagram = sealed(1)[1]
    assert isinstance(DatagramOpener(KEYS).open(datagram), Opened)
    assert isinstance(DatagramOpener(KEYS).open(datagram), Opened)


def test_sender_that_keeps_talking_is_not_forgotten_for_thousands_of_others() -> None:
    opener = DatagramOpener(KEYS)
    own = sealed(3)
    others = [NodeId(number.to_bytes(NODE_ID_BYTES, "big")) for number in range(SENDERS_MAX + 10)]
    half = SENDERS_MAX // 2
    for number, part in ((1, others[:half]), (2, others[half:-10]), (3, others[-10:])):
        assert isinstance(opener.open(own[number]), Opened)
        for sender in part:
            opener.open(DatagramSealer(KEYS, sender).seal(b""))
    assert [opener.open(own[number]) for number in (1, 2, 3)] == ["replayed"] * 3


@given(st.lists(st.integers(1, 3 * WINDOW), max_size=60))
@THOROUGH
def test_any_order_is_accepted_as_the_rule_of_the_window_says(order: list[int]) -> None:
    opener = DatagramOpener(KEYS)
    accepted: set[int] = set()
    for number in order:
        is_fresh = number not in accepted and number > max(accepted, default=0) - WINDOW
        result = opener.open(MANY[number])
        assert result == (Opened(OWN_ID, b"body %d" % number) if is_fresh else "replayed")
        if is_fresh:
            accepted.add(number)


MANY = sealed(3 * WINDOW)


@given(st.binary(max_size=120), st.sampled_from([0, 4, 8, 12, 36]))
@THOROUGH
def test_random_bytes_are_refused_and_nothing_is_raised(noise: bytes, kept: int) -> None:
    datagram = sealed(1)[1][:kept] + noise
    assert DatagramOpener(KEYS).open(datagram) in REJECTIONS


def test_long_noise_is_refused() -> None:
    noise = random.Random(5).randbytes(65_000)
    assert DatagramOpener(KEYS).open(noise) == "not_ours"
    assert DatagramOpener(KEYS).open(sealed(1)[1][:12] + noise) == "forged"
