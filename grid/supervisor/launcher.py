"""Several whole nodes on one machine: a supervisor each, watched from here.

Responsible for: forking the supervisors (each leads its own process group), telling the
later ones where the first listens, collecting what they report, stopping them together.

Not responsible for: anything inside a node. A node that dies here stays dead: the others go
on, which is what a cluster is for.

Runs in: launcher; single thread, never starts another.
"""

from __future__ import annotations

import dataclasses
import os
import selectors
import signal
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import msgspec

from grid.errors import ProtocolError
from grid.process.settings import NodeSettings
from grid.supervisor.observer import Keys, Observer, PipeObserver
from grid.supervisor.signals import SignalQueue
from grid.supervisor.spawn import Child, fork
from grid.supervisor.supervisor import Supervisor
from grid.wire.catalog import decode_supervisor_to_launcher, encode
from grid.wire.family import (
    Admitted,
    EventSeen,
    Listening,
    LogText,
    StartFailed,
    StatusSnapshot,
    StopNode,
)

START_DEADLINE_S = 30.0
"""How long starting may take: the first node to listen, then all of them to be admitted."""

STOP_DEADLINE_S = 20.0
"""How long the nodes may take to stop, besides leaving, before their process groups are killed. A
supervisor gives its own processes somewhat less."""


class _Node:
    """One supervisor as the launcher knows it."""

    def __init__(self, settings: NodeSettings, child: Child, pipe: Connection) -> None:
        self.settings = settings
        self.child = child
        self.pipe = pipe
        self.is_admitted = False


class Launcher:
    """Starts nodes, relays what they report to an observer, stops them."""

    def __init__(
        self,
        settings: list[NodeSettings],
        observer: Observer,
        *,
        on_all_admitted: Callable[[list[tuple[str, int]]], None] | None = None,
        stop_fd: int | None = None,
        keys: Keys | None = None,
    ) -> None:
        """Prepare.

        Args:
            settings: one per node.
            observer: gets events (with the node's name in front) and the first node's status.
            on_all_admitted: called once with all addresses when every node is ready.
            stop_fd: a descriptor that becomes readable (a word, or its end) to say stop.
            keys: where a person can ask to stop.
        """
        self._settings = settings
        self._observer = observer
        self._on_all_admitted = on_all_admitted
        self._selector = selectors.DefaultSelector()
        self._signals = SignalQueue()
        self._selector.register(self._signals.reader, selectors.EVENT_READ, self._on_signal)
        self._stop_fd = stop_fd
        if stop_fd is not None:
            self._selector.register(stop_fd, selectors.EVENT_READ, self._on_stop_fd)
        self._keys = keys
        if keys is not None:
            self._selector.register(keys.fileno(), selectors.EVENT_READ, self._on_keys)
        self._nodes: list[_Node] = []
        self._addresses: dict[str, tuple[str, int]] = {}
        self._stop_count = 0
        self._must_hurry = False
        self._has_failed = False
        self._log_fd = os.open(os.devnull, os.O_WRONLY)

    def run(self) -> int:
        """Run all nodes until told to stop; return the exit code."""
        try:
            self._start(self._settings[0])
            first = self._settings[0].name
            self._wait(lambda: first in self._addresses or self._is_over(), START_DEADLINE_S)
            if first in self._addresses and not self._is_over():
                host, port = self._addresses[first]
                for settings in self._settings[1:]:
                    self._start(_with_seed(settings, f"{host}:{port}"))
                self._wait(lambda: self._are_admitted() or self._is_over(), START_DEADLINE_S)
                if self._are_admitted():
                    self._wait(self._is_over)
                elif not self._is_over():
                    self._fail(f"the nodes did not join within {START_DEADLINE_S:g} s")
            elif not self._is_over():
                self._fail(f"the first node did not start within {START_DEADLINE_S:g} s")
            self._stop_all()
        finally:
            self._kill_all()
            self._hear_last_words()
            self._signals.close()
            self._selector.close()
            os.close(self._log_fd)
        return 1 if self._has_failed else 0

    def _start(self, settings: NodeSettings) -> None:
        ours, theirs = Pipe()

        def run_supervisor() -> None:
            raise SystemExit(Supervisor(settings, PipeObserver(theirs), theirs).run())

        child = fork(
            "supervisor",
            run_supervisor,
            keep_fds=[theirs.fileno()],
            log_fd=self._log_fd,
            new_group=True,
        )
        theirs.close()
        node = _Node(settings, child, ours)
        self._nodes.append(node)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._on_report(node))
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._on_ended(node))

    def _is_over(self) -> bool:
        return self._stop_count > 0 or self._has_failed or self._are_gone()

    def _stop_all(self) -> None:
        """Stop all nodes together.

        What they hold moves to nodes elsewhere, if there are any; a second request ends them at
        once, and so does what leaves nobody to move to: a failed start, the end of `stop_fd`.
        """
        if not self._must_hurry and not self._has_failed:
            leave_s = max(settings.replication.leave_deadline_s for settings in self._settings)
            self._tell_all(StopNode())
            self._wait(lambda: self._stop_count > 1 or self._are_gone(), leave_s + STOP_DEADLINE_S)
        self._tell_all(StopNode(is_urgent=True))
        self._wait(lambda: self._stop_count > 2 or self._are_gone(), STOP_DEADLINE_S)

    def _tell_all(self, message: StopNode) -> None:
        for node in self._nodes:
            if node.child.exit_code is None:
                try:
                    node.pipe.send_bytes(encode(message))
                except OSError:
                    continue  # It is ending by itself.

    def _are_gone(self) -> bool:
        return all(node.child.exit_code is not None for node in self._nodes)

    def _kill_all(self) -> None:
        """Kill the process groups of nodes that have not stopped."""
        for node in self._nodes:
            if node.child.exit_code is None:
                try:
                    os.killpg(node.child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self._wait(self._are_gone, 5.0)

    def _hear_last_words(self) -> None:
        """Take what nodes that have ended had still to report, as what their tasks printed."""
        for node in self._nodes:
            while not node.pipe.closed and node.pipe.poll():
                self._on_report(node)

    # -- events ---------------------------------------------------------------------------

    def _wait(self, is_done: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Handle events until `is_done`, or until `timeout_s` have passed."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not is_done():
            remaining_s = None if deadline_s is None else deadline_s - time.monotonic()
            if remaining_s is not None and remaining_s <= 0:
                return
            for key, _ in self._selector.select(remaining_s):
                key.data()

    def _on_signal(self) -> None:
        for number in self._signals.take():
            if number is signal.SIGHUP and self._stop_count:
                continue  # As in the supervisor: one closed terminal is one request.
            self._stop_count += 1
            if self._stop_count == 1:
                text = f"stopping {len(self._nodes)} nodes (a second one ends them at once)"
                self._observer.event("INFO", f"{number.name}: {text}")
            elif self._stop_count == 2:
                self._observer.event("WARNING", f"{number.name}: ending all nodes at once")

    def _on_keys(self) -> None:
        assert self._keys is not None
        if self._keys.wants_stop() and not self._stop_count:
            self._stop_count = 1
            text = f"q: stopping {len(self._nodes)} nodes (Ctrl-C ends them at once)"
            self._observer.event("INFO", text)

    def _on_stop_fd(self) -> None:
        assert self._stop_fd is not None
        os.read(self._stop_fd, 4096)  # A word or the end of it, both mean stop.
        self._selector.unregister(self._stop_fd)
        self._stop_count += 1
        self._must_hurry = True  # The cluster ends with the program that wanted it.

    def _on_ended(self, node: _Node) -> None:
        self._selector.unregister(node.child.pidfd)
        node.child.reap()
        if node.child.exit_code and self._stop_count == 0:
            self._observer.event("ERROR", f"{node.settings.name}: {node.child.describe_end()}")
            if not node.is_admitted:
                self._has_failed = True

    def _on_report(self, node: _Node) -> None:
        try:
            message = decode_supervisor_to_launcher(node.pipe.recv_bytes())
        except (EOFError, OSError, ProtocolError):
            self._selector.unregister(node.pipe)
            node.pipe.close()
            return
        name = node.settings.name
        match message:
            case LogText(text=text):
                self._observer.log(msgspec.structs.replace(message, text=f"{name}: {text}"))
            case EventSeen():
                self._observer.report(message)
            case Listening(host=host, port=port):
                self._addresses[name] = (host, port)
                self._observer.event("INFO", f"{name}: listening on {host}:{port}")
            case StartFailed(reason=reason):
                self._observer.event("ERROR", f"{name}: {reason}")
            case StatusSnapshot():
                if node is self._first_living():
                    self._observer.report(message)
            case Admitted():
                node.is_admitted = True
                self._check_all_admitted()

    def _check_all_admitted(self) -> None:
        if self._on_all_admitted is not None and self._are_admitted():
            callback, self._on_all_admitted = self._on_all_admitted, None
            callback([self._addresses[node.settings.name] for node in self._nodes])

    def _are_admitted(self) -> bool:
        is_complete = len(self._nodes) == len(self._settings)
        return is_complete and all(node.is_admitted for node in self._nodes)

    def _fail(self, reason: str) -> None:
        self._has_failed = True
        self._observer.event("ERROR", reason)

    def _first_living(self) -> _Node | None:
        return next((node for node in self._nodes if node.child.exit_code is None), None)


def _with_seed(settings: NodeSettings, seed: str) -> NodeSettings:
    seeds = (*settings.discovery.seeds, seed)
    return dataclasses.replace(
        settings, discovery=dataclasses.replace(settings.discovery, seeds=seeds)
    )
