"""The pools that `bench.executor` measures, grid among them: which there are, what they need."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence

from bench.executor_peers.base import Peer

PEERS = ("pool", "loky", "dask", "ray")
CLUSTERS = ("dask", "ray")
"""Those that start a cluster; the others are a pool of the calling process."""

ISOLATED = frozenset({"ray"})
"""Those that listen beyond loopback: they run where there is nothing else."""

LONE_LOOPBACK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
"""What runs the rest of its command in a network namespace of its own."""

PROBE_DEADLINE_S = 10.0

_MODULES = {"pool": (), "loky": ("loky",), "dask": ("dask", "distributed"), "ray": ("ray",)}


def lacking(name: str) -> list[str]:
    """Return what a peer needs and this machine has not; empty if it can be measured."""
    missing = [
        f"Python's {module}"
        for module in _MODULES[name]
        if importlib.util.find_spec(module) is None
    ]
    if name in ISOLATED and not missing and (reason := no_namespace()):
        missing.append(f"network namespace for it ({reason})")
    return missing


@functools.cache
def no_namespace() -> str:
    """Return why no network namespace can be made here; empty if it can."""
    if os.geteuid():
        return "not root"
    if absent := [name for name in ("unshare", "ip") if shutil.which(name) is None]:
        return f"there is no {' and no '.join(absent)}"
    # Root of a container may still lack the right: only trying tells.
    probe = subprocess.run(
        [*LONE_LOOPBACK, "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PROBE_DEADLINE_S,
        check=False,
    )
    return probe.stderr.strip() or "refused" if probe.returncode else ""


def command_for(name: str, command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` where this peer may listen."""
    return [*LONE_LOOPBACK, *command] if name in ISOLATED else list(command)


def peer(name: str) -> Peer:
    """Return a peer or grid, not started; its modules are imported only now."""
    made: Peer = importlib.import_module(f"bench.executor_peers.{name}").make()
    return made
