"""A view tells whether the node that sent it is of the cluster that was asked for."""

from __future__ import annotations

import pytest

from grid.wire.control import View
from grid.wire.security import ClusterKeys, derive_keys

KEYS = derive_keys(b"a secret, quite long", "library")
OTHER_KEYS = derive_keys(b"another secret, as long", "library")
VIEW = View(1, "library", KEYS.key_tag, b"", [], None)


@pytest.mark.parametrize(
    ("cluster", "keys", "stranger"),
    [
        ("library", KEYS, ""),
        ("library", None, ""),
        ("annexe", None, "a node of the cluster 'library'"),
        ("library", OTHER_KEYS, "a node of a cluster of this name with another secret"),
    ],
)
def test_name_and_secret_tell_a_stranger(
    cluster: str, keys: ClusterKeys | None, stranger: str
) -> None:
    assert VIEW.stranger(cluster, keys) == stranger
