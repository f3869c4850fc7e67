"""What a node reports, on its way to the console."""

from __future__ import annotations

import io
import re
import time

from rich.console import Console

from grid.console.observer import ConsoleObserver, QuietObserver
from grid.console.terminal import LiveConsole, PlainConsole
from grid.supervisor.log_relay import PRINTED
from grid.wire.family import Admitted, EventSeen, Listening, LogText, StartFailed, StatusSnapshot

from .samples import event

JOINED = EventSeen(event("ann", "cat (9995b463, 192.0.2.3:7701) joined", 1_700_000_000.0))
JOINED_IN_LOG = LogText("INFO", "joined member=cat id=9995b463", has_event=True)
COUNTING = LogText(PRINTED, "counting words")
WARNED = LogText("WARNING", "connection dropped reason=bad")


def live_observer(names_tellers: bool = False) -> ConsoleObserver:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    return ConsoleObserver(LiveConsole(console), names_tellers=names_tellers)


def shown_by(observer: ConsoleObserver) -> list[tuple[str, str]]:
    return [(line.level, line.text) for line in observer.model.events]


def test_beside_a_program_s_output_only_prints_and_trouble_are_shown():
    stream = io.StringIO()
    observer = QuietObserver(PlainConsole(stream))
    observer.report(Admitted())
    observer.event("INFO", "n2 has joined")
    observer.log(LogText(PRINTED, "local-1: hello from a task"))
    observer.log(LogText("WARNING", "local-1: worker (pid 7) was killed by SIGKILL"))
    printed, warning = stream.getvalue().splitlines()
    assert printed == "local-1: hello from a task"
    assert warning.endswith(" WARNING local-1: worker (pid 7) was killed by SIGKILL")


def test_what_a_task_prints_is_information_on_a_console():
    stream = io.StringIO()
    ConsoleObserver(PlainConsole(stream)).log(COUNTING)
    assert stream.getvalue().endswith(" INFO counting words\n")


def test_the_steps_of_a_node_s_life_become_lines():
    stream = io.StringIO()
    observer = ConsoleObserver(PlainConsole(stream))
    observer.report(Listening("127.0.0.1", 7701, b"n" * 16))
    observer.report(Admitted())
    observer.report(StartFailed("port 7701 is taken"))
    observer.report(StatusSnapshot(b"not a status"))
    levels_and_texts = re.findall(r"^\S+ (\w+) (.*)$", stream.getvalue(), re.MULTILINE)
    assert levels_and_texts[:3] == [
        ("INFO", "listening on 127.0.0.1:7701, TCP and UDP"),
        ("INFO", "ready: this node serves its partitions"),
        ("ERROR", "port 7701 is taken"),
    ]
    assert "could not be shown" in levels_and_texts[3][1]
    assert observer.model.own_address == "127.0.0.1:7701"


def test_live_console_shows_events_at_their_time_instead_of_their_log_lines() -> None:
    observer = live_observer()
    observer.log(JOINED_IN_LOG)
    observer.report(JOINED)
    (line,) = observer.model.events
    assert (line.level, line.text) == ("INFO", JOINED.event.text)
    assert line.time == time.strftime("%H:%M:%S", time.localtime(JOINED.event.time_s))


def test_live_console_shows_what_is_no_event_as_it_is_logged() -> None:
    observer = live_observer()
    observer.log(COUNTING)
    observer.log(WARNED)
    observer.event("ERROR", "this node keeps failing; giving up")
    assert shown_by(observer) == [
        ("INFO", COUNTING.text),
        ("WARNING", WARNED.text),
        ("ERROR", "this node keeps failing; giving up"),
    ]


def test_several_nodes_that_tell_one_event_make_one_line_of_the_first() -> None:
    observer = live_observer(names_tellers=True)
    observer.report(JOINED)
    observer.report(EventSeen(event("ben", JOINED.event.text, JOINED.event.time_s + 0.3)))
    assert shown_by(observer) == [("INFO", f"ann: {JOINED.event.text}")]


def test_output_that_is_no_terminal_has_the_log_and_not_the_events() -> None:
    stream = io.StringIO()
    observer = ConsoleObserver(PlainConsole(stream))
    observer.report(JOINED)
    for line in (JOINED_IN_LOG, COUNTING, WARNED):
        observer.log(line)
    assert [line.split(maxsplit=1)[1] for line in stream.getvalue().splitlines()] == [
        f"INFO {JOINED_IN_LOG.text}",
        f"INFO {COUNTING.text}",
        f"WARNING {WARNED.text}",
    ]
