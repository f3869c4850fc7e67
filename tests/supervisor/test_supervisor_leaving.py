"""How a supervisor waits for its node to leave: patient with work, not with silence.

The family is pretended: a thread stands for the network process. Fresh interpreters, for signals.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from .fresh import run_fresh

SCRIPT = """
import json, os, signal, subprocess, sys, threading, time
from multiprocessing import Pipe
from types import SimpleNamespace

from grid.replication.options import ReplicationOptions
from grid.supervisor import supervisor as module
from grid.supervisor.spawn import Child
from grid.wire.catalog import decode_supervisor_to_network, encode
from grid.wire.family import LeaveProgress, NodeStopped, StopNode, StopWanted

given = json.loads(sys.argv[1])
module.SILENCE_MAX_S = given.get("silence_s", 60.0)
module.FAREWELL_DEADLINE_S = 0.1
stops, events = [], []
launcher, launchers_end = Pipe()

class Network:
    def __init__(self, settings, log_fd):
        self.control, self.theirs = Pipe()
        self.sleeper = subprocess.Popen(["sleep", "600"])
        pid = self.sleeper.pid
        self.network = Child("network", pid, os.pidfd_open(pid))
        self.storages, self.workers = [], []
        self.first = threading.Event()
        self.urgent = threading.Event()
        threading.Thread(target=self.hear, daemon=True).start()
        threading.Thread(target=self.live, daemon=True).start()

    def tell_network(self, message):
        self.control.send_bytes(encode(message))

    def hear(self):
        while True:
            message = decode_supervisor_to_network(self.theirs.recv_bytes())
            if isinstance(message, StopNode):
                stops.append(message.is_urgent)
                self.first.set()
                if message.is_urgent:
                    self.urgent.set()
                    self.say(NodeStopped())

    def say(self, message):
        self.theirs.send_bytes(encode(message))

    def live(self):
        for action in given["actions"]:
            if action == "down":
                self.say(StopWanted())
            elif action == "launcher":
                launchers_end.send_bytes(encode(StopNode()))
            elif action == "launcher at once":
                launchers_end.send_bytes(encode(StopNode(is_urgent=True)))
            elif action == "launcher gone":
                launchers_end.close()
            elif action == "leave":
                for moved in (0, 1, 1, 2, 3):
                    time.sleep(given.get("pause_s", 0.0))
                    self.say(LeaveProgress(moved, 3))
                self.say(NodeStopped())
            elif action == "die":
                self.sleeper.kill()
            elif action == "report for ever":
                while True:
                    time.sleep(0.01)
                    self.say(LeaveProgress(0, 3))
            else:
                os.kill(os.getpid(), getattr(signal, action))
            self.first.wait()

    @property
    def children(self):
        return [self.network] if self.network.exit_code is None else []

    def kill(self):
        self.network.send_signal(signal.SIGKILL)

    close = kill

module.Family = Network
observer = SimpleNamespace(event=lambda level, text: events.append(text), report=print)
settings = SimpleNamespace(
    port=0,
    workers=0,
    replication=ReplicationOptions(leave_deadline_s=given.get("leave_deadline_s", 60.0)),
)
code = module.Supervisor(settings, observer, launcher).run()
print(json.dumps({"code": code, "stops": stops, "events": events}))
"""


def stopped(*actions: str, **given: float) -> dict[str, Any]:
    """Run a supervisor whose node does `actions`; return what it told the node and people."""
    output = run_fresh(SCRIPT, json.dumps({"actions": actions, **given}))
    result: dict[str, Any] = json.loads(output)
    assert result["code"] == 0
    return result


def test_node_that_reports_is_waited_for_and_its_progress_shown() -> None:
    # It takes longer than silence may, and each report has a second's grace on a busy machine.
    result = stopped("SIGTERM", "leave", silence_s=1.5, pause_s=0.4)
    assert result["stops"] == [False]
    assert result["events"] == [
        "SIGTERM: leaving the cluster (a second one ends the node at once)",
        "leaving: 1 of 3 partitions moved",
        "leaving: 2 of 3 partitions moved",
        "leaving: 3 of 3 partitions moved",
    ]


def test_silent_node_is_not_waited_for() -> None:
    result = stopped("SIGTERM", silence_s=0.2)
    assert result["stops"] == [False, True]
    assert result["events"][-1] == "the node could not leave in order: ending it"


def test_deadline_of_leaving_ends_the_wait() -> None:
    result = stopped("SIGTERM", "report for ever", leave_deadline_s=0.1)
    assert result["stops"] == [False, True]
    assert "the node could not leave in order: ending it" in result["events"]


@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM"])
def test_second_signal_ends_the_node_at_once(second: str) -> None:
    result = stopped("SIGINT", second)
    assert result["stops"] == [False, True]
    assert result["events"][-1] == f"{second}: ending at once"


def test_closed_terminal_is_one_request_however_often_it_is_signalled() -> None:
    assert stopped("SIGHUP", "SIGHUP", "leave")["stops"] == [False]


def test_grid_down_is_never_impatient() -> None:
    result = stopped("down", "down", "leave")
    assert result["stops"] == [False]
    assert result["events"][0] == "asked to stop (grid down): leaving the cluster"


def test_death_while_leaving_is_seen_at_once() -> None:
    result = stopped("SIGTERM", "die")
    assert result["stops"] == [False]
    assert result["events"][-1].endswith("was killed by SIGKILL; the node's data is gone with it")


def test_launcher_may_be_patient_first() -> None:
    assert stopped("launcher", "leave")["stops"] == [False]
    assert stopped("launcher", "launcher at once")["stops"] == [False, True]


def test_launcher_may_want_it_at_once() -> None:
    assert stopped("launcher at once")["stops"] == [True]


def test_node_whose_launcher_has_gone_leaves() -> None:
    assert stopped("launcher gone", "leave")["stops"] == [False]
