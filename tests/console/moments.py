"""The moments that the demonstrations show, as a console on the first of four desks has them.

Events are worded as the nodes word them.
"""

from __future__ import annotations

from typing import Any

from grid.console.document import decode
from grid.console.model import ConsoleModel

from .samples import member, partitions, workers

CLUSTER = "library"
DESKS = 4
IDS = range(256)
HINT = "q leaves the cluster (Ctrl-C as well; twice ends the node at once)"
BOOT_IDS = {
    number: start + "0" * 24
    for number, start in enumerate(
        ("57bf9af0", "f5540f54", "9995b463", "9ea6758e", "21c08d77"), start=1
    )
}
SECOND_LIFE = 5
"""Number of the boot id with which the third desk comes back."""


def desk(number: int, **changes: Any) -> dict[str, Any]:
    """Return a member that is idle and holds its quarter of everything."""
    usual = {
        "name": f"desk-{number}",
        "id": BOOT_IDS[number],
        "cpu_percent": 2.0 + number,
        "memory_percent": 30.0 + number,
        "primaries": 64,
        "backups": 64,
        "entries": 0,
        "at_risk": 0,
        "operations_per_s": 0,
        "age_s": 12,
        "state_s": 12,
        "tasks": tasks(),
    }
    return member(number, **(usual | changes))


def tasks(queued: int = 0, running: int = 0, done: int = 0, retried: int = 0) -> dict[str, int]:
    """Return the tasks of a member."""
    return {"queued": queued, "running": running, "done": done, "retried": retried}


def busy(number: int, done: int, **changes: Any) -> dict[str, Any]:
    """Return a member that analyses books and keeps what it finds in a map."""
    usual = {
        "cpu_percent": 97.0 + number % 3,
        "entries": 2_400 + 17 * number,
        "at_risk": 3 + number,
        "operations_per_s": 1_800 + 90 * number,
        "age_s": 75,
        "tasks": tasks(number, 4, done),
    }
    return desk(number, **(usual | changes))


def map_of(holders: list[str], unprotected: int = 0) -> dict[str, Any]:
    """Return an even table, in which so many partitions, spread evenly, have no backup."""
    count = len(holders)
    is_bare = [p * unprotected // 256 != (p + 1) * unprotected // 256 for p in IDS]
    return {
        "holders": holders,
        "primaries": [p % count for p in IDS],
        "backups": [-1 if is_bare[p] else (p + 1 + p // count % (count - 1)) % count for p in IDS],
        "incoming": [-1] * len(IDS),
        "states": "".join("u" if bare else "s" for bare in is_bare),
    }


def status_of(members: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return the status of a cluster of these members, all well."""
    living = [entry for entry in members if entry["state"] == "alive"]
    return {
        "cluster": CLUSTER,
        "node": members[0]["id"],
        "members": members,
        "partitions": partitions(),
        "partition_map": map_of([entry["id"] for entry in living]),
        "workers": workers(None, None, None, None),
        "writes_at_risk": sum(entry["at_risk"] for entry in living),
        "unprotected_entries": 0,
    } | changes


def model_of(*statuses: dict[str, Any], events: str) -> ConsoleModel:
    """Return a model after a second for each status, with these events."""
    result = ConsoleModel("192.168.1.11:7701")
    result.hint = HINT
    for second, status in enumerate(statuses):
        result.update(decode(status), float(second))
    for line in filter(None, events.splitlines()):
        time, level, text = line.split(maxsplit=2)
        result.add_event(time, level, text)
    return result


JOINED = """
21:03:26 INFO listening on 192.168.1.11:7701, TCP and UDP
21:03:27 INFO founding a cluster id=57bf9af0
21:03:27 INFO ready: this node serves its partitions
21:03:28 INFO desk-2 (f5540f54, 192.168.1.12:7701) joined
21:03:28 INFO desk-3 (9995b463, 192.168.1.13:7701) joined
21:03:28 INFO desk-4 (9ea6758e, 192.168.1.14:7701) joined
21:03:28 INFO all 256 partitions have a backup
21:03:28 INFO 4 nodes share the partitions evenly
"""

DIED = (
    JOINED
    + """
21:04:41 WARNING desk-3 (9995b463, 192.168.1.13:7701) is dead
21:04:41 WARNING took over 22 partitions of desk-3; at most 2 writes lost
21:04:42 WARNING 2 tasks run again here: a worker or node died under them
"""
)

REJOINED = (
    DIED
    + """
21:04:44 INFO all 256 partitions have a backup
21:04:44 INFO 3 nodes share the partitions evenly
21:05:02 INFO desk-3 (21c08d77, 192.168.1.13:7701) joined
"""
)


def formation() -> ConsoleModel:
    """Four desks have found each other."""
    desks = [desk(number) for number in range(1, DESKS + 1)]
    return model_of(*[status_of(desks)] * 5, events=JOINED)


def working(second: int) -> list[dict[str, Any]]:
    """Return four members that began with the books in second 6."""
    members = []
    for number in range(1, DESKS + 1):
        wave = (second * (5 + 2 * number)) % 17
        is_busy = second >= 6
        load = {
            "cpu_percent": 84.0 + wave if is_busy else 4.0,
            "operations_per_s": 900 + 90 * number + 70 * wave if is_busy else 0,
        }
        members.append(busy(number, max(0, second - 6) * 3, **load))
    return members


def books() -> ConsoleModel:
    """Twenty books are being analysed."""
    now = workers(0.2, 1.9, None, 3.4, function="analyse_stored_part")
    statuses = (status_of(working(second), workers=now) for second in range(30))
    return model_of(*statuses, events=JOINED)


def death() -> ConsoleModel:
    """One of them has just been killed: backups took over, its tasks run elsewhere."""
    alive = [entry for entry in working(30) if entry["name"] != "desk-3"]
    for entry in alive:
        entry |= {"primaries": 85, "backups": 43}
        entry["tasks"] |= {"queued": 4, "retried": 2}
    gone = desk(3, state="dead", state_s=1, primaries=0, backups=0)
    after = status_of(
        [alive[0], alive[1], gone, alive[2]],
        partitions=partitions(128),
        partition_map=map_of([entry["id"] for entry in alive], unprotected=128),
        unprotected_entries=4_840,
        workers=workers(0.7, 2.4, None, 0.1, function="analyse_stored_part"),
    )
    before = [status_of(working(second)) for second in range(30)]
    return model_of(*before, after, events=DIED)


def rejoined() -> ConsoleModel:
    """It has come back as a new, empty member, and its share moves to it."""
    gone = desk(3, state="dead", state_s=21, primaries=0, backups=0)
    back = desk(3, id=BOOT_IDS[SECOND_LIFE], age_s=2, primaries=0, backups=0, cpu_percent=35.0)
    holders = [BOOT_IDS[number] for number in (1, 2, 4, SECOND_LIFE)]

    def members(second: int) -> list[dict[str, Any]]:
        alive = [entry for entry in working(second) if entry["name"] != "desk-3"]
        for entry in alive:
            entry |= {"primaries": 85, "backups": 85}
            entry["tasks"] |= {"queued": 2, "retried": 2}
        return [alive[0], alive[1], gone, back, alive[2]]

    changes = dict(
        partitions=partitions(moving=51),
        partition_map=map_of(holders[:3])
        | {
            "holders": holders,
            "incoming": [3 if p % 5 == 2 else -1 for p in IDS],
        },
        workers=workers(0.3, 1.1, None, 2.0, function="analyse_stored_part"),
    )
    statuses = (status_of(members(second), **changes) for second in range(40, 60))
    return model_of(*statuses, events=REJOINED)


MOMENTS = {"formation": formation, "books": books, "death": death, "rejoined": rejoined}
