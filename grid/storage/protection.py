"""Questions about the safety of what was written: whether backups have it, whether it survived.

Not here: writes that wait for a backup themselves (``store.py``), what confirms them
(``replication/``).
"""

from __future__ import annotations

from collections.abc import Iterable

from grid.storage.messages import Done, Flush, RefusalReason, Reply, Survived
from grid.storage.partition import Partition
from grid.storage.partitions import Partitions, RefusedError
from grid.storage.record import SEQUENCE_BITS
from grid.storage.replies import Held


def flush(request: Flush, partitions: Partitions, *, protects: bool) -> Reply | Held:
    """Answer when backups have what was written, and know that; at once if there are to be none.

    Raises: RefusedError.
    """
    partitions.check(request.epochs)
    chosen = [partitions.by_id[p] for p, _ in request.epochs]
    done = Done(request.request, 0)
    if not protects:
        return done
    check_protected(chosen)
    waits = tuple((held, held.sequence) for held in chosen if held.confirmed < held.sequence)
    answer = Held(done, waits, partitions.settle())
    return done if answer.is_over else answer


def survived(request: Survived, partitions: Partitions) -> Reply:
    """Say whether a write outlived every promotion. Raises: RefusedError."""
    held = partitions.get(request.partition, request.epoch)
    epoch, sequence = request.version >> SEQUENCE_BITS, request.version % (1 << SEQUENCE_BITS)
    has_survived = held.has_survived(epoch, sequence)
    if has_survived is None:
        raise RefusedError(RefusalReason.FORGOTTEN, request.partition)
    return Done(request.request, int(has_survived))


def told_when_safe(done: Done, held: Partition) -> Reply | Held:
    """Tell of a write when the backup has it, for that may have been asked of it.

    Its entry may have been written since by somebody who did not ask, so readers do not wait.
    """
    sequence = done.version % (1 << SEQUENCE_BITS)
    is_safe = held.confirmed >= sequence or not held.is_protected
    return done if is_safe else Held(done, ((held, sequence),))


def check_protected(chosen: Iterable[Partition]) -> None:
    """Raise RefusedError unless all these have a complete backup."""
    for held in chosen:
        if not held.is_protected:
            raise RefusedError(RefusalReason.NO_BACKUP, held.partition_id)
