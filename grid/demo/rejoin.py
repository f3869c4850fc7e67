"""The demonstration of coming back: a killed host's node starts again by the same command."""

from __future__ import annotations

import time

from grid.demo import ballast
from grid.demo.figures import Outcome, at_least, at_most, exactly
from grid.demo.stage import Stage

MEMBER_S_MAX = 3.0
SAFE_S_MAX = 10.0


def show(stage: Stage) -> Outcome:
    """Start the killed node again; see it become a member and get its share."""
    victim, tell = stage.victim, stage.narrator
    tell.begin("rejoin", f"{victim.name} starts again by the same command")
    if victim in stage.running or not stage.running:
        stage.form()
        ballast.put(stage)
        tell.step(f"{victim.name} is killed, to come back; the others restore its backups.")
        stage.kill(victim)
    stage.settle()
    tell.step(f"The same command on {victim.name} as before:")
    started_s = time.monotonic()
    stage.start(victim)
    stage.wait_for_members(stage.hosts)
    member_s = time.monotonic() - started_s
    tell.seen(f"all {len(stage.hosts)} nodes see it alive after {member_s:.1f} s")
    stage.wait_until_safe(stage.hosts[0])
    safe_s = time.monotonic() - started_s
    status = stage.status(stage.hosts[0])
    held = [] if status is None else [m for m in status.members if m.name == victim.name]
    primaries = sum(member.primaries for member in held if not member.is_gone)
    total = 0 if status is None else status.partitions.total
    tell.seen(
        f"everything is safe after {safe_s:.1f} s; {victim.name} owns {primaries} of {total} "
        "partitions"
    )
    lost = ballast.missing(stage)
    figures = {
        "seconds_to_member": round(member_s, 3),
        "seconds_to_safe": round(safe_s, 3),
        "partitions_owned": primaries,
        "entries_lost": lost,
        "hosts": len(stage.hosts),
    }
    checks = (
        at_most("seconds until all see it alive", member_s, MEMBER_S_MAX, " s"),
        at_most("seconds until it has its share and all is safe", safe_s, SAFE_S_MAX, " s"),
        at_least("partitions that it owns", primaries, total // len(stage.hosts)),
        exactly("entries lost", lost, 0),
    )
    return Outcome("rejoin", figures, checks)
