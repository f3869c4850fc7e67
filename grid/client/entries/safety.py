"""What a client can ask about the safety of what was written, without I/O.

`flush` is a barrier over everything, `survived` a question about one write. Neither changes
anything, so both are repeated after any failure, until the deadline.

Not here: writes that wait for a backup themselves (``entry_operations.py``), tokens as such
(``tokens.py``).
"""

from __future__ import annotations

from typing import cast

from grid.client.entries.map_operations import ALL_PARTITIONS
from grid.client.entries.tokens import WriteToken, unpack_token
from grid.client.requests.core import Core
from grid.client.requests.rounds import Portion
from grid.client.requests.steps import Operation
from grid.errors import PartitionLostError
from grid.storage.messages import Done, Flush, Survived


def flush(core: Core) -> Operation[None]:
    """End when the backups have everything that was written before, by anybody.

    Raises: NotEnoughNodesError; PartitionLostError; OperationTimeoutError.
    """
    every = Portion(
        ALL_PARTITIONS,
        lambda request, claim, _: Flush(request, claim.epochs),
        lambda indexes, reply: (),
        by_digest=False,
    )
    return core.on_many([every])


def survived(core: Core, token: WriteToken) -> Operation[bool]:
    """Return whether a write has outlived every promotion since.

    Raises: ValueError for what is no token; OperationTimeoutError.
    """
    version, partition_id = unpack_token(token)
    return _survived(core, version, partition_id)


def _survived(core: Core, version: int, partition_id: int) -> Operation[bool]:
    try:
        reply = yield from core.on_partition(
            partition_id, lambda request, epoch: Survived(request, partition_id, epoch, version)
        )
    except PartitionLostError:
        return False
    return cast(Done, reply).count == 1
