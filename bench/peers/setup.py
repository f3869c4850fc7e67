"""Installing the peers: ``python -m bench.map --setup``. What is there already is left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from bench.peers import CACHE, HAZELCAST_JAR, HAZELCAST_VERSION

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
DEBIAN_PACKAGES = {"redis": "redis-server", "memcached": "memcached"}
EXTRA = "bench"


def install(peers: Sequence[str]) -> int:
    """Install what the peers need, as far as this machine can; return 1 if something failed."""
    steps = [
        _debian([DEBIAN_PACKAGES[peer] for peer in peers if peer in DEBIAN_PACKAGES]),
        _python(),
    ]
    if "hazelcast" in peers:
        steps.append(_hazelcast())
    return 0 if all(steps) else 1


def _debian(packages: list[str]) -> bool:
    """Install server programs; the services that Debian makes of them are stopped."""
    wanted = [package for package in packages if shutil.which(package) is None]
    if not wanted:
        print(f"{', '.join(packages) or 'no server'}: nothing to install")
        return True
    if shutil.which("apt-get") is None:
        print(f"no apt-get here: install {' and '.join(wanted)} in this system's way")
        return False
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq"]
    done = _run([*apt, "update"]) and _run([*apt, "install", "--no-install-recommends", *wanted])
    for package in wanted if done and shutil.which("service") else ():
        # The benchmark starts servers of its own; these would only wait on well-known ports.
        _run([*as_root, "service", package, "stop"])
    return done


def _python() -> bool:
    """Install the clients, and what draws the picture, into this interpreter's environment."""
    project = tomllib.loads(PROJECT.read_text())
    requirements: list[str] = project["project"]["optional-dependencies"][EXTRA]
    return _run([sys.executable, "-m", "pip", "install", "-q", *requirements])


def _hazelcast() -> bool:
    """Fetch the member, one jar."""
    if HAZELCAST_JAR.exists():
        print(f"{HAZELCAST_JAR}: nothing to install")
        return True
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        print(f"no {' and no '.join(missing)} here: Hazelcast is left out")
        return True
    CACHE.mkdir(parents=True, exist_ok=True)
    artifact = f"com.hazelcast:hazelcast:{HAZELCAST_VERSION}"
    copy = ["dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE}"]
    return _run(["mvn", "-B", "-q", *copy])


def _run(command: list[str]) -> bool:
    print(f"$ {' '.join(command)}", flush=True)
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0
