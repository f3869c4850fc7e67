"""How a map's own tasks reach their node."""

from __future__ import annotations

import pytest

from grid.client.processing import here
from grid.errors import GridError
from tests.client.fake_tasks import at_node
from tests.client.fakes import FakeCluster, FakeShell


def test_outside_a_task_there_is_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "_shell", None)
    with pytest.raises(GridError, match="inside a task only"):
        here.shell_here()


def test_the_shell_is_asked_for_each_time() -> None:
    first, second = FakeShell(FakeCluster()), FakeShell(FakeCluster())
    with at_node(first):
        assert here.shell_here() is first
        with at_node(second):
            assert here.shell_here() is second
        assert here.shell_here() is first
