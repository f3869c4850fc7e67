"""One option: what its declaration says is what its value must obey."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.option import (
    OptionError,
    check_host_port,
    is_host,
    literal,
    option,
    specs_of,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    port: int = option(7701, help="A port.", low=0, high=65535)
    period_s: float = option(0.5, help="A period.", unit="seconds", low=0.1, high=60.0)
    is_on: bool = option(True, help="A switch.")
    name: str = option("", help="A name.", low=2, high=5)
    secret: str = option("", help="Not to be seen.", hidden=True)
    seeds: tuple[str, ...] = option((), help="Addresses.", high=2, check=check_host_port)
    mode: str = option("fast", help="A choice.", choices=("fast", "safe"))
    factor: float = option(1.0, help="Any number at all.")


SPECS = specs_of(Sample)


def test_declared_default_is_the_default():
    assert Sample() == Sample(port=7701, period_s=0.5, is_on=True, name="", seeds=(), mode="fast")


def test_specs_keep_name_and_order():
    names = ["port", "period_s", "is_on", "name", "secret", "seeds", "mode", "factor"]
    assert [spec.name for spec in SPECS.values()] == names == list(SPECS)


def test_default_outside_its_own_range_is_our_bug():
    with pytest.raises(OptionError, match="at least 2"):
        option(1, help="Wrong.", low=2)


def test_hidden_value_is_in_neither_repr_nor_message():
    assert "hush" not in repr(Sample(secret="hush"))
    assert SPECS["secret"].shown("hush") == "(not shown)"


def test_help_written_over_several_lines_is_one_paragraph():
    field: object = option(1, help="one\n   two")
    assert isinstance(field, dataclasses.Field)
    assert [spec.help for spec in field.metadata.values()] == ["one two"]


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("port", "a whole number from 0 to 65535"),
        ("period_s", "a number from 0.1 to 60 seconds"),
        ("is_on", "true or false"),
        ("name", "text from 2 to 5 characters, or empty"),
        ("seeds", "a list of texts of at most 2 items"),
        ("mode", 'one of "fast", "safe"'),
    ],
)
def test_allowed_values_are_named(name: str, allowed: str):
    assert SPECS[name].allowed() == allowed


@pytest.mark.parametrize(
    ("name", "given_value", "accepted"),
    [
        ("port", 0, 0),
        ("port", 65535, 65535),
        ("period_s", 1, 1.0),
        ("is_on", False, False),
        ("name", "", ""),
        ("name", "José", "José"),
        ("seeds", ["db-1.lan:7701", "10.0.0.2:1"], ("db-1.lan:7701", "10.0.0.2:1")),
        ("mode", "safe", "safe"),
    ],
)
def test_good_value_is_accepted_in_its_declared_type(
    name: str, given_value: object, accepted: object
):
    result = SPECS[name].accept(given_value)
    assert result == accepted
    assert type(result) is type(accepted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 65536),
        ("port", True),
        ("port", 7701.0),
        ("port", "7701"),
        ("port", None),
        ("period_s", 0.09),
        ("period_s", False),
        ("period_s", float("inf")),
        ("period_s", float("nan")),
        ("factor", float("inf")),
        ("factor", float("nan")),
        ("factor", 10**400),
        ("is_on", 1),
        ("is_on", "true"),
        ("name", "a"),
        ("name", "abcdef"),
        ("name", "a\nb"),
        ("name", "a\x1b["),
        ("name", "a\u202eb"),
        ("name", 12),
        ("seeds", "10.0.0.2:1"),
        ("seeds", ["10.0.0.2:1", 7]),
        ("seeds", ["a:1", "b:1", "c:1"]),
        ("mode", "slow"),
        ("mode", 1),
    ],
)
def test_bad_value_is_refused_with_what_is_allowed(name: str, value: object):
    with pytest.raises(OptionError, match=r"^must "):
        SPECS[name].accept(value)


@pytest.mark.parametrize(
    "text",
    [
        *["", "host", "host:", ":7701", "host:0", "host:65536", "host:7a", "host:+1", "a:1:2"],
        *["10.0.0.256:1", "-host:1", "ho st:1", "[::1]:7701", "host:٣", "http://host:1"],
        "host:000001",
    ],
)
def test_address_that_is_not_host_and_port_is_refused(text: str):
    assert check_host_port(text).startswith('"host:port"')


@pytest.mark.parametrize("text", ["localhost", "node_1.lan", "a.b.c.", "192.168.1.20", "x" * 63])
def test_host_is_recognised(text: str):
    assert is_host(text)


@pytest.mark.parametrize("text", ["", ".", "a..b", "x" * 64, "1.2.3", "a b", "a.b." * 100])
def test_what_is_no_host_is_recognised(text: str):
    assert not is_host(text)


def test_literal_spells_values_as_toml_does():
    assert literal(True) == "true"
    assert literal(0.5) == "0.5"
    assert literal('say "hi"\n') == r'"say \"hi\"\u000A"'
    assert literal(("a", "b")) == '["a", "b"]'


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_literal_is_one_short_printable_line(value: object):
    text = literal(value)
    assert len(text) <= 80
    assert text.isprintable()


def test_literal_of_an_unprintably_long_number_is_a_description():
    assert literal(10**6000) == "a number of more than 20 digits"
