"""A forked child owns its descriptors and no others, and its end is seen at once.

Every test runs in an interpreter of its own, which has no threads; its assertions count.
"""

from __future__ import annotations

import pytest

from grid.supervisor.spawn import Child

from .fresh import run_fresh

PREAMBLE = """
import os, select, signal, socket, sys
from grid.supervisor.spawn import Child, fork

log_read, log_write = os.pipe()

def start(main, keep_fds=(), **options):
    return fork("test", main, keep_fds=keep_fds, log_fd=log_write, **options)

def wait_for(child):
    assert select.select([child.pidfd], [], [], 30)[0], "its end was not seen"
    assert child.reap()
    return child.exit_code

def log_of(child):
    wait_for(child)
    os.close(log_write)
    with open(log_read) as log:
        return log.read()
"""


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (0, "worker (pid 77) ended with exit code 0"),
        (3, "worker (pid 77) ended with exit code 3"),
        (-9, "worker (pid 77) was killed by SIGKILL"),
        (-11, "worker (pid 77) was killed by SIGSEGV"),
    ],
)
def test_end_is_described_for_a_person(exit_code: int, words: str) -> None:
    assert Child("worker", 77, -1, exit_code).describe_end() == words


def test_child_owns_its_descriptors_and_no_others() -> None:
    script = """
    foreign = [os.pipe() for _ in range(20)]
    os.dup2(foreign[0][0], 200)
    mine_read, mine_write = os.pipe()
    outside = socket.socketpair()

    def main():
        open_fds = []
        for fd in range(300):
            try:
                os.fstat(fd)
            except OSError:
                continue
            open_fds.append(fd)
        os.write(mine_write, repr(open_fds).encode())

    child = start(main, keep_fds=[mine_write])
    assert wait_for(child) == 0
    assert eval(os.read(mine_read, 10_000)) == sorted([0, 1, 2, log_write, mine_write])
    os.fstat(foreign[19][1])  # The parent has lost nothing.
    """
    run_fresh(PREAMBLE + _dedented(script))


def test_pipe_of_a_dead_child_ends_although_its_sibling_lives() -> None:
    script = """
    near, far = socket.socketpair()
    first = start(lambda: far.recv(1), keep_fds=[far.fileno()])
    stop, stopped = socket.socketpair()
    second = start(lambda: stopped.recv(1), keep_fds=[stopped.fileno()])
    far.close(), stopped.close()
    first.send_signal(signal.SIGKILL)
    assert select.select([near], [], [], 30)[0] and near.recv(1) == b""
    assert wait_for(first) == -9
    assert not second.reap(), "the sibling is still there"
    stop.close()
    assert wait_for(second) == 0
    """
    run_fresh(PREAMBLE + _dedented(script))


@pytest.mark.parametrize(
    ("body", "exit_code"),
    [
        ("pass", 0),
        ("sys.exit(0)", 0),
        ("sys.exit(7)", 7),
        ("sys.exit('a reason')", 1),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", 1),
        ("os._exit(5)", 5),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)
def test_exit_code_tells_how_it_ended(body: str, exit_code: int) -> None:
    run_fresh(PREAMBLE + f"def main(): {body}\nassert wait_for(start(main)) == {exit_code}\n")


def test_last_words_of_a_crash_go_to_the_log() -> None:
    script = """
    def main():
        print("first words")
        raise ValueError("last words")

    text = log_of(start(main))
    assert "first words" in text and "Traceback" in text and "ValueError: last words" in text
    """
    assert run_fresh(PREAMBLE + _dedented(script)) == ""


def test_what_the_parent_has_not_written_yet_is_written_once() -> None:
    script = """
    sys.stdout.write("said by the parent")
    assert log_of(start(lambda: None)) == ""
    """
    assert run_fresh(PREAMBLE + _dedented(script)) == "said by the parent"


def test_child_never_returns_into_the_code_of_its_parent() -> None:
    script = """
    import atexit
    atexit.register(lambda: os.write(log_write, b"an exit handler"))
    try:
        child = start(lambda: 1 / 0)
    finally:
        os.write(log_write, b"once ")
    assert "an exit handler" not in (text := log_of(child)) and text.count("once ") == 1
    atexit._clear()
    """
    run_fresh(PREAMBLE + _dedented(script))


def test_end_is_collected_once_and_then_signals_go_nowhere() -> None:
    script = """
    child = start(lambda: None)
    assert wait_for(child) == 0
    assert child.reap() and child.reap()
    try:
        os.fstat(child.pidfd)
    except OSError:
        child.send_signal(signal.SIGKILL)
    else:
        raise AssertionError("the pidfd is still open")
    """
    run_fresh(PREAMBLE + _dedented(script))


def test_signal_to_an_ended_child_that_is_not_collected_does_no_harm() -> None:
    script = """
    child = start(lambda: None)
    assert select.select([child.pidfd], [], [], 30)[0]
    child.send_signal(signal.SIGTERM)
    assert wait_for(child) == 0
    """
    run_fresh(PREAMBLE + _dedented(script))


@pytest.mark.parametrize("new_group", [True, False])
def test_child_leads_a_group_of_its_own_if_wanted(new_group: bool) -> None:
    script = f"""
    near, far = socket.socketpair()
    child = start(lambda: far.recv(1), keep_fds=[far.fileno()], new_group={new_group})
    assert os.getpgid(child.pid) == (child.pid if {new_group} else os.getpgrp())
    far.close(), near.close()
    assert wait_for(child) == 0
    """
    run_fresh(PREAMBLE + _dedented(script))


def _dedented(script: str) -> str:
    return "\n".join(line[4:] for line in script.splitlines())


def test_the_end_by_a_nameless_signal_is_described_by_its_number():
    assert Child("x", 1, 0, -35).describe_end() == "x (pid 1) was killed by signal 35"
