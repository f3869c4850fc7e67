"""Which modules a pickle needs."""

from __future__ import annotations

import decimal
import math
import pickle
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest

from grid.client.code.roots import (
    NO_ROOTS,
    Pickled,
    Roots,
    pickle_once,
    pickle_with_roots,
)
from grid.errors import SerializationError
from tests.client import jobs

HERE = __name__
JOBS = jobs.__name__


class Own:
    pass


def roots_of(value: object) -> Roots:
    return pickle_with_roots(value)[1]


@pytest.mark.parametrize(
    "value",
    [1, [None, "x"], len, math.sin, decimal.Decimal(1), [].append, partial(pow, 2), {1: {2: b""}}],
)
def test_what_every_node_has_needs_nothing(value: object) -> None:
    assert roots_of(value) == NO_ROOTS


@pytest.mark.parametrize(
    ("value", "module"),
    [
        (jobs.divide, JOBS),
        (jobs, JOBS),
        (Own, HERE),
        ([Own(), Own()], HERE),
        (partial(jobs.divide, 2), JOBS),
        ({"a": (np.float64(1.5),)}, "numpy"),
    ],
)
def test_what_goes_by_its_name_needs_its_module(value: object, module: str) -> None:
    firm, _ = roots_of(value)
    assert module in {*firm, *(name.partition(".")[0] for name in firm)}


def test_function_by_value_needs_what_it_imports_and_refers_to() -> None:
    def called() -> Any:
        from tests.client import meeting  # noqa: PLC0415

        return meeting, jobs.divide

    def another() -> Any:
        from tests.client import gate  # noqa: PLC0415

        return gate

    firm, optional = roots_of((called, (another,)))
    assert {"tests.client.meeting", JOBS} <= firm
    assert "tests.client.gate" in optional
    assert HERE not in firm


def test_equal_functions_of_two_packages_need_the_modules_of_each() -> None:
    for package in ("shop_r", "store_r"):
        scope: dict[str, Any] = {"__package__": package, "__name__": "__main__"}
        exec("def price():\n    from . import rates", scope)
        assert roots_of(scope["price"]).firm == {package, f"{package}.rates"}


def test_pickle_is_that_of_cloudpickle_after_its_start() -> None:
    data, _ = pickle_with_roots((lambda x: x + 1, Own), b"\x03\x0b")
    assert data[:2] == b"\x03\x0b"
    function, kind = pickle.loads(data[2:])
    assert function(1) == 2
    assert kind is Own


def test_function_for_many_calls_brings_its_modules_into_each_of_them() -> None:
    function = pickle_once(jobs.divide)
    data, roots = pickle_with_roots([function, 1])
    assert JOBS in roots.firm
    assert pickle.loads(data)[0] == Pickled(function.data)


def test_what_cannot_be_pickled_is_told() -> None:
    with pytest.raises(SerializationError, match="a lock cannot be sent"):
        pickle_with_roots(threading.Lock())
