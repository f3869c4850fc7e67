"""A try that was held up on its way arrives after its repetition: nothing may happen then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from grid.client.map import Map
from tests.client.fakes import FakeCluster, FakeShell, Fault

WITHOUT_EFFECT: dict[str, Callable[[Map[Any, Any]], object]] = {
    "pop": lambda m: m.pop("k", None),
    "delete": lambda m: m.delete("k"),
    "replace": lambda m: m.replace("k", 5),
    "remove_all": lambda m: m.remove_all(["k"]),
    "put_if_absent": lambda m: m.put_if_absent("there", 1),
    "setdefault": lambda m: m.setdefault("there", 1),
}


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_late_try_of_what_had_no_effect_has_none_either(name: str) -> None:
    shell = FakeShell(FakeCluster())
    mapped = shell.map()
    mapped["there"] = 0
    faults = iter([Fault.DELAYED])
    shell.meddle = lambda _: next(faults, None)
    WITHOUT_EFFECT[name](mapped)
    mapped["k"] = 1
    del mapped["there"]
    shell.deliver()
    assert dict(mapped) == {"k": 1}
