"""The console from elsewhere: what it makes of answers, of other tellers, and of silence."""

from __future__ import annotations

import os
import select
import signal
import threading
from io import StringIO
from typing import Any

from grid.console.keyboard import Keyboard
from grid.console.model import ConsoleModel
from grid.console.model import Event as Shown
from grid.console.terminal import PlainConsole
from grid.console.watching import (
    HINT,
    HINT_KEYS,
    NEWS_MAX,
    News,
    Poller,
    Watch,
    run,
)
from grid.wire.control import Event

from .samples import event, member, status_dict


class NotingConsole:
    """A console that keeps what it is told."""

    def __init__(self, keys: Keyboard | None = None) -> None:
        self.keys = keys
        self.is_live = True
        self.events: list[str] = []
        self.headlines: list[str] = []
        self.steps: list[str] = []
        self.drawn = threading.Event()

    def start(self) -> None:
        self.steps.append("start")

    def event(self, event: Shown) -> None:
        self.events.append(f"{event.level} {event.text}")

    def refresh(self, model: ConsoleModel) -> None:
        self.headlines.append(model.headline.text)
        self.drawn.set()

    def stop(self) -> None:
        self.steps.append("stop")


def answered(*events: Event, **changes: Any) -> News:
    return News(status_dict(2, **changes), list(events))


SILENCE = News(None, [], "no node answers")


def test_answers_are_shown_with_who_gives_them() -> None:
    console = NotingConsole()
    watch = Watch(console, lambda: 1.0)
    watch.show(answered(event("n1", "n2 joined", 1.0)))
    assert console.events == ["INFO n1: n2 joined"]
    assert console.headlines == ["2 members alive; all 256 partitions are safe."]
    assert watch.model.own_address == "n1 192.168.1.11:7701"


def test_silence_is_told_once_and_its_end_too() -> None:
    console = NotingConsole()
    watch = Watch(console, lambda: 1.0)
    for news in (answered(), SILENCE, SILENCE, answered()):
        watch.show(news)
    assert console.events == [
        "ERROR no node answers; asking again",
        "WARNING answered again by n1",
    ]
    assert console.headlines[1] == "No node answers; this is the state before."
    assert console.headlines[3].startswith("2 members alive")


def test_another_node_that_answers_is_named() -> None:
    console = NotingConsole()
    watch = Watch(console, lambda: 1.0)
    watch.show(answered())
    watch.show(answered(node=member(2)["id"]))
    assert console.events == ["WARNING now watching through n2"]


def test_answer_that_is_no_status_is_said_and_survived() -> None:
    console = NotingConsole()
    watch = Watch(console, lambda: 1.0)
    watch.show(News({"cluster": "library"}, []))
    assert "could not be shown" in console.events[0]


def test_hint_names_the_key_only_where_there_are_keys() -> None:
    master, slave = os.openpty()
    try:
        assert Watch(NotingConsole(Keyboard(slave))).model.hint == HINT_KEYS
        assert Watch(NotingConsole()).model.hint == HINT
    finally:
        os.close(master)
        os.close(slave)


def test_questions_wait_while_nobody_takes_the_answers() -> None:
    asked: list[int] = []
    enough = threading.Event()

    def ask() -> News:
        asked.append(1)
        if len(asked) > NEWS_MAX:
            enough.set()
        return answered()

    poller = Poller(ask, interval_s=0.0)
    poller.start()
    assert enough.wait(60)
    for _ in range(NEWS_MAX):
        assert select.select([poller], [], [], 60)[0]
        assert poller.take().document is not None
    poller.stop()
    assert len(asked) <= 2 * NEWS_MAX + 2


def test_console_is_drawn_and_given_back_at_a_signal() -> None:
    """In a thread of its own the answer comes; in this one the signal ends it."""
    console = NotingConsole()

    def interrupt() -> None:
        assert console.drawn.wait(60)
        os.kill(os.getpid(), signal.SIGTERM)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    run(console, lambda: answered(event("n1", "n2 joined", 1.0)))
    interrupter.join()
    assert console.steps == ["start", "stop"]
    assert console.events == ["INFO n1: n2 joined"]


def test_q_ends_it() -> None:
    master, slave = os.openpty()
    try:
        console = NotingConsole(Keyboard(slave))
        os.write(master, b"q\n")
        run(console, answered)
        assert console.steps == ["start", "stop"]
    finally:
        os.close(master)
        os.close(slave)


def test_without_a_terminal_it_prints_lines() -> None:
    stream = StringIO()
    watch = Watch(PlainConsole(stream))
    watch.show(answered(event("n1", "n2 joined", 0.0)))
    first, second = stream.getvalue().splitlines()
    assert first.endswith("INFO n1: n2 joined")
    assert "2 members alive" in second
