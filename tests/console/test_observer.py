"""What a node reports, on its way to the console."""

from __future__ import annotations

import io
import re

from grid.console.observer import ConsoleObserver
from grid.console.terminal import PlainConsole
from grid.wire.family import Admitted, Listening, StartFailed, StatusSnapshot


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
