"""What a supervisor passes on to its launcher, which may be slow, stopped or gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from grid.supervisor import observer as observer_module
from grid.supervisor.log_relay import PRINTED
from grid.supervisor.observer import PipeObserver
from grid.wire.catalog import decode_supervisor_to_launcher
from grid.wire.family import Admitted, LogText, SupervisorToLauncher


@pytest.fixture(name="pipe")
def fixture_pipe() -> Iterator[tuple[Connection, Connection]]:
    launcher, supervisor = Pipe()
    with launcher, supervisor:
        yield launcher, supervisor


def received(launcher: Connection) -> SupervisorToLauncher:
    return decode_supervisor_to_launcher(launcher.recv_bytes())


def test_a_launcher_that_reads_gets_each_line_however_fast_they_come(
    pipe: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer_module, "MOMENT_S", 60.0)  # The reader may have no core for long.
    launcher, supervisor = pipe
    lines = [LogText(PRINTED, f"line {number}") for number in range(5_000)]
    got: list[SupervisorToLauncher] = []
    reader = threading.Thread(target=lambda: got.extend(received(launcher) for _ in lines))
    reader.daemon = True
    reader.start()
    observer = PipeObserver(supervisor)
    for line in lines:
        observer.log(line)
    supervisor.close()  # If lines are missing, the reader ends.
    reader.join()
    assert got == lines


def test_a_launcher_that_is_stopped_costs_lines_and_hears_how_many(
    pipe: tuple[Connection, Connection],
) -> None:
    launcher, supervisor = pipe
    observer = PipeObserver(supervisor)
    for number in range(5_000):
        observer.log(LogText(PRINTED, f"line {number}"))
    observer.report(Admitted())
    kept = 0
    while launcher.poll():
        assert received(launcher) == LogText(PRINTED, f"line {kept}")
        kept += 1
    observer.event("INFO", "read again")
    text = f"{5_000 - kept} lines were dropped: nobody read them"
    assert received(launcher) == LogText("WARNING", text)
    assert received(launcher) == LogText("INFO", "read again")
    observer.report(Admitted())
    assert received(launcher) == Admitted()


def test_a_launcher_that_is_gone_is_no_matter(pipe: tuple[Connection, Connection]) -> None:
    launcher, supervisor = pipe
    launcher.close()
    PipeObserver(supervisor).event("INFO", "nobody hears this")
