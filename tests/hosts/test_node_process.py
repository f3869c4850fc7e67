"""A process of ``grid up``, watched: what it says, and that it ends without having said it."""

from __future__ import annotations

import pytest

from grid.errors import GridError
from grid.hosts.node_process import NodeProcess


def test_what_a_node_says_before_it_ends_is_in_the_error_of_whoever_waits_for_more():
    node = NodeProcess("--port", "no number")
    try:
        with pytest.raises(GridError, match=r"(?s)ended without 'listening'.*invalid int value"):
            node.wait_for("listening")
        assert node.end() == 2
    finally:
        node.close()
