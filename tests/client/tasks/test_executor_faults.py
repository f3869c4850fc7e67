"""What tasks and programs do to an executor that they should not."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest

from grid import TaskError, ValueTooLargeError, WorkerLostError
from grid.api import LocalCluster
from grid.client.session import Grid
from grid.client.tasks.links import _Link
from grid.executor.submissions import Submissions
from tests.client.gate import Gate, pass_gate
from tests.processes.nodes import ask_until

DEADLINE_S = 60.0


def test_a_task_that_returns_in_a_forked_process_answers_once(client: Grid):
    def fork() -> str:
        return "child" if os.fork() == 0 else "parent"

    with client.executor() as pool:
        forks = [pool.submit(fork) for _ in range(4)]
        others = [pool.submit(pow, 2, n) for n in range(40)]
        assert [f.result(timeout=DEADLINE_S) for f in forks] == ["parent"] * 4
        assert [f.result(timeout=DEADLINE_S) for f in others] == [2**n for n in range(40)]


def test_a_worker_s_death_is_seen_although_a_process_it_forked_lives(client: Grid, tmp_path: Path):
    gate = Gate(tmp_path)
    path = gate.path

    def fork_and_die() -> None:
        multiprocessing.get_context("fork").Process(target=pass_gate, args=(path,)).start()
        os.kill(os.getpid(), signal.SIGKILL)

    with client.executor() as pool:
        error = pool.submit(fork_and_die).exception(timeout=DEADLINE_S)
        assert isinstance(error, WorkerLostError)
    gate.open()


def test_callbacks_that_submit_do_not_block_a_cancelling_shutdown(client: Grid, tmp_path: Path):
    gate = Gate(tmp_path)
    pool = client.executor()
    refused = threading.Event()

    def submit_again(future: Future[None]) -> None:
        try:
            pool.submit(pow, 2, 2)
        except RuntimeError:
            refused.set()

    futures = [pool.submit(pass_gate, gate.path) for _ in range(20)]
    for future in futures:
        future.add_done_callback(submit_again)
    pool.shutdown(wait=False, cancel_futures=True)
    assert refused.wait(DEADLINE_S)
    gate.open()
    pool.shutdown(wait=True)
    assert all(future.done() for future in futures)


def test_closing_the_client_does_not_wait_for_an_endless_task(
    running_cluster: LocalCluster, tmp_path: Path
):
    gate = Gate(tmp_path)
    client = running_cluster.client()
    pool = client.executor()
    running = pool.submit(pass_gate, gate.path)
    waiting = [pool.submit(pass_gate, gate.path) for _ in range(20)]
    ask_until(running.running)
    client.close()
    assert isinstance(running.exception(timeout=0), TaskError)
    with pytest.raises(CancelledError):
        waiting[-1].result(timeout=0)
    gate.open()


def test_what_is_too_large_for_a_task_is_refused_and_harms_no_other(client: Grid):
    with client.executor() as pool:
        other = pool.submit(pow, 2, 5)
        with pytest.raises(ValueTooLargeError, match="put large data into a map"):
            pool.submit(len, bytes(80 << 20))
        error = pool.submit(bytes, 80 << 20).exception(timeout=DEADLINE_S)
        assert isinstance(error, ValueTooLargeError)
        assert other.result(timeout=DEADLINE_S) == 32
        assert pool.retried_count == 0


def test_an_executor_says_that_it_does_not_survive_a_fork(
    client: Grid, monkeypatch: pytest.MonkeyPatch
):
    pool = client.executor()
    monkeypatch.setattr(os, "getpid", lambda: -1)  # As a forked child would see it.
    with pytest.raises(RuntimeError, match="does not survive a fork"):
        pool.submit(pow, 2, 2)


# -- Ctrl-C -------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["put", "flush"])
def test_ctrl_c_within_a_submit_leaves_nothing_half_sent(
    client: Grid, monkeypatch: pytest.MonkeyPatch, step: str
):
    real = getattr(_Link, step)

    def interrupted(link: _Link, *args: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            real(link, *args)
            return
        if link.unsent:
            link.socket.send(link.unsent[0][:3])
        raise KeyboardInterrupt

    with client.executor() as pool:
        pool.submit(abs, -1).result(timeout=DEADLINE_S)
        with monkeypatch.context() as patched:
            patched.setattr(_Link, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                pool.submit(abs, -2)
        futures = [pool.submit(abs, -number) for number in range(20)]
        assert [future.result(timeout=DEADLINE_S) for future in futures] == list(range(20))


def test_ctrl_c_within_a_cancel_leaves_no_future_without_an_end(
    client: Grid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    gate = Gate(tmp_path)
    real = Submissions.cancel

    def interrupted(core: Submissions, number: int, *, is_forced: bool = False) -> None:
        real(core, number, is_forced=is_forced)
        raise KeyboardInterrupt

    with client.executor() as pool:
        futures = [pool.submit(pass_gate, gate.path) for _ in range(20)]
        with monkeypatch.context() as patched:
            patched.setattr(Submissions, "cancel", interrupted)
            with pytest.raises(KeyboardInterrupt):
                futures[-1].cancel()
        with pytest.raises(CancelledError):
            futures[-1].result(timeout=DEADLINE_S)
        gate.open()
        assert [future.result(timeout=DEADLINE_S) for future in futures[:-1]] == [None] * 19
