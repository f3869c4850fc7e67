"""The knobs of replication: unit, range and reason of each. Declarations only."""

from __future__ import annotations

import dataclasses

from grid.option import option


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationOptions:
    """How many copies there are and how far they may differ; the same on every machine."""

    backup_count: int = option(
        1,
        help="""How many nodes hold a copy of every entry besides the one that serves it. 1: a dead
            node loses at most the writes of the last moment. 0: half the memory and no traffic
            for copies, and whatever a dead node held is lost.""",
        unit="copies",
        low=0,
        high=1,
    )
    window_operations_max: int = option(
        1000,
        help="""How many acknowledged writes of one partition its backup may not have yet; further
            writers wait. It bounds what a dead node can lose: fewer lose less, more let a burst
            of writes finish sooner.""",
        unit="writes",
        low=1,
        high=100_000,
    )
    window_bytes_max: int = option(
        1_048_576,
        help="""How many bytes of such writes. It bounds the memory that waits for a slow backup; a
            single larger write is let into an empty window.""",
        unit="bytes",
        low=1024,
        high=268_435_456,
    )
    window_age_max_s: float = option(
        0.1,
        help="""How old the oldest of such writes may be before further writers wait. It bounds the
            time that a dead node can lose, however few writes there are.""",
        unit="seconds",
        low=0.01,
        high=60,
    )
    flush_interval_s: float = option(
        0.01,
        help="""How long a write that nobody waits for may be held back, to be sent to the backup
            together with others. Longer sends fewer and larger messages; shorter risks less. It
            should be a small part of window_age_max_s.""",
        unit="seconds",
        low=0,
        high=1,
    )
    digest_interval_s: float = option(
        30.0,
        help="""How often a backup is compared with its original, which repairs what no message
            reported as different. Shorter finds a difference sooner and costs more reading.""",
        unit="seconds",
        low=1,
        high=3600,
    )
    fill_bytes_in_flight_max: int = option(
        2_097_152,
        help="""How many bytes of a new copy each storage process may have on their way. More fills
            a new node sooner; less leaves more of the network to the programs.""",
        unit="bytes",
        low=65_536,
        high=268_435_456,
    )
    leave_deadline_s: float = option(
        60.0,
        help="""How long a node that is stopped may take to move its entries to other nodes. After
            that it ends all the same, and the backups of its entries take over.""",
        unit="seconds",
        low=0,
        high=3600,
    )
