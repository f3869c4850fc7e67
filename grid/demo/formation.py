"""The demonstration of forming: nodes see each other without any address."""

from __future__ import annotations

import time

from grid.demo.figures import Outcome, at_most, exactly
from grid.demo.stage import Stage

SAFE_S_MAX = 10.0


def show(stage: Stage) -> Outcome:
    """Start a node on each host at once and see them become one cluster."""
    count = len(stage.hosts)
    tell = stage.narrator
    tell.begin("formation", f"{count} nodes become one cluster without any address")
    tell.step("cluster.toml, the same on each host: a name and a secret, no address.")
    tell.step("The same command on each host, all at once:")
    started_s = time.monotonic()
    stage.start(*stage.hosts)
    stage.wait_for_members(stage.hosts)
    members_s = time.monotonic() - started_s
    tell.seen(f"each of the {count} nodes lists all {count} alive, after {members_s:.1f} s")
    stage.wait_until_safe(stage.hosts[0])
    safe_s = time.monotonic() - started_s
    tell.seen(f"every partition has an owner and a backup, after {safe_s:.1f} s")
    tell.step("What a person asks on any of them:")
    tell.typed(stage.hosts[-1].name, "bin/grid status")
    shown = stage.hosts[-1].run("status")
    for line in shown.stdout.splitlines():
        tell.seen(line)
    status = stage.status(stage.hosts[-1])
    members = 0 if status is None else status.count("alive")
    figures = {
        "hosts": count,
        "members": members,
        "seconds_to_members": round(members_s, 3),
        "seconds_to_safe": round(safe_s, 3),
    }
    checks = (
        exactly("members that each node sees alive", members, count),
        at_most("seconds until everything is safe", safe_s, SAFE_S_MAX, " s"),
    )
    return Outcome("formation", figures, checks)
