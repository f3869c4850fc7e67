"""One pool in a process of its own, which measures what it is asked for.

All are driven alike, and one of them needs a network namespace: so every pool has its calling
program, and the benchmark only asks that program for figures, one at a time.

Run as: python -m bench.executor_rows.driver PEER DESCRIPTOR
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired

import msgspec
import psutil

from bench.executor_peers import command_for, peer
from bench.executor_peers.base import Peer
from bench.executor_rows.tasks import same, spin

WORKERS = 2
ANSWER_DEADLINE_S = 180.0
STOP_DEADLINE_S = 20.0
KILL_DEADLINE_S = 5.0
POLL_S = 0.5
LOG_CHARACTERS = 2000
"""Of a driver's output, shown when it fails."""


class Ask(msgspec.Struct, frozen=True):
    """One measure: a kind in `MEASURES` and how much of it."""

    kind: str
    count: int
    size: int = 0
    """Bytes of a value, calls in a chunk, or loops of a task."""
    long_size: int = 0
    """Loops of the one task in a hundred that is long."""


class Answer(msgspec.Struct, frozen=True):
    """What was measured, or why not."""

    figure: float
    detail: float = 0.0
    error: str = ""


# -- in the driver's own process --------------------------------------------------------------


def single(pool: Peer, ask: Ask) -> Answer:
    """One empty call after the other: calls in a second, and the median of one, in us."""
    times_ns = []
    start_ns = before_ns = time.perf_counter_ns()
    for number in range(ask.count):
        pool.call(same, number)
        now_ns = time.perf_counter_ns()
        times_ns.append(now_ns - before_ns)
        before_ns = now_ns
    return Answer(
        ask.count / (before_ns - start_ns) * 1e9, detail=statistics.median(times_ns) / 1000
    )


def burst(pool: Peer, ask: Ask) -> Answer:
    """All at once, one by one: tasks in a second."""
    numbers = range(ask.count)
    return _rate(ask, lambda: pool.burst(same, numbers), numbers)


def mapped(pool: Peer, ask: Ask) -> Answer:
    """All at once, in one call: tasks in a second."""
    numbers = range(ask.count)
    return _rate(ask, lambda: pool.map(same, numbers, ask.size), numbers)


def payload(pool: Peer, ask: Ask) -> Answer:
    """All at once, each with a value there and back: tasks in a second."""
    values = [os.urandom(ask.size)] * ask.count
    return _rate(ask, lambda: pool.burst(same, values), values)


def busy(pool: Peer, ask: Ask) -> Answer:
    """Tasks of pure Python: cores that they kept busy, and the seconds it took."""
    sizes = [ask.size] * ask.count
    if ask.long_size:
        # Anywhere but at the end, where one worker would have to wait for it in any pool.
        sizes[50::100] = [ask.long_size] * len(sizes[50::100])
    start_s = time.perf_counter()
    cpu_s = sum(pool.burst(spin, sizes))
    wall_s = time.perf_counter() - start_s
    return Answer(cpu_s / wall_s, detail=wall_s)


MEASURES: dict[str, Callable[[Peer, Ask], Answer]] = {
    "single": single,
    "burst": burst,
    "map": mapped,
    "payload": payload,
    "busy": busy,
}


def _rate(ask: Ask, run: Callable[[], list[object]], wanted: Iterable[object]) -> Answer:
    start_s = time.perf_counter()
    results = run()
    wall_s = time.perf_counter() - start_s
    if results != list(wanted):
        raise RuntimeError(f"{ask}: other results came back")
    return Answer(ask.count / wall_s)


def serve(name: str, requests: Connection) -> None:
    """Start the pool, say how long that took, and answer until the pipe ends."""
    pool = peer(name)
    try:
        start_s = time.perf_counter()
        pool.start(WORKERS)
        pool.call(same, 0)
        answer = Answer(time.perf_counter() - start_s)
        while True:
            requests.send_bytes(msgspec.json.encode(answer))
            ask = msgspec.json.decode(requests.recv_bytes(), type=Ask)
            answer = MEASURES[ask.kind](pool, ask)
    except EOFError:
        return
    except Exception:
        with contextlib.suppress(OSError):
            requests.send_bytes(msgspec.json.encode(Answer(0.0, error=traceback.format_exc())))
    finally:
        pool.stop()


# -- in the benchmark -------------------------------------------------------------------------


class Driver:
    """That process, as the benchmark sees it. A context manager."""

    def __init__(self, name: str) -> None:
        """Start the process and its pool, and wait for the first result.

        Raises: RuntimeError with the end of its output.
        """
        self._name = name
        self._is_asked = True
        self._log = tempfile.NamedTemporaryFile(prefix=f"grid-bench-{name}-", suffix=".log")  # noqa: SIM115
        self._pipe, theirs = Pipe()
        module_paths = [path or os.getcwd() for path in sys.path]
        command = [sys.executable, "-m", __spec__.name, name, str(theirs.fileno())]
        with theirs:
            self._process = Popen(
                command_for(name, command),
                stdin=DEVNULL,
                stdout=self._log,
                stderr=STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the benchmark, which then stops it.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(module_paths)},
            )
        try:
            self.started_s = self._answer().figure
        except BaseException:
            self.stop()
            raise

    def ask(self, ask: Ask) -> Answer:
        """Have something measured.

        Raises: RuntimeError with the end of its output.
        """
        self._is_asked = True
        self._pipe.send_bytes(msgspec.json.encode(ask))
        return self._answer()

    def stop(self) -> None:
        """End the process and whatever it has started, also in the middle of a measure."""
        relatives = []
        with contextlib.suppress(psutil.NoSuchProcess):
            relatives = psutil.Process(self._process.pid).children(recursive=True)
        self._pipe.close()
        if self._is_asked and self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            end_all(relatives)
            self._log.close()

    def __enter__(self) -> Driver:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End it, whatever has happened."""
        self.stop()

    def _answer(self) -> Answer:
        deadline_s = time.monotonic() + ANSWER_DEADLINE_S
        # By looking, too: forked workers of a dead process would keep the pipe open.
        while not self._pipe.poll(POLL_S):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{self._name} does not answer: {self._output()}")
        try:
            answer = msgspec.json.decode(self._pipe.recv_bytes(), type=Answer)
        except EOFError:
            raise RuntimeError(f"{self._name} has ended: {self._output()}") from None
        if answer.error:
            raise RuntimeError(f"{self._name} failed: {answer.error}{self._output()}")
        self._is_asked = False
        return answer

    def _output(self) -> str:
        return Path(self._log.name).read_text(errors="replace")[-LOG_CHARACTERS:]


def end_all(processes: Iterable[psutil.Process]) -> None:
    """Kill those that still run."""
    left = [process for process in processes if process.is_running()]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=KILL_DEADLINE_S)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    serve(sys.argv[1], Connection(int(sys.argv[2])))
