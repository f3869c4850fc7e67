"""Clusters to look at, the same in every run."""

from __future__ import annotations

from typing import Any

from grid.console.model import ClusterStatus, ConsoleModel, decode

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
        "tasks": {"queued": number * 3, "running": number % 3, "done": number * 1_234},
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


def status_dict(member_count: int, **changes: Any) -> dict[str, Any]:
    """Return the status of a cluster of `member_count`, all well."""
    members = [member(number) for number in range(1, member_count + 1)]
    return {
        "cluster": "library",
        "members": members,
        "partitions": partitions(),
        "writes_at_risk": sum(entry["at_risk"] for entry in members),
        "unprotected_entries": 0,
    } | changes


def status(member_count: int, **changes: Any) -> ClusterStatus:
    """Return the decoded status of `status_dict`."""
    return decode(status_dict(member_count, **changes))


def model(member_count: int, event_count: int = 60) -> ConsoleModel:
    """Return a model after two updates ten seconds apart and `event_count` events."""
    result = ConsoleModel("192.168.1.11:7701")
    result.update(status(member_count), 100.0)
    after = status_dict(member_count)
    for entry in after["members"]:
        entry["tasks"]["done"] += 25
    result.update(decode(after), 110.0)
    levels = ("INFO", "WARNING", "ERROR")
    for number in range(event_count):
        text = f"event {number} of a cluster of {member_count}"
        result.add_event(f"12:00:{number:02d}", levels[number % 3], text)
    return result
