"""The supervisor's loop: one node, from start to end.

Responsible for: starting the family, passing load samples and news on, replacing workers,
restarting the whole node when its network process or a storage process dies (its data is
gone with it, so it comes back as a new, empty node), and stopping cleanly.

Not responsible for: showing anything (``observer.py``), pipes and forks (``family.py``).

Stopping. Asked once (signal, ``grid down``, launcher), the network process first moves the node's
entries to other nodes, which takes as long as it takes, up to ``replication.leave_deadline_s``; it
is believed to work on it while it says something. Asked twice, the node ends at once, and the
backups of its entries take over. A closed terminal is one request, however often it is signalled.

Runs in: supervisor; single thread, never starts another, so that forking stays safe.
"""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from grid.errors import ProtocolError
from grid.process.settings import NodeSettings
from grid.supervisor.family import Family
from grid.supervisor.load import LoadSampler
from grid.supervisor.log_relay import LogRelay
from grid.supervisor.observer import Keys, Observer
from grid.supervisor.restart_policy import PAUSES_S, RestartPolicy
from grid.supervisor.signals import SignalQueue
from grid.supervisor.spawn import Child
from grid.supervisor.strays import adopt_strays, kill_strays, reap_strays
from grid.wire.catalog import decode_network_to_supervisor, decode_supervisor_to_network
from grid.wire.family import (
    LeaveProgress,
    Listening,
    NodeStopped,
    RestartWanted,
    StartFailed,
    StopNode,
    StopWanted,
    WorkerEnded,
    WorkersWanted,
)

SAMPLE_INTERVAL_S = 1.0
SILENCE_MAX_S = 10.0
"""A leaving network process reports every second; after this time it is given up."""

FAREWELL_DEADLINE_S = 5.0
"""How much longer than its deadline for leaving it may take, to say goodbye."""

URGENT_DEADLINE_S = 2.0
"""How long it may take for a goodbye without moving anything."""

FOLLOWER_PATIENCE_S = 1.0
"""A storage process that has ended by itself follows the network process; if that one has not
ended after this time, it was not so."""

EXIT_DEADLINE_S = 3.0
"""How long children may take to exit once their pipes are closed; then they are killed."""

WORKER_PAUSES_S = (0.0,) * 20 + (1.0,) * 40
"""Workers are killed by the tasks they run: twenty a minute at once, then one a second."""


class Supervisor:
    """Runs one node until told to stop."""

    def __init__(
        self,
        settings: NodeSettings,
        observer: Observer,
        launcher: Connection | None = None,
        keys: Keys | None = None,
    ) -> None:
        """Prepare.

        Args:
            settings: of the node.
            observer: is told what happens.
            launcher: the pipe whose EOF, or `StopNode`, ends this node.
            keys: where a person can ask to leave.
        """
        self._settings = settings
        self._observer = observer
        self._launcher = launcher
        self._keys = keys
        self._signals = SignalQueue()
        self._log = LogRelay()
        self._load = LoadSampler()
        self._selector = selectors.DefaultSelector()
        self._node_policy = RestartPolicy()
        self._worker_policy = RestartPolicy(WORKER_PAUSES_S)
        self._family: Family | None = None
        self._port = settings.port
        self._stop_count = 0
        self._start_failed = False
        self._failure: str | None = None
        self._must_rejoin = False
        self._is_leaving = False
        self._network_has_stopped = False
        self._network_spoke_s = 0.0
        self._progress: LeaveProgress | None = None
        self._workers_due_s: list[float] = []
        self._workers_wanted = settings.workers
        self._follower_end: tuple[float, Child] | None = None

    def run(self) -> int:
        """Run the node; return the exit code: 0 when it was asked to stop, else 1."""
        self._selector.register(self._signals.reader, selectors.EVENT_READ, self._on_signal)
        self._selector.register(self._log.read_fd, selectors.EVENT_READ, self._on_log)
        if self._launcher is not None:
            self._selector.register(self._launcher, selectors.EVENT_READ, self._on_launcher)
        if self._keys is not None:
            self._selector.register(self._keys.fileno(), selectors.EVENT_READ, self._on_keys)
        adopt_strays()
        try:
            while self._stop_count == 0:
                self._run_generation()
                if self._stop_count or self._start_failed:
                    break
                pause_s = self._node_policy.pause_after_death_s(time.monotonic())
                if pause_s is None and self._must_rejoin:
                    pause_s = PAUSES_S[-1]  # The network's fault; it will not be bad for ever.
                if pause_s is None:
                    self._observer.event("ERROR", "this node keeps failing; giving up")
                    return 1
                self._observer.event("WARNING", "restarting as a new, empty node")
                self._wait(time.monotonic() + pause_s, lambda: self._stop_count > 0)
        finally:
            self._signals.close()
            self._log.close()
            self._selector.close()
        return 1 if self._start_failed else 0

    # -- one generation -------------------------------------------------------------------

    def _run_generation(self) -> None:
        """Run one family from its fork to the end of its last process."""
        self._failure = None
        self._must_rejoin = False
        self._network_has_stopped = False
        self._workers_due_s = []
        self._workers_wanted = self._settings.workers
        self._follower_end = None
        family = self._family = Family(self._settings, self._log.write_fd)
        self._selector.register(family.control, selectors.EVENT_READ, self._on_network)
        for child in family.children:
            self._watch(child)
        try:
            self._work()
            if self._failure is None:
                self._say_goodbye()
        finally:
            self._end_family()

    def _work(self) -> None:
        """Until stopped or failed: events, and a load sample once a second."""
        next_sample_s = sampled_s = time.monotonic()
        while not self._is_over():
            now_s = time.monotonic()
            if now_s >= next_sample_s:
                pids = [child.pid for child in self._the_family.children]
                self._the_family.tell_network(self._load.sample(pids, now_s - sampled_s))
                sampled_s = now_s
                next_sample_s = now_s + SAMPLE_INTERVAL_S
                reap_strays({child.pid for child in self._the_family.children})
            self._start_due_workers(now_s)
            deadline_s = min([next_sample_s, *self._workers_due_s])
            if self._follower_end is not None:
                due_s, storage = self._follower_end
                if now_s >= due_s:
                    self._fail(storage)
                deadline_s = min(deadline_s, due_s)
            self._wait(deadline_s, lambda: self._is_over() or self._is_worker_due())

    def _is_worker_due(self) -> bool:
        now_s = time.monotonic()
        return any(due_s <= now_s for due_s in self._workers_due_s)

    def _is_over(self) -> bool:
        return self._failure is not None or self._stop_count > 0

    def _say_goodbye(self) -> None:
        """Leave the cluster; a second request cuts it short."""
        family = self._the_family
        self._is_leaving = True
        if self._stop_count == 1:
            family.tell_network(StopNode())
            self._wait_while_leaving()
        for worker in family.workers:
            worker.send_signal(signal.SIGTERM)
        if not self._has_left():
            family.tell_network(StopNode(is_urgent=True))
            self._wait(time.monotonic() + URGENT_DEADLINE_S, self._has_left)
        self._is_leaving = False

    def _wait_while_leaving(self) -> None:
        """Wait until the node has left, or has to end without: too late, too silent, or asked."""

        def is_over() -> bool:
            return self._has_left() or self._stop_count > 1

        now_s = self._network_spoke_s = time.monotonic()
        deadline_s = now_s + self._settings.replication.leave_deadline_s + FAREWELL_DEADLINE_S
        while not is_over():
            due_s = min(deadline_s, self._network_spoke_s + SILENCE_MAX_S)
            if time.monotonic() >= due_s:
                self._observer.event("WARNING", "the node could not leave in order: ending it")
                return
            self._wait(due_s, is_over)

    def _has_left(self) -> bool:
        return self._network_has_stopped or self._failure is not None

    def _end_family(self) -> None:
        """Close the pipes, wait for the children, kill who does not go."""
        family = self._the_family
        self._ignore_network()
        family.close()
        if self._failure is not None:
            family.kill()
        self._wait(
            time.monotonic() + EXIT_DEADLINE_S,
            lambda: not family.children or self._stop_count > 1,
        )
        family.kill()
        self._wait(time.monotonic() + EXIT_DEADLINE_S, lambda: not family.children)
        if not family.children and kill_strays():
            self._observer.event("WARNING", "processes that tasks had left behind were killed")
        self._on_log()
        for line in self._log.rest():
            self._observer.log(line)
        self._family = None

    # -- events ---------------------------------------------------------------------------

    def _wait(self, deadline_s: float, is_done: Callable[[], bool]) -> None:
        """Handle events until `is_done` or the deadline."""
        while not is_done():
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                return
            for key, _ in self._selector.select(remaining_s):
                key.data()

    def _watch(self, child: Child) -> None:
        self._selector.register(
            child.pidfd, selectors.EVENT_READ, lambda: self._on_child_ended(child)
        )

    def _on_child_ended(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        child.reap()
        family = self._the_family
        if self._is_over():
            # A worker is no loss now, and storage processes end when the network process is done.
            is_loss = child is family.network or (child in family.storages and child.exit_code)
            if self._is_leaving and is_loss and not self._has_left():
                self._fail(child)
            return
        self._on_log()  # What it said last explains its end.
        if child in family.workers:
            family.tell_network(WorkerEnded(child.pid, child.describe_end()))
            family.forget(child)
            if len(family.workers) + len(self._workers_due_s) >= self._workers_wanted:
                return  # One too many: it stood in for another, which goes on.
            self._observer.event("WARNING", child.describe_end())
            now_s = time.monotonic()
            pause_s = self._worker_policy.pause_after_death_s(now_s)
            self._workers_due_s.append(now_s + (5.0 if pause_s is None else pause_s))
        elif child in family.storages and child.exit_code == 0:
            # Its pipe has ended, so the network process is dying: that one is the cause, and
            # its end is about to be seen.
            self._follower_end = (time.monotonic() + FOLLOWER_PATIENCE_S, child)
        else:
            self._fail(child)

    def _fail(self, child: Child) -> None:
        """The node is over because of `child`."""
        self._failure = child.describe_end()
        self._observer.event("ERROR", f"{self._failure}; the node's data is gone with it")

    def _start_due_workers(self, now_s: float) -> None:
        due = [due_s for due_s in self._workers_due_s if due_s <= now_s]
        self._workers_due_s = [due_s for due_s in self._workers_due_s if due_s > now_s]
        for _ in due:
            worker = self._start_worker()
            self._observer.event("INFO", f"a new worker (pid {worker.pid}) takes its place")

    def _start_worker(self) -> Child:
        worker = self._the_family.start_worker(self._port)
        self._watch(worker)
        return worker

    def _on_signal(self) -> None:
        for number in self._signals.take():
            if number is signal.SIGHUP and self._stop_count:
                continue  # Shell and kernel may both tell that the terminal is closed.
            self._stop_count += 1
            if self._stop_count == 1:
                text = f"{number.name}: leaving the cluster (a second one ends the node at once)"
                self._observer.event("INFO", text)
            elif self._stop_count == 2:
                self._observer.event("WARNING", f"{number.name}: ending at once")

    def _on_keys(self) -> None:
        """Leave, as a first Ctrl-C does; only signals are impatient."""
        assert self._keys is not None
        if self._keys.wants_stop() and not self._stop_count:
            self._stop_count = 1
            self._observer.event("INFO", "q: leaving the cluster (Ctrl-C ends the node at once)")

    def _on_launcher(self) -> None:
        assert self._launcher is not None
        try:
            message = decode_supervisor_to_network(self._launcher.recv_bytes())
        except (EOFError, OSError):
            self._selector.unregister(self._launcher)
            message = StopNode()
        self._stop_count += 2 if message == StopNode(is_urgent=True) else 1

    def _on_log(self) -> None:
        for line in self._log.read():
            self._observer.log(line)

    def _on_network(self) -> None:
        try:
            message = decode_network_to_supervisor(self._the_family.control.recv_bytes())
        except (EOFError, OSError):
            # Its end follows by pidfd, with the reason; nothing more comes here.
            self._ignore_network()
            return
        except ProtocolError as error:
            self._failure = str(error)
            return
        self._network_spoke_s = time.monotonic()
        match message:
            case NodeStopped():
                self._network_has_stopped = True
            case LeaveProgress(moved=moved, total=total):
                # Below zero: who left before it has moved more here than has left by now.
                if moved > 0 and message != self._progress:
                    self._observer.event("INFO", f"leaving: {moved} of {total} partitions moved")
                self._progress = message
            case WorkersWanted(count=count):
                self._workers_wanted = count
                for _ in range(count - len(self._the_family.workers) - len(self._workers_due_s)):
                    self._start_worker()
            case StopWanted():
                if not self._stop_count:
                    self._stop_count = 1
                    self._observer.event("INFO", "asked to stop (grid down): leaving the cluster")
            case RestartWanted(reason=reason):
                self._failure = reason
                self._must_rejoin = True
                self._observer.event("WARNING", reason)
            case StartFailed(reason=reason):
                self._failure = reason
                self._start_failed = True
                self._observer.report(message)
            case Listening(port=port):
                self._port = port
                self._observer.report(message)
                family = self._the_family
                family.start_workers(port)
                for worker in family.workers:
                    self._watch(worker)
            case _:
                self._observer.report(message)

    def _ignore_network(self) -> None:
        """Take the network's pipe out of the loop; idempotent."""
        control = self._the_family.control
        if control in self._selector.get_map():
            self._selector.unregister(control)

    @property
    def _the_family(self) -> Family:
        assert self._family is not None, "only while a generation runs"
        return self._family
