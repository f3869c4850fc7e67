"""``grid wait-safe``: whether every partition has what it shall have, and why not.

Responsible for: the verdict on a status, and waiting until it is good.

Not responsible for: asking for the status and exit codes (``cli.py``), drawing.

Theory of operation. Safe means: every partition has its owner and a complete backup, none is being
filled, every living member holds something (a newcomer waits for its share), and nobody is
suspected (its copies may be gone already). Without backups (``replication.backup_count = 0``)
whatever has an owner counts as safe. Lost partitions do not come back by waiting.

Departures and omissions. A dead machine that is not suspected yet goes unnoticed here as it does
everywhere else. More members than partitions cannot all hold something; then nobody asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from grid.console.document import ClusterStatus, MemberStatus
from grid.console.model import one_line
from grid.errors import GridError

POLL_S = 0.25
"""Between two looks: short beside what filling takes, long beside what a look costs."""


class Verdict(NamedTuple):
    """How safe a cluster is: `text` says it, `progress` is what to show while waiting."""

    is_safe: bool
    is_final: bool
    """Waiting changes nothing: it is safe, or something is lost."""
    text: str
    progress: str


def judge(status: ClusterStatus) -> Verdict:
    """Return the verdict on `status`."""
    counts = status.partitions
    backed = f"{counts.safe} of {counts.total} partitions have a backup"
    if counts.lost:
        text = (
            f"{counts.lost} of {counts.total} partitions are lost: no living node has a copy; "
            "'grid accept-loss' serves them again, empty"
        )
        return Verdict(False, True, text, backed)
    obstacle = _obstacle(status, backed)
    if obstacle:
        return Verdict(False, False, obstacle, obstacle if counts.are_safe else backed)
    if counts.backup_count:
        text = f"all {counts.total} partitions have a backup"
    else:
        text = f"all {counts.total} partitions are served (without backups: backup_count is 0)"
    return Verdict(True, True, text, text)


def wait_until_safe(
    look: Callable[[], ClusterStatus],
    timeout_s: float,
    on_progress: Callable[[str], None],
    monotonic_s: Callable[[], float],
    pause: Callable[[float], None],
) -> str:
    """Look until the cluster is safe; return the sentence that says so.

    Args:
        look: asks for the status now.
        timeout_s: how long to wait; 0 is one look.
        on_progress: is told how far it is, after every look.
        monotonic_s: a clock that never runs back.
        pause: waits so many seconds.

    Raises: GridError with one sentence on why it is not safe: at once when waiting does not help,
        else after `timeout_s`.
    """
    deadline_s = monotonic_s() + timeout_s
    while True:
        verdict = judge(look())
        if verdict.is_safe:
            return verdict.text
        if verdict.is_final:
            raise GridError(verdict.text)
        if monotonic_s() >= deadline_s:
            raise GridError(f"not safe within {timeout_s:g} s: {verdict.text}")
        on_progress(verdict.progress)
        pause(POLL_S)


def _obstacle(status: ClusterStatus, backed: str) -> str:
    """Return what is still missing; nothing if nothing is."""
    counts = status.partitions
    living = [member for member in status.members if not member.is_gone]
    if not counts.safe and not counts.unprotected:
        return "the node that answers has not joined a cluster yet"
    if counts.unprotected and len(living) == 1:
        return "there is only one node; backups need a second one"
    if counts.unprotected:
        return backed
    suspects = [member for member in living if member.state == "suspect"]
    if suspects:
        return f"{_named(suspects)} suspected to be dead"
    if counts.moving:
        verb = "is" if counts.moving == 1 else "are"
        return f"{counts.moving} of {counts.total} partitions {verb} moving to another node"
    empty = [member for member in living if not member.primaries + member.backups]
    if empty and len(living) <= counts.total:
        return f"{_named(empty)} waiting for partitions"
    return ""


def _named(members: list[MemberStatus]) -> str:
    """Return who it is, with the verb."""
    if len(members) == 1:
        return f"{one_line(members[0].name)} is"
    return f"{len(members)} nodes are"
