"""What the commands answer to programs, as JSON; ``tables.py`` has the same for people.

Pure. The keys are a promise: programs read them. Not here: how they are printed
(``status_commands.py``), where a status comes from (``process/status.py``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from grid.console.document import ClusterStatus, MemberStatus, decode
from grid.wire.control import Event

STATES = {"s": "safe", "u": "unprotected", "l": "lost"}


def status_answer(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the single partitions, which have a command of their own."""
    return {key: value for key, value in document.items() if key != "partition_map"}


def members_answer(document: dict[str, Any]) -> list[Any]:
    """Return the members, the living and the lately gone."""
    members: list[Any] = document["members"]
    return members


def partitions_answer(document: dict[str, Any]) -> dict[str, Any]:
    """Return the counts, and holders and state of each partition; boot ids and names of holders."""
    status = decode(document)
    known = status.partition_map
    partitions = []
    if known is not None:
        rows = zip(known.states, known.primaries, known.backups, known.incoming, strict=True)
        holders = [_holder(status, node) for node in known.holders]
        for number, (state, primary, backup, incoming) in enumerate(rows):
            partitions.append(
                {
                    "id": number,
                    "state": STATES.get(state, state),
                    "primary": holders[primary] if primary >= 0 else None,
                    "backup": holders[backup] if backup >= 0 else None,
                    "moving_to": holders[incoming] if incoming >= 0 else None,
                }
            )
    return {**document["partitions"], "partitions": partitions}


def tasks_answer(document: dict[str, Any]) -> dict[str, Any]:
    """Return the tasks in all, of each member, and what each worker of who answers does."""
    status = decode(document)
    sums = status.tasks()
    return {
        "queued": sums.queued,
        "running": sums.running,
        "done": sums.done,
        "retried": sums.retried,
        "members": [
            {
                "name": member["name"],
                "id": member["id"],
                "state": member["state"],
                "workers": member.get("workers", 0),
                **member["tasks"],
            }
            for member in document["members"]
        ],
        "node": status.node,
        "workers": document.get("workers", []),
    }


def event_answer(event: Event) -> dict[str, Any]:
    """Return one event, its time as Unix seconds and in words."""
    return {
        "time_s": event.time_s,
        "time": datetime.fromtimestamp(event.time_s, UTC).isoformat(timespec="milliseconds"),
        "node": event.node,
        "number": event.number,
        "kind": event.kind,
        "text": event.text,
        "fields": event.fields,
    }


def _holder(status: ClusterStatus, node: str) -> dict[str, str]:
    member: MemberStatus | None = next((m for m in status.members if m.id == node), None)
    return {"id": node, "name": "" if member is None else member.name}
