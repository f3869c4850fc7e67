"""`Executor.map`, lazily: results in order, the iterables read only so far ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from grid.client.code.calls import name_of
from grid.client.code.roots import Pickled, pickle_once
from grid.client.tasks.futures import TaskFuture

T = TypeVar("T")

CHUNKS_AHEAD_MAX = 4096
"""Chunks under way at a time by default: enough for any cluster, and within an executor's bound."""


def mapped(
    submit: Callable[[Pickled, list[tuple[Any, ...]]], TaskFuture[list[T]]],
    fn: Callable[..., T],
    iterables: tuple[Iterable[Any], ...],
    timeout_s: float | None,
    chunk_size: int,
    buffer_size: int | None,
) -> Iterator[T]:
    """Begin to call `fn`, with a task for each chunk; see `GridExecutor.map`."""
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    ahead = CHUNKS_AHEAD_MAX if buffer_size is None else max(1, buffer_size // chunk_size)
    if buffer_size is not None:
        chunk_size = min(chunk_size, buffer_size)
    elements = zip(*iterables, strict=False)  # As in the standard library, the shortest ends it.
    function = pickle_once(fn, name_of(fn))

    def send_next() -> bool:
        chunk = list(islice(elements, chunk_size))
        if chunk:
            futures.append(submit(function, chunk))
        return bool(chunk)

    futures: deque[TaskFuture[list[T]]] = deque()
    while len(futures) < ahead and send_next():
        pass

    def results() -> Iterator[T]:
        try:
            while futures:
                left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
                chunk = futures.popleft().result(left_s)
                chunk.reverse()
                send_next()
                while chunk:
                    yield chunk.pop()
        finally:
            for future in futures:
                future.drop()

    return results()
