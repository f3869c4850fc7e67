"""What the benchmark needs of a pool, and the form of all that are `concurrent.futures`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol


class Peer(Protocol):
    """A pool on this machine, between `start` and `stop`. Its calls are what its manual says."""

    def start(self, workers: int) -> None:
        """Start it with so many workers."""

    def call(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """Run one call and return its result."""

    def burst(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """Submit each call, then return all results in order."""

    def map(
        self, function: Callable[[Any], Any], arguments: Sequence[Any], chunk: int
    ) -> list[Any]:
        """Return all results by the pool's own way for many calls of one function."""

    def stop(self) -> None:
        """End it, whatever state it is in."""


class FuturesPeer:
    """Any `concurrent.futures.Executor`."""

    def __init__(self, make: Callable[[int], Executor]) -> None:
        """`make` returns the executor for a number of workers."""
        self._make = make
        self._executor: Executor | None = None

    def start(self, workers: int) -> None:
        """Make the executor."""
        self._executor = self._make(workers)

    def call(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """Submit one call and wait."""
        return self.executor.submit(function, argument).result()

    def burst(self, function: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        """Submit each, then wait for each."""
        submit = self.executor.submit
        futures = [submit(function, argument) for argument in arguments]
        return [future.result() for future in futures]

    def map(
        self, function: Callable[[Any], Any], arguments: Sequence[Any], chunk: int
    ) -> list[Any]:
        """Use the executor's map, in chunks."""
        return list(self.executor.map(function, arguments, chunksize=chunk))

    def stop(self) -> None:
        """Shut it down; what waits is dropped."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    @property
    def executor(self) -> Executor:
        """The executor, once it is started."""
        assert self._executor is not None
        return self._executor
