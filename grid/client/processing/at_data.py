"""What maps have run at their data: `apply`, `apply_many` and `reduce`, of all maps of one client.

Responsible for: the executor that runs them, made with the first call and kept; the name in which
applies write.

Not here: the calls themselves (``applies.py``, ``reducing.py``), what runs in workers
(``entry_processing.py``), who waits and how (``waits.py``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from grid.client.code.calls import name_of
from grid.client.code.roots import pickle_once
from grid.client.entries.entry_operations import MISSING
from grid.client.processing.applies import TASK_S_MAX, Applies, What
from grid.client.processing.means import Means, Tasks, check_timeout
from grid.client.processing.reducing import Reducing
from grid.client.processing.turns import Turns
from grid.client.processing.waits import Waits
from grid.client.requests.connections import CLIENT_ID_BYTES
from grid.client.requests.core import Core
from grid.storage.options import StorageOptions


class Executor(Tasks, Protocol):
    """What is needed of `GridExecutor`."""

    @property
    def is_over(self) -> bool:
        """Whether it was shut down and has nothing left to do."""
        ...


class AtData:
    """The calls of one client; safe to share between threads."""

    def __init__(
        self, core: Core, limits: StorageOptions, make_executor: Callable[[], Executor]
    ) -> None:
        """Begin without an executor."""
        self._core = core
        self._limits = limits
        self._make_executor = make_executor
        self._executor: Executor | None = None
        self._means: Means | None = None
        self._lock = threading.Lock()

    def apply(
        self,
        map_name: str,
        key: object,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        *,
        default: object,
        timeout_s: float | None,
        with_backup: bool,
    ) -> Waits[Any]:
        """Apply to one entry; return its new value. See `Map.apply`."""
        if timeout_s is None:
            timeout_s = self._core.deadline() - self._core.clock()
        elif timeout_s > TASK_S_MAX:
            raise ValueError(
                f"timeout must be at most {TASK_S_MAX:g} seconds in apply; for longer work read "
                "the entry, compute in a task and store with replace_if_same"
            )
        values = yield from self.apply_many(
            map_name,
            (key,),
            fn,
            args,
            default=default,
            timeout_s=timeout_s,
            with_backup=with_backup,
        )
        return values[key]

    def apply_many(
        self,
        map_name: str,
        keys: Iterable[Any],
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        *,
        default: object,
        timeout_s: float | None,
        with_backup: bool,
    ) -> Waits[dict[Any, Any]]:
        """Apply to many entries; return their new values. See `Map.apply_many`."""
        check_timeout(timeout_s)
        call, initial = pickle_once((fn, args), name_of(fn)), pickle_once(default)
        what = What(map_name, call, initial, with_backup, timeout_s)
        return (yield from Applies(self._means_now(), what).run(keys))

    def reduce(
        self,
        map_name: str,
        map_fn: Callable[[Any, Any], Any],
        combine: Callable[[Any, Any], Any],
        initial: object,
        *,
        timeout_s: float | None,
    ) -> Waits[Any]:
        """Combine what `map_fn` makes of all entries. See `Map.reduce`."""
        check_timeout(timeout_s)
        functions = pickle_once((map_fn, combine), name_of(map_fn))
        call = Reducing(self._means_now(), map_name, functions, combine, timeout_s)
        total = yield from call.run()
        if total is MISSING and initial is MISSING:
            raise TypeError(f"reduce of the empty map {map_name!r} with no initial value")
        if total is MISSING:
            return initial
        return total if initial is MISSING else combine(initial, total)

    def forget(self) -> None:
        """In a forked child: the parent's executor and name are not ours."""
        self._lock = threading.Lock()
        self._executor = self._means = None

    def _means_now(self) -> Means:
        with self._lock:
            if self._means is None or self._executor is None or self._executor.is_over:
                self._executor = self._make_executor()
                name = os.urandom(CLIENT_ID_BYTES)
                self._means = Means(self._core, self._limits, self._executor, Turns(), name)
            return self._means
