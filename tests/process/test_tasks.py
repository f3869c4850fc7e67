"""The workers of a node, as its network process sees them come and go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from grid.executor.messages import (
    CancelTask,
    Outcome,
    RunTask,
    SendResult,
    TaskEnded,
    TaskStarted,
    WorkerDone,
    WorkerResult,
    WorkerWaiting,
    WorkWanted,
)
from grid.executor.options import ExecutorOptions
from grid.process.tasks import ENDINGS, NodeTasks
from grid.transport.stream import FrameStream
from grid.types import NodeId, Payload
from grid.wire.catalog import decode_client_reply, encode
from grid.wire.frame import frame

from .gates import within_patience

OTHER = NodeId(b"another nodes id")


class Submitter(FrameStream):
    """A session that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(lambda body: None, lambda: None)
        self.ended: asyncio.Queue[TaskEnded] = asyncio.Queue()
        self.started: asyncio.Queue[TaskStarted] = asyncio.Queue()

    def send(self, *pieces: Payload) -> None:
        message = decode_client_reply(b"".join(pieces))
        if isinstance(message, TaskEnded):
            self.ended.put_nowait(message)
        elif isinstance(message, TaskStarted):
            self.started.put_nowait(message)


class Node:
    """Tasks with one worker: a process that does nothing, whose pipe the test holds."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.passing, passed = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.wanted: list[int] = []
        self.asked: asyncio.Queue[tuple[NodeId, WorkWanted]] = asyncio.Queue()
        self.tasks = NodeTasks(
            ExecutorOptions(),
            passed,
            workers=1,
            on_workers_wanted=self.wanted.append,
            others=lambda: [OTHER],
            ask=lambda node_id, wanted: self.asked.put_nowait((node_id, wanted)),
        )
        self.tasks.start()
        self.submitter = Submitter()
        theirs, self.pipe = socket.socketpair()
        pidfd = os.pidfd_open(process.pid)
        socket.send_fds(self.passing, [process.pid.to_bytes(8, "big")], [theirs.fileno(), pidfd])
        os.close(pidfd)
        theirs.close()

    def ask(self, request: RunTask | CancelTask) -> None:
        self.tasks.handle(1, self.submitter, request)

    async def answer(self) -> TaskEnded:
        return await within_patience(self.submitter.ended.get())

    async def started(self) -> None:
        """Wait until the worker has been given something."""
        assert await self.told()

    async def told(self) -> bytes:
        """Return what the worker is told next."""
        self.pipe.setblocking(False)
        loop = asyncio.get_running_loop()
        return await within_patience(loop.sock_recv(self.pipe, 4096))


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


@contextlib.asynccontextmanager
async def node_of(process: subprocess.Popen[bytes]) -> AsyncIterator[Node]:
    node = Node(process)
    try:
        yield node
    finally:
        node.tasks.close()
        node.passing.close()
        node.pipe.close()


def test_worker_gets_a_task_and_its_result_goes_to_the_submitter(
    process: subprocess.Popen[bytes],
) -> None:
    async def main() -> None:
        async with node_of(process) as node:
            node.ask(RunTask(5, 1, payload=b"call"))
            await node.started()
            node.pipe.send(frame(encode(WorkerResult(1, Outcome.RETURNED, b"result"))))
            ended = await node.answer()
            assert (ended.task, ended.outcome, ended.payload) == (5, Outcome.RETURNED, b"result")

    asyncio.run(main())


@pytest.mark.parametrize("is_gone", [False, True])
def test_large_result_stays_in_its_worker_until_the_submitter_has_caught_up(
    process: subprocess.Popen[bytes], is_gone: bool
) -> None:
    async def main() -> None:
        async with node_of(process) as node:
            node.ask(RunTask(5, 1, timeout_ms=20, payload=b"call"))
            await node.started()
            node.tasks.session_behind(1, True)
            node.pipe.send(frame(encode(WorkerDone(1, 70_000_000))))
            await within_patience(node.submitter.started.get())  # Its moment is over,
            node.tasks.queue.tick()  # and its time as well: it has ended in time all the same.
            if is_gone:
                node.tasks.session_lost(1)
            else:
                node.tasks.session_behind(1, False)
            assert await node.told() == frame(encode(SendResult()))
            node.pipe.send(frame(encode(WorkerResult(1, Outcome.RETURNED, bytes(100_000)))))
            if not is_gone:
                ended = await node.answer()
                assert (ended.outcome, len(ended.payload)) == (Outcome.RETURNED, 100_000)
            assert process.poll() is None

    asyncio.run(main())


def test_task_of_a_worker_that_died_is_answered_with_the_word_of_the_supervisor(
    process: subprocess.Popen[bytes],
) -> None:
    async def main() -> None:
        async with node_of(process) as node:
            node.ask(RunTask(5, 1, payload=b"call"))
            await node.started()
            node.tasks.workers.ended(process.pid, "worker was killed by SIGSEGV")
            node.pipe.close()
            ended = await node.answer()
            assert ended.outcome is Outcome.WORKER_DIED
            assert ended.payload == b"worker was killed by SIGSEGV"

    asyncio.run(main())


def test_process_whose_pipe_has_ended_is_killed_and_its_task_answered_all_the_same(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.process.tasks.EVIDENCE_WAIT_S", 0.01)

    async def main() -> None:
        async with node_of(process) as node:
            node.ask(RunTask(5, 1, payload=b"call"))
            await node.started()
            node.pipe.close()
            ended = await node.answer()
            assert ended.outcome is Outcome.WORKER_DIED
            assert ended.payload == f"worker (pid {process.pid}) ended".encode()
            assert await asyncio.to_thread(process.wait, 60) == -9

    asyncio.run(main())


@pytest.mark.parametrize("is_forced", [True, False])
def test_task_that_is_out_of_time_or_cancelled_by_force_costs_its_worker(
    process: subprocess.Popen[bytes], is_forced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with node_of(process) as node:
            node.ask(RunTask(5, 1, payload=b"call", timeout_ms=0 if is_forced else 1))
            await node.started()
            if is_forced:
                node.ask(CancelTask(5, is_forced=True))
            assert await asyncio.to_thread(process.wait, 60) == -9
            node.tasks.workers.ended(process.pid, "killed")
            node.pipe.close()
            ended = await node.answer()
            assert ended.outcome is (Outcome.KILLED if is_forced else Outcome.TIMED_OUT)
            assert ENDINGS[ended.outcome] in caplog.text

    asyncio.run(main())


def test_what_a_lost_session_has_queued_is_dropped(process: subprocess.Popen[bytes]) -> None:
    async def main() -> None:
        async with node_of(process) as node:
            node.ask(RunTask(5, 1, payload=b"call"))
            await node.started()
            node.ask(RunTask(6, 1, payload=b"call"))
            assert node.tasks.queue.queued_count == 1
            node.tasks.session_lost(1)
            assert node.tasks.queue.queued_count == 0

    asyncio.run(main())


def test_another_worker_is_wanted_while_one_waits(process: subprocess.Popen[bytes]) -> None:
    async def main() -> None:
        async with node_of(process) as node:
            node.ask(RunTask(5, 1, payload=b"call"))
            await node.started()
            node.pipe.send(frame(encode(WorkerWaiting(1, is_waiting=True))))
            node.pipe.send(frame(encode(WorkerWaiting(1, is_waiting=False))))
            node.pipe.send(frame(encode(WorkerResult(1, Outcome.RETURNED, b""))))
            await node.answer()
            assert node.wanted == [2, 1]

    asyncio.run(main())


def test_worker_too_many_ends(process: subprocess.Popen[bytes]) -> None:
    async def main() -> None:
        async with node_of(process) as node:
            node.ask(RunTask(5, 1, payload=b"call"))
            await node.started()
            node.tasks.queue.worker_ready(99)  # Another has taken its place.
            node.pipe.send(frame(encode(WorkerResult(1, Outcome.RETURNED, b""))))
            await node.answer()
            assert await asyncio.to_thread(process.wait, 60) == -9

    asyncio.run(main())


def test_node_whose_worker_is_idle_asks_another_for_tasks(
    process: subprocess.Popen[bytes],
) -> None:
    async def main() -> None:
        async with node_of(process) as node:
            assert await within_patience(node.asked.get()) == (OTHER, WorkWanted(1))

    asyncio.run(main())


def test_task_that_waits_behind_a_long_one_goes_back_for_a_node_that_asks(
    process: subprocess.Popen[bytes],
) -> None:
    async def main() -> None:
        async with node_of(process) as node:
            node.ask(RunTask(5, 1, payload=b"long"))
            node.ask(RunTask(6, 1, payload=b"waits"))
            await within_patience(node.submitter.started.get())
            node.tasks.work_wanted(OTHER, WorkWanted(1))
            ended = await node.answer()
            assert (ended.task, ended.outcome, ended.payload) == (6, Outcome.GIVEN, OTHER)

    asyncio.run(main())
