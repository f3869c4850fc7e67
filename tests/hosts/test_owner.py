"""Whose hosts a name belongs to, and whether that process is gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from grid.hosts.owner import is_orphaned, new_token

SHOW = "from grid.hosts.owner import new_token\nprint(new_token(), flush=True)\ninput()"


def test_what_this_process_has_made_has_an_owner():
    assert not is_orphaned(f"{new_token()}-h1")
    assert new_token() != new_token()


def test_what_another_process_has_made_is_orphaned_when_that_has_ended():
    program = subprocess.Popen(
        [sys.executable, "-c", SHOW], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    name = f"{program.stdout.readline().strip()}-switch"
    assert not is_orphaned(name)
    program.kill()
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    assert is_orphaned(name)  # Also while its parent has not asked how it ended.
    program.communicate()
    assert is_orphaned(name)


def test_a_process_id_that_was_given_out_again_is_no_owner():
    program, pid, started, namespace, token = new_token().split("-")
    assert is_orphaned(f"{program}-{pid}-{int(started) + 1}-{namespace}-{token}-h1")


@pytest.mark.parametrize(
    "name", ["grid-1a2b3c4d-h1", "grid-7701", "grid-1-2-3-h1", "grid-1-2-3-1a2b3c4d", "h1"]
)
def test_names_that_are_not_of_this_kind_are_nobody_s_leftovers(name: str):
    assert not is_orphaned(name)


def test_who_is_in_another_pid_namespace_cannot_be_called_gone():
    assert not is_orphaned("grid-4194305-1-1-1a2b3c4d-h1")
