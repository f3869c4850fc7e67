"""What a write is remembered by."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.client.entries.tokens import pack_token, unpack_token
from grid.types import PARTITION_COUNT


@given(st.integers(1, 2**64 - 1), st.integers(0, PARTITION_COUNT - 1))
def test_a_token_is_one_number_that_holds_version_and_partition(version: int, partition: int):
    token = pack_token(version, partition)
    assert type(token) is int
    assert unpack_token(token) == (version, partition)


@pytest.mark.parametrize("other", [None, "token", 1.0, True, 0, 7, -(2**40), 2**72, b"x"])
def test_what_put_cannot_have_returned_is_said_to_be_no_token(other: Any):
    with pytest.raises(ValueError, match=r"^a token is what put\(\) has returned, not"):
        unpack_token(other)
