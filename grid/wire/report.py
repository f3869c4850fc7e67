"""What each node reports of itself on every membership message, opaque to membership."""

from __future__ import annotations

import msgspec

from grid.types import NO_TABLE, TableStamp


class NodeReport(msgspec.Struct, array_like=True, frozen=True):
    """Load and table stamp of one node; about 70 bytes.

    `cpu_percent` is of the whole machine (0 .. 100), `entries` counts primaries. `at_risk` are
    acknowledged writes that the backup does not have yet, `unprotected` entries without a complete
    backup, `lost_at_most` the writes that promotions on this node may have cost since its start.
    `free_cores` is what others on that machine leave to the node; negative: not known yet.
    `operations_per_s` its storage processes carried out in the last second, each key of a batch
    counted. `tasks_retried` have started here as a second or later attempt. `age_s` is how long ago
    the node started.
    """

    stamp: TableStamp = NO_TABLE
    cpu_percent: float = 0.0
    memory_percent: float = 0.0
    entries: int = 0
    tasks_queued: int = 0
    tasks_running: int = 0
    tasks_done: int = 0
    at_risk: int = 0
    unprotected: int = 0
    lost_at_most: int = 0
    free_cores: float = -1.0
    operations_per_s: int = 0
    tasks_retried: int = 0
    age_s: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(NodeReport)


def encode_report(report: NodeReport) -> bytes:
    """Return the report's bytes."""
    return _encoder.encode(report)


def decode_report(data: bytes) -> NodeReport | None:
    """Return the report, or None when the bytes are none (another version's, say)."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return None
