"""Addresses and log lines as text, and the rule which partition table must give way."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.types import NO_TABLE, Address, TableStamp, counted, log_text, short

STAMPS = [
    TableStamp(term, coordinator, version)
    for term in (0, 1, 2)
    for coordinator in (b"", b"a", b"b")
    for version in (0, 1, 2)
]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7701", "127.0.0.1", 7701),
        ("desk.lan:1", "desk.lan", 1),
        ("desk:65535", "desk", 65_535),
        ("desk:07701", "desk", 7701),
    ],
)
def test_address_is_parsed(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["", ":", "desk", "desk:", ":7701", "desk:x", "desk: 7701", "desk:7701 "]
    # Numbers that are no port.
    + [f"desk:{number}" for number in ("0", "65536", "-1", "+1", "7.5", "1e3")],
)
def test_what_is_no_address_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not host:port") as caught:
        Address.parse(text)
    assert repr(text) in str(caught.value)


@given(st.text(min_size=1, max_size=20), st.integers(1, 65_535))
@settings(derandomize=True, deadline=None)
def test_address_and_its_text_are_one(host: str, port: int) -> None:
    address = Address(host, port)
    assert str(address) == f"{host}:{port}"
    assert Address.parse(str(address)) == address


def test_one_of_two_different_tables_supersedes_the_other() -> None:
    for left, right in itertools.product(STAMPS, repeat=2):
        assert left.supersedes(right) + right.supersedes(left) == (left != right)


def test_superseding_is_transitive() -> None:
    for first, second, third in itertools.product(STAMPS, repeat=3):
        if first.supersedes(second) and second.supersedes(third):
            assert first.supersedes(third)


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (TableStamp(2, b"b", 0), TableStamp(1, b"a", 9)),  # the higher term
        (TableStamp(1, b"a", 0), TableStamp(1, b"b", 9)),  # then the lower coordinator
        (TableStamp(1, b"a", 2), TableStamp(1, b"a", 1)),  # then the higher version
        (TableStamp(1, b"a", 0), NO_TABLE),
    ],
)
def test_higher_term_then_lower_coordinator_then_higher_version_wins(
    winner: TableStamp, loser: TableStamp
) -> None:
    assert winner.supersedes(loser)
    assert not loser.supersedes(winner)


def test_no_table_gives_way_to_every_table() -> None:
    assert all(stamp.supersedes(NO_TABLE) for stamp in STAMPS if stamp.term)
    assert not any(NO_TABLE.supersedes(stamp) for stamp in STAMPS if stamp.term)


def test_lineage_is_term_and_coordinator() -> None:
    stamp = TableStamp(1, b"a", 1)
    assert stamp.same_lineage(TableStamp(1, b"a", 7))
    assert not stamp.same_lineage(TableStamp(2, b"a", 1))
    assert not stamp.same_lineage(TableStamp(1, b"b", 1))


def test_boot_id_is_shown_by_its_first_8_digits() -> None:
    assert short(bytes.fromhex("00ff10ab") + bytes(12)) == "00ff10ab"


@pytest.mark.parametrize(("count", "text"), [(0, "0 nodes"), (1, "1 node"), (2, "2 nodes")])
def test_noun_goes_with_its_number(count: int, text: str) -> None:
    assert counted(count, "node") == text


def test_log_line_is_a_phrase_and_pairs() -> None:
    assert log_text("balanced") == "balanced"
    line = log_text("dead", member="desk-2", address=Address("192.0.2.1", 7701), partitions=3)
    assert line == "dead member=desk-2 address=192.0.2.1:7701 partitions=3"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", '""'),
        ("Ann's desk", '"Ann\'s desk"'),
        ("a=b", '"a=b"'),
        ('say "a"', '"say \\"a\\""'),
        ("one\nERROR two", '"one\\nERROR two"'),
        ("\x1b[2J", '"\\u001b[2J"'),
        ("Büro", "Büro"),
        ("im Büro", '"im Büro"'),
    ],
)
def test_value_of_a_log_line_is_one_word_or_quoted(value: str, shown: str) -> None:
    assert log_text("joined", member=value) == f"joined member={shown}"


@given(st.text())
def test_no_value_makes_a_second_line(value: str) -> None:
    assert len(log_text("joined", member=value, id="00").splitlines()) == 1
