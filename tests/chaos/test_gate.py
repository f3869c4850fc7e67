"""Workers stand at a closed gate, and nothing is under way."""

from __future__ import annotations

import threading

import pytest

from grid.chaos.gate import Gate
from grid.errors import GridError


def test_closed_gate_holds_every_worker_until_it_opens() -> None:
    gate, steps = Gate(2), [0, 0]
    has_begun = threading.Barrier(3)

    def work(index: int) -> None:
        has_begun.wait()
        while gate.pass_through():
            steps[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    has_begun.wait()
    gate.close(30.0)
    held = list(steps)
    assert steps == held
    gate.open()
    gate.close(30.0)
    gate.end()
    for thread in threads:
        thread.join()
    assert all(after >= before for before, after in zip(held, steps, strict=True))


def test_operation_that_does_not_end_is_an_error() -> None:
    with pytest.raises(GridError, match="1 operations have not ended within 0 s"):
        Gate(1).close(0.0)


def test_worker_that_has_left_is_not_waited_for() -> None:
    gate = Gate(1)
    gate.leave()
    gate.close(0.0)
