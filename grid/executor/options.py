"""The knobs of the executor: unit, range and reason of each. Declarations only."""

from __future__ import annotations

import dataclasses

from grid.option import option

MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorOptions:
    """How tasks queue and how often they are tried; the same on every machine."""

    queue_length_max: int = option(
        1000,
        help="""How many tasks may wait on one node. A full queue pushes back on whoever submits,
            instead of filling the memory of the node.""",
        unit="tasks",
        low=1,
        high=1_000_000,
    )
    queue_bytes_max: int = option(
        256 * MIB,
        help="""How much memory the calls that wait on one node may take, with their arguments. A
            full queue pushes back; into an empty one a single call may always go.""",
        unit="bytes",
        low=MIB,
        high=1024 * 1024 * MIB,
    )
    attempts_max: int = option(
        3,
        help="""How often a task is started before it is given up, when each time the worker or
            the node under it dies. 1 means that a task never runs twice.""",
        unit="attempts",
        low=1,
        high=100,
    )
