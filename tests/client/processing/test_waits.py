"""Calls that wait for futures, run by threads and by event loops alike."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from grid.client.processing.waits import Until, Waits, run, run_async

LONG_S = 60.0


def run_on_a_loop(call: Waits[Any]) -> Any:
    return asyncio.run(run_async(call))


RUNNERS = pytest.mark.parametrize("runner", [run, run_on_a_loop])


def done(value: int) -> Future[int]:
    future: Future[int] = Future()
    future.set_result(value)
    return future


@RUNNERS
def test_one_is_enough_or_all_are_wanted(runner: Any) -> None:
    never: Future[int] = Future()

    def call() -> Waits[list[bool]]:
        one = yield Until([never, done(1)], LONG_S)
        both = yield Until([never, done(1)], 0.0, all=True)
        nothing = yield Until([never], -1.0)
        return [one, both, nothing]

    assert runner(call()) == [True, False, False]


@RUNNERS
def test_what_is_done_by_another_thread_is_heard(runner: Any) -> None:
    first: Future[int] = Future()
    second: Future[int] = Future()
    begun = threading.Event()

    def complete() -> None:
        begun.wait(LONG_S)
        first.set_result(1)
        second.set_result(2)

    def call() -> Waits[int]:
        begun.set()
        assert (yield Until([first, second], LONG_S, all=True))
        return first.result(0) + second.result(0)

    thread = threading.Thread(target=complete)
    thread.start()
    assert runner(call()) == 3
    thread.join()


@RUNNERS
def test_an_error_of_the_call_comes_out(runner: Any) -> None:
    def call() -> Waits[int]:
        yield Until([done(1)], LONG_S)
        raise ValueError("so")

    with pytest.raises(ValueError, match="so"):
        runner(call())


def test_a_caller_that_is_cancelled_closes_the_call() -> None:
    closed: list[bool] = []

    def call() -> Waits[None]:
        try:
            yield Until([Future()], LONG_S)
        finally:
            closed.append(True)

    async def main() -> None:
        task = asyncio.create_task(run_async(call()))
        await asyncio.sleep(0)  # It begins, and waits.
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closed == [True]


def test_a_future_that_ends_after_its_loop_harms_nobody() -> None:
    late: Future[int] = Future()

    def call() -> Waits[bool]:
        return (yield Until([late], 0.01))

    assert run_on_a_loop(call()) is False
    late.set_result(1)
