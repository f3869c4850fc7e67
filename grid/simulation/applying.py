"""`apply` of a simulated client: the shipped half that runs in workers, and workers that die.

A worker dies between two of its steps: before it writes, or after that, unheard. The next one does
the same in the same name and under the same number, as the task of a dead worker is run again.

Not here: tasks and numbers of many applies at a time (``client/``), of which a simulated client has
one after the other; who looks at the sums (``workload.py``).
"""

from __future__ import annotations

from itertools import count
from random import Random
from typing import cast

from grid.client.code.roots import pickle_once
from grid.client.processing.entry_processing import ApplyCall, Applying
from grid.client.requests.connections import CLIENT_ID_BYTES
from grid.client.requests.core import Core, raise_unknown
from grid.client.requests.steps import Operation
from grid.errors import OperationError
from grid.storage.options import StorageOptions
from grid.wire.keys import encode_key

DEATHS = 0.1
"""The share of steps that are a worker's last."""


def counted(total: int) -> int:
    """Return one more: of each repetition, and each loss, the next sum tells."""
    return total + 1


COUNTED, NOTHING = pickle_once((counted, ())), pickle_once(0)
LIMITS = StorageOptions()


class Applies:
    """Of one client, to the counters of one map."""

    def __init__(self, map_name: str, core: Core, random: Random) -> None:
        """Have a name of its own, as the shipped client has one for its applies."""
        self._map_name = map_name
        self._core = core
        self._random = random
        self._name = random.randbytes(CLIENT_ID_BYTES)
        self._numbers = count(1)

    def counting(self, key: str, *, with_backup: bool) -> Operation[bytes | None]:
        """Add one; return the record."""
        partition, data = encode_key(key, LIMITS.key_bytes_max)
        entry = partition, data, next(self._numbers)
        deadline_s = self._core.deadline()
        call = ApplyCall(
            self._map_name,
            self._name,
            COUNTED,
            NOTHING,
            [entry],
            with_backup,
            LIMITS.value_bytes_max,
            deadline_s - self._core.clock(),
        )
        for attempt in count():
            worker = Applying(self._core, call, deadline_s).on(entry)
            result: object = None
            while True:
                try:
                    step = worker.send(result)
                except StopIteration as end:
                    return cast(bytes | None, end.value)
                except OperationError as error:
                    if attempt:
                        raise_unknown(error, "a worker that died may have applied it")
                    raise
                result = yield step
                if self._random.random() < DEATHS:
                    break
        raise AssertionError("there is always another worker")
