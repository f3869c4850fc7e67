"""The worker process: runs one task at a time, in user code.

Responsible for: unpickling a task, running it, sending back its value or its exception; and
for telling `grid.current()` how code inside a task reaches its own node.

Not responsible for: surviving. Whatever a task does to this process, the supervisor replaces
it and the submitter is told.

Runs in: worker processes only. Nothing else ever executes user code.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from grid.client.code.calls import check_python, load_call, pack_failure, pack_result
from grid.client.current import set_local_node
from grid.client.tasks.waiting import Waiting
from grid.executor.messages import (
    LARGE_RESULT_BYTES,
    FromWorker,
    Outcome,
    SendResult,
    WorkerCode,
    WorkerDone,
    WorkerResult,
    WorkerTask,
    WorkerWaiting,
)
from grid.process.child import keep_freed_memory
from grid.process.settings import NodeSettings
from grid.process.shipped_modules import ShippedModules
from grid.transport.blocking import BlockingFrames
from grid.wire.catalog import decode_to_worker, pieces_of


def run_task(task: WorkerTask, modules: ShippedModules, node_name: str) -> tuple[Outcome, bytes]:
    """Run one pickled call; return how it ended and the pickled value or exception."""
    try:
        check_python(task.payload, node_name)
        modules.prepare(task.code)
        function, args, kwargs = load_call(task.payload)
        return Outcome.RETURNED, pack_result(function(*args, **kwargs))
    except BaseException as error:  # SystemExit and KeyboardInterrupt are the task's, too.
        return Outcome.RAISED, pack_failure(error, traceback.format_exc(), node_name)


def run_worker(tasks: Connection, port: int, settings: NodeSettings) -> None:
    """Run tasks until the network process ends the pipe.

    `port` is the own node's, for `grid.current()`.
    """
    own_pid = os.getpid()
    keep_freed_memory()
    # A process forked by a task must neither answer on this pipe nor keep it open: its end
    # is how the node learns of this worker's death.
    pipe = BlockingFrames(socket.socket(fileno=os.dup(tasks.fileno())))
    tasks.close()
    os.register_at_fork(after_in_child=pipe.close)
    sys.path.extend(path for path in settings.module_paths if path not in sys.path)
    modules = ShippedModules(settings.name)
    sys.meta_path.insert(0, modules)
    answers = _Answers(pipe)
    waiting = Waiting(answers.waiting)
    set_local_node(port, settings.cluster, settings.name, settings.keys, waiting)
    while True:
        try:
            body = pipe.receive_frame()
        except OSError:
            return
        task = decode_to_worker(body)
        if isinstance(task, WorkerCode):
            modules.keep(task)
            continue
        assert isinstance(task, WorkerTask), f"{task} while nothing runs"
        answers.number = task.number
        outcome, payload = run_task(task, modules, settings.name)
        if os.getpid() != own_pid:
            os._exit(0)  # A task has returned in a process that it forked; only one may go on.
        try:
            if len(payload) >= LARGE_RESULT_BYTES:
                answers.send(WorkerDone(task.number, len(payload)))
                leave = decode_to_worker(pipe.receive_frame())
                assert isinstance(leave, SendResult), f"{leave} instead of leave to send"
            answers.send(WorkerResult(task.number, outcome, payload))
        except OSError:
            return


class _Answers:
    """The way back to the network process, also for the threads of a task's executors."""

    def __init__(self, pipe: BlockingFrames) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self.number = 0
        """Of the task that runs, or ran last."""

    def send(self, message: FromWorker) -> None:
        """Send one message. Raises: OSError when the network process is gone."""
        with self._lock:
            self._pipe.send_pieces(pieces_of(message))

    def waiting(self, is_waiting: bool) -> None:
        """The task has begun to wait for others, or goes on."""
        with contextlib.suppress(OSError):  # Then the main thread ends this process.
            self.send(WorkerWaiting(self.number, is_waiting))
