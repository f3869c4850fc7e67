"""Whether a cluster is healthy, and why not: the verdict of ``/health``.

Healthy means that every partition is served and has the backup it shall have. What is moving
or suspected, or whose share is still on its way, is no reason: nothing is missing then. Of what is
suspected it is told beside the verdict.
(``grid wait-safe`` asks for more: before a machine is stopped, that has to be over as well.)

Not responsible for: the status document that it judges (``status.py``), how the verdict is sent.
"""

from __future__ import annotations

from typing import Any

from grid.types import counted


def unhealthy_because(document: dict[str, Any]) -> list[str]:
    """Return what is wrong by the status document, the worst first; nothing: it is healthy."""
    counts = document["partitions"]
    lost, unprotected = counts["lost"], counts["unprotected"]
    if not counts["safe"] + unprotected + lost:
        return ["this node has not joined a cluster yet"]
    reasons = []
    if lost:
        reasons.append(
            f"{_partitions(lost)} lost: no living node has a copy; "
            "'grid accept-loss' serves what is lost again, empty"
        )
    if unprotected:
        living = [m for m in document["members"] if m["state"] in ("alive", "suspect")]
        remedy = (
            "there is only one node; start a second one, or set replication.backup_count to 0"
            if len(living) == 1
            else "backups are being made"
        )
        reasons.append(f"{_partitions(unprotected)} unprotected: {remedy}")
    return reasons


def doubtful_because(document: dict[str, Any]) -> list[str]:
    """Return what may be wrong, but is no verdict: a suspicion may be over in a moment."""
    suspects = [m for m in document["members"] if m["state"] == "suspect" and m["primaries"]]
    if not suspects:
        return []
    names = ", ".join(member["name"] for member in suspects)
    count = sum(member["primaries"] for member in suspects)
    verb = "is" if len(suspects) == 1 else "are"
    return [f"{counted(count, 'partition')} may not answer: {names} {verb} suspected to be dead"]


def _partitions(count: int) -> str:
    return f"{counted(count, 'partition')} {'is' if count == 1 else 'are'}"
