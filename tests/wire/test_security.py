"""The keys of a cluster follow from its secret and name, and from nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from grid.wire.security import (
    KEY_BYTES,
    ClusterKeys,
    bearer_token,
    derive_keys,
    is_bearer,
    is_equal,
    mac,
)

SECRET = b"correct horse battery staple"


def all_codes(keys: ClusterKeys) -> tuple[bytes, ...]:
    return dataclasses.astuple(keys)


def test_same_secret_and_name_give_the_same_keys() -> None:
    assert derive_keys(SECRET, "grid") == derive_keys(bytes(bytearray(SECRET)), "grid")


def test_keys_are_those_of_every_earlier_release() -> None:
    keys = derive_keys(SECRET, "grid")
    assert keys.name_tag.hex() == "8e88123f"
    assert keys.key_tag.hex() == "4a06722f"
    assert mac(keys.datagram_key, b"", 8, b"datagram").hex() == "c87d2750f7c00e94"
    assert mac(keys.connection_key, b"", 8, b"client").hex() == "a828111e5cc38d5b"
    assert bearer_token(keys).startswith("847aee2e95df2715")


def test_another_secret_changes_everything_but_the_name_tag() -> None:
    ours, theirs = derive_keys(SECRET, "grid"), derive_keys(SECRET + b".", "grid")
    assert ours.name_tag == theirs.name_tag
    assert ours.key_tag != theirs.key_tag
    assert ours.datagram_key != theirs.datagram_key
    assert ours.connection_key != theirs.connection_key
    assert ours.bearer_key != theirs.bearer_key


def test_another_name_changes_everything() -> None:
    ours, theirs = derive_keys(SECRET, "grid"), derive_keys(SECRET, "Grid")
    pairs = zip(all_codes(ours), all_codes(theirs), strict=True)
    assert all(left != right for left, right in pairs)


def test_tags_are_4_bytes_and_keys_are_long_and_independent() -> None:
    keys = derive_keys(SECRET, "José")
    assert [len(code) for code in all_codes(keys)] == [4, 4, *[KEY_BYTES] * 3]
    assert len(set(all_codes(keys))) == 5
    assert not keys.datagram_key.startswith(keys.key_tag)


@pytest.mark.parametrize("secret", [b"", b"s", b"s" * 1024, bytes(range(256)) * 40])
def test_secret_of_any_length_gives_keys(secret: bytes) -> None:
    assert len(derive_keys(secret, "grid").connection_key) == KEY_BYTES


def test_long_secrets_count_to_their_last_byte() -> None:
    assert derive_keys(b"s" * 1024, "grid") != derive_keys(b"s" * 1023 + b"t", "grid")


def test_keys_are_not_shown() -> None:
    keys = derive_keys(SECRET, "grid")
    for shown in (repr(keys), str(keys), f"{keys}"):
        assert not any(repr(code) in shown or code.hex() in shown for code in all_codes(keys))


def test_code_depends_on_key_data_and_purpose() -> None:
    codes = {
        mac(key, data, 16, purpose)
        for key in (b"k" * 32, b"l" * 32)
        for data in (b"", b"data")
        for purpose in (b"client", b"server")
    }
    assert len(codes) == 8


@pytest.mark.parametrize("size", [4, 16, 32])
def test_code_has_the_size_asked_for_and_is_no_prefix_of_a_longer_one(size: int) -> None:
    code = mac(b"k" * 32, b"data", size, b"client")
    assert len(code) == size
    assert not mac(b"k" * 32, b"data", size + 1, b"client").startswith(code)


def test_codes_are_compared_whole() -> None:
    assert is_equal(b"code", bytes(bytearray(b"code")))
    for other in (b"", b"cod", b"code.", b"Code", b"codf"):
        assert not is_equal(b"code", other)


def test_bearer_token_and_secret_are_accepted_and_nothing_else() -> None:
    keys = derive_keys(SECRET, "grid")
    token = bearer_token(keys).encode()
    assert is_bearer(keys, "grid", token)
    assert is_bearer(keys, "grid", SECRET)
    others = (derive_keys(SECRET + b".", "grid"), derive_keys(SECRET, "Grid"))
    wrong = [bearer_token(other).encode() for other in others]
    for stranger in (*wrong, b"", b" ", token[:-1], token.upper(), SECRET + b".", keys.bearer_key):
        assert not is_bearer(keys, "grid", stranger)


def test_bearer_token_is_text_that_needs_no_quoting() -> None:
    token = bearer_token(derive_keys(SECRET, "grid"))
    assert token.isascii()
    assert token.isalnum()
