"""What a killed program has left of its hosts goes, and nothing of a running one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grid.hosts.network import lacking, lan, left_behind, wait_until

pytestmark = pytest.mark.usefixtures("hosts_are_possible")

PROGRAM = """
import sys
from grid.hosts.network import lan
with lan(1, float(sys.argv[1]) or None) as net:
    # One that outlives who has started it.
    started = net.hosts[0].program("sh", "-c", "sleep 600 & echo; exec sleep 600")
    started.stdout.readline()
    print(net.token, flush=True)
    input()
"""


def test_the_next_network_removes_what_a_killed_program_has_left():
    quota = 0.0 if lacking(with_quotas=True) else 0.5
    command = [sys.executable, "-c", PROGRAM, str(quota)]
    with (
        lan(hosts=1) as running,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as program,
    ):
        assert program.stdout is not None
        token = program.stdout.readline().strip()
        made = {path for path in left_behind(token) if path.startswith("/")}
        kinds = [path for path in made if path.endswith("-h1")]
        assert len(kinds) == (2 if quota else 1)  # A namespace, and a control group.
        with lan(hosts=1):
            assert made <= set(left_behind(token))  # Its owner lives.
        program.kill()
        program.wait()
        with lan(hosts=1):
            # A test beside this one may have begun with it, and not finished.
            wait_until(lambda: not left_behind(token), lambda: left_behind(token))
        with running.hosts[0].inside():
            assert left_behind(running.token) != []
