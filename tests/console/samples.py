"""Clusters to look at, the same in every run."""

from __future__ import annotations

from typing import Any

from grid.console.document import ClusterStatus, decode
from grid.console.model import ConsoleModel
from grid.wire.control import Event

MEMBER_COUNTS = (1, 4, 12)
SIZES = ((80, 24), (200, 60))


def member(number: int, **changes: Any) -> dict[str, Any]:
    """Return member `number` as the status has it, busy in its own way."""
    status = {
        "name": f"n{number}",
        "id": f"{number:032x}",
        "address": f"192.168.1.{10 + number}:7701",
        "pid": 4000 + number,
        "state": "alive",
        "cpu_percent": (number * 37.5) % 101,
        "primaries": 256 // (number + 1),
        "backups": 12 * number,
        "entries": 7**number % 2_000_003,
        "at_risk": number * 11,
        "workers": 4,
        "age_s": number**4,
        "state_s": number**4,
        "memory_percent": (number * 17.5) % 100,
        "operations_per_s": number * 1_111,
        "tasks": {
            "queued": number * 3,
            "running": number % 3,
            "done": number * 1_234,
            "retried": number % 2,
        },
    }
    return status | changes


def partitions(
    unprotected: int = 0, lost: int = 0, moving: int = 0, *, total: int = 256, backup_count: int = 1
) -> dict[str, int]:
    """Return the partitions as the status has them."""
    return {
        "total": total,
        "safe": total - unprotected - lost,
        "unprotected": unprotected,
        "lost": lost,
        "moving": moving,
        "backup_count": backup_count,
    }


def partition_map(
    member_count: int, unprotected: int = 0, lost: int = 0, moving: int = 0
) -> dict[str, Any]:
    """Return who holds each partition of an even table; what is in trouble comes first."""
    trouble = lost + unprotected
    is_alone = member_count < 2
    return {
        "holders": [member(number)["id"] for number in range(1, member_count + 1)],
        "primaries": [-1 if p < lost else p % member_count for p in range(256)],
        "backups": [-1 if p < trouble or is_alone else (p + 1) % member_count for p in range(256)],
        "incoming": [
            (p + 2) % member_count if trouble <= p < trouble + moving else -1 for p in range(256)
        ],
        "states": "l" * lost + "u" * unprotected + "s" * (256 - trouble),
    }


def workers(*running_s: float | None, function: str = "crunch") -> list[dict[str, Any]]:
    """Return workers as the status has them; the third of them waits."""
    return [
        {
            "pid": 4_100 + number,
            "running_s": seconds,
            "is_waiting": number == 3,
            "function": "" if seconds is None else function,
        }
        for number, seconds in enumerate(running_s, start=1)
    ]


def status_dict(member_count: int, **changes: Any) -> dict[str, Any]:
    """Return the status of a cluster of `member_count`, all well."""
    members = [member(number) for number in range(1, member_count + 1)]
    return {
        "cluster": "library",
        "node": member(1)["id"],
        "members": members,
        "partitions": partitions(),
        "partition_map": partition_map(member_count) if member_count else None,
        "workers": workers(0.4, 75.0, 3.0, None),
        "writes_at_risk": sum(entry["at_risk"] for entry in members),
        "unprotected_entries": 0,
    } | changes


def status(member_count: int, **changes: Any) -> ClusterStatus:
    """Return the decoded status of `status_dict`."""
    return decode(status_dict(member_count, **changes))


def model(member_count: int, event_count: int = 60) -> ConsoleModel:
    """Return a model after a minute of updates and `event_count` events."""
    result = ConsoleModel("192.168.1.11:7701")
    result.hint = "q leaves the cluster (Ctrl-C as well; twice ends the node at once)"
    for second in range(41):
        now = status_dict(member_count)
        for number, entry in enumerate(now["members"], start=1):
            wave = (second * (number + 2)) % 40 / 40
            entry |= {"cpu_percent": 100 * wave, "operations_per_s": int(9_000 * (1 - wave))}
        result.update(decode(now), 60.0 + second)
    after = status_dict(member_count)
    for entry in after["members"]:
        entry["tasks"]["done"] += 25
    result.update(decode(after), 110.0)
    levels = ("INFO", "WARNING", "ERROR")
    for number in range(event_count):
        text = f"event {number} of a cluster of {member_count}"
        result.add_event(f"12:00:{number:02d}", levels[number % 3], text)
    return result


def event(
    node: str, text: str, time_s: float, *, number: int = 1, kind: str = "joined", **fields: int
) -> Event:
    """Return what a node tells."""
    return Event(number, time_s, node, kind, text, dict(fields))
