"""A map against CPython's own tests of what a mapping is."""

from __future__ import annotations

import importlib
import itertools
import unittest
from collections.abc import MutableMapping
from typing import Any

import pytest

from grid.client.session import Grid

from .fakes import FakeCluster, FakeShell

try:
    mapping_tests: Any = importlib.import_module("test.mapping_tests")
except ImportError:
    mapping_tests = None

needs_mapping_tests = pytest.mark.skipif(
    mapping_tests is None, reason="this Python was installed without its 'test' package"
)

_numbers = itertools.count()


def failures_of(make_map: Any) -> list[str]:
    """Run them all on new maps; return what went wrong."""

    class TestMap(mapping_tests.BasicTestMappingProtocol):  # type: ignore[misc]  # it has no types
        type2test = staticmethod(make_map)

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(TestMap)
    assert suite.countTestCases() >= 13
    result = unittest.TestResult()
    suite.run(result)
    return [f"{test}: {trace}" for test, trace in result.failures + result.errors]


@needs_mapping_tests
def test_a_map_without_a_cluster_passes_cpython_s_tests_of_mappings():
    shell = FakeShell(FakeCluster())
    assert failures_of(lambda: shell.map(f"m{next(_numbers)}")) == []


@needs_mapping_tests
def test_a_map_of_a_cluster_passes_cpython_s_tests_of_mappings(client: Grid):
    assert failures_of(lambda: client.map(f"mapping {next(_numbers)}")) == []


def test_a_map_is_a_mutable_mapping_and_compares_as_one():
    shell = FakeShell(FakeCluster())
    users, others = shell.map("users"), shell.map("others")
    assert isinstance(users, MutableMapping)
    users.update({"a": 1}, b=2)
    others.update([("b", 2), ("a", 1)])
    assert users == others == {"a": 1, "b": 2}
    others["a"] = 3
    assert users != others
    assert not bool(shell.map("empty"))
    with pytest.raises(TypeError, match="unhashable"):
        hash(users)
    with pytest.raises(TypeError, match="not reversible"):
        reversed(users)
