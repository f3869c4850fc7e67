"""What a map has run at its data: a part of `Map` and, to be awaited, of `AsyncMap`.

Not here: what these calls do (``applies.py``, ``reducing.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, TypeVarTuple, cast

from grid.client.entries.entry_operations import MISSING, Ack
from grid.client.processing.at_data import AtData
from grid.client.processing.waits import run, run_async

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")
R = TypeVar("R")
Args = TypeVarTuple("Args")


class _OfMap:
    """What a map of either kind knows of itself: its name, how its writes are acknowledged."""

    def __init__(self, name: str, at_data: AtData, *, backup_ack: bool) -> None:
        self.name = name
        self._at_data = at_data
        self._backup_ack = backup_ack

    def _waits_for_backup(self, ack: Ack) -> bool:
        """Whether a write with this `ack` is acknowledged only when a backup has it as well.

        Raises: ValueError for what is no way to acknowledge.
        """
        if ack is None:
            return self._backup_ack
        if ack != "backup":
            raise ValueError(f"ack is 'backup' or None (as the map does by default), not {ack!r}")
        return True


class MapAtData(_OfMap, Generic[K, V]):
    """For threads."""

    def apply(
        self,
        key: K,
        fn: Callable[[V | D, *Args], R],
        /,
        *args: *Args,
        default: D = None,  # type: ignore[assignment]  # D is None then.
        timeout: float | None = None,
        ack: Ack = None,
    ) -> R:
        """Replace the value of `key` by ``fn(value, *args)``, atomically; return the new value.

        `fn` runs in a worker of the node that has the entry, if one is free there. What it returns
        is stored if the entry has not been written since it was read; else `fn` is called again
        with the new value. So it may run several times, also because a worker or node dies, but
        its effect on the entry happens once. It should be short and do nothing else. A time to
        live stays.

        Args:
            key: of the entry.
            fn: any function. It returns the new value, or `grid.REMOVE` to have the entry removed
                (then this returns None).
            args: further arguments of `fn`.
            default: what `fn` is given if there is no entry.
            timeout: seconds for all of it, a minute at most; by default
                ``client.operation_deadline_s``.
            ack: as for `put`.

        Raises: what `fn` raises, with the remote traceback as a note, and nothing is stored;
            OperationTimeoutError; OperationError with outcome "applied" if it was applied, but the
            answer was lost and the entry has been changed again since; PoisonTaskError if its
            workers die again and again (it may have been applied); as `put` for its value.
        """
        call = self._at_data.apply(
            self.name,
            key,
            fn,
            args,
            default=default,
            timeout_s=timeout,
            with_backup=self._waits_for_backup(ack),
        )
        return cast(R, run(call))

    def apply_many(
        self,
        keys: Iterable[K],
        fn: Callable[[V | D, *Args], R],
        /,
        *args: *Args,
        default: D = None,  # type: ignore[assignment]  # D is None then.
        timeout: float | None = None,
        ack: Ack = None,
    ) -> dict[K, R]:
        """Do as `apply` for each of `keys`, once; return their new values (None for a removed one).

        Few tasks, of up to 100 keys each; not atomic as a whole. With the first exception no more
        is begun, and it is raised when what was begun has ended: some entries have been changed
        then, others not. Without a `timeout` for all of it, each task has
        ``client.operation_deadline_s``; a minute is the most that one takes.
        """
        call = self._at_data.apply_many(
            self.name,
            keys,
            fn,
            args,
            default=default,
            timeout_s=timeout,
            with_backup=self._waits_for_backup(ack),
        )
        return run(call)

    def reduce(
        self,
        map_fn: Callable[[K, V], R],
        combine: Callable[[R, R], R],
        initial: R = MISSING,
        *,
        timeout: float | None = None,
    ) -> R:
        """Combine ``map_fn(key, value)`` of all entries into one result.

        Runs in workers at the data; what comes of each group of partitions is combined here. The
        order is any, so `combine` must be associative and commutative: ``m.reduce(lambda k, v: v,
        operator.add, 0)``. Each entry counts once, also when nodes die meanwhile; each partition
        as it was when it was read.

        Args:
            map_fn: called for each entry.
            combine: makes one of two results.
            initial: combined with the result; returned if the map is empty.
            timeout: seconds for all of it; by default each task has
                ``client.operation_deadline_s``.

        Raises: TypeError for an empty map without `initial`; what the functions raise;
            PartitionLostError; OperationTimeoutError.
        """
        call = self._at_data.reduce(self.name, map_fn, combine, initial, timeout_s=timeout)
        return cast(R, run(call))


class AsyncMapAtData(_OfMap, Generic[K, V]):
    """For event loops."""

    async def apply(
        self,
        key: K,
        fn: Callable[[V | D, *Args], R],
        /,
        *args: *Args,
        default: D = None,  # type: ignore[assignment]  # D is None then.
        timeout: float | None = None,  # noqa: ASYNC109 - tasks have it, too.
        ack: Ack = None,
    ) -> R:
        """Replace the value of `key` by ``fn(value, *args)``, atomically; see `Map.apply`."""
        call = self._at_data.apply(
            self.name,
            key,
            fn,
            args,
            default=default,
            timeout_s=timeout,
            with_backup=self._waits_for_backup(ack),
        )
        return cast(R, await run_async(call))

    async def apply_many(
        self,
        keys: Iterable[K],
        fn: Callable[[V | D, *Args], R],
        /,
        *args: *Args,
        default: D = None,  # type: ignore[assignment]  # D is None then.
        timeout: float | None = None,  # noqa: ASYNC109 - tasks have it, too.
        ack: Ack = None,
    ) -> dict[K, R]:
        """Do as `apply` for each of `keys`; return their new values. See `Map.apply_many`."""
        call = self._at_data.apply_many(
            self.name,
            keys,
            fn,
            args,
            default=default,
            timeout_s=timeout,
            with_backup=self._waits_for_backup(ack),
        )
        return await run_async(call)

    async def reduce(
        self,
        map_fn: Callable[[K, V], R],
        combine: Callable[[R, R], R],
        initial: R = MISSING,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - tasks have it, too.
    ) -> R:
        """Combine ``map_fn(key, value)`` of all entries; see `Map.reduce`.

        `combine` is called on the event loop, too.
        """
        call = self._at_data.reduce(self.name, map_fn, combine, initial, timeout_s=timeout)
        return cast(R, await run_async(call))
