"""A stage without hosts and books without runs: what demonstrations ask of them, written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import cast

from rich.console import Console

from grid.console.document import ClusterStatus, MemberStatus, PartitionCounts, TaskCounts
from grid.demo.driver import Result
from grid.demo.narration import Narrator
from grid.demo.runs import Books
from grid.demo.stage import Stage


@dataclass(frozen=True, eq=True)
class FakeHost:
    name: str

    def run(self, *arguments: str) -> FakeHost:
        return self

    @property
    def stdout(self) -> str:
        return "a table of members"


def member(name: str, primaries: int) -> MemberStatus:
    return MemberStatus(
        name=name,
        id="",
        address="",
        pid=0,
        state="alive",
        cpu_percent=0.0,
        primaries=primaries,
        backups=0,
        entries=0,
        at_risk=0,
        tasks=TaskCounts(0, 0, 0),
    )


class FakeStage:
    """Hosts h1, h2 and so on, whose nodes do at once what they should."""

    quota = 0.3
    config = "cluster.toml"

    def __init__(self, count: int = 4) -> None:
        self.hosts = [FakeHost(f"h{number}") for number in range(1, count + 1)]
        self.alone = FakeHost("alone")
        self.running: list[FakeHost] = []
        self.done: list[str] = []
        self._told = StringIO()
        self.narrator = Narrator(Console(file=self._told, width=120))

    @property
    def real(self) -> Stage:
        return cast(Stage, self)

    @property
    def told(self) -> str:
        return self._told.getvalue()

    @property
    def victim(self) -> FakeHost:
        return self.hosts[1]

    def start(self, *hosts: FakeHost) -> None:
        self.done += [f"start {host.name}" for host in hosts]
        self.running = [host for host in self.hosts if host in self.running or host in hosts]

    def kill(self, host: FakeHost) -> int:
        self.done.append(f"kill {host.name}")
        self.running.remove(host)
        return 4

    def form(self) -> None:
        self.start(*(host for host in self.hosts if host not in self.running))

    def settle(self) -> None:
        self.done.append("settle")

    def wait_for_members(self, hosts: Sequence[FakeHost]) -> None:
        assert self.running == hosts

    def wait_until_safe(self, host: FakeHost) -> None:
        assert host in self.running

    def status(self, host: FakeHost) -> ClusterStatus:
        share = 256 // len(self.running)
        members = tuple(member(other.name, share) for other in self.running)
        return ClusterStatus("", members, PartitionCounts(256, 256, 0, 0, 0, 1), 0, 0)


@dataclass
class FakeBooks:
    """Thirty parts, whose runs take as long as they are told."""

    serial_s: list[float]
    parallel_s: list[float]
    tasks_retried: int = 1
    is_equal: bool = True
    has_serial_report: bool = False
    done_at_kill: list[int] = field(default_factory=list)
    count: int = 20
    parts: int = 30
    driver_has_quota: bool = False

    @property
    def real(self) -> Books:
        return cast(Books, self)

    def serial(self, stage: Stage) -> float:
        self.has_serial_report = True
        return self.serial_s.pop(0)

    def parallel(self, stage: Stage, on_part: Callable[[int], None] | None = None) -> Result:
        if on_part is not None:
            for done in range(1, self.parts + 1):
                before = len(stage.running)
                on_part(done)
                if len(stage.running) < before:
                    self.done_at_kill.append(done)
        return Result(self.parallel_s.pop(0), 0.5, self.tasks_retried, {"h1": self.parts})

    def results_equal(self) -> bool:
        return self.is_equal
