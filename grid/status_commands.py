"""Commands that look at a running cluster: ``status``, ``members``, ``partitions``, ``tasks``,
``events`` and ``console``.

Responsible for: their options and help, asking a node once or again and again, and printing the
answer for people or programs.

Not responsible for: what the answers look like (``console/tables.py``, ``console/answers.py``) and
the live screen (``console/watching.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson
from rich.console import Console, RenderableType

from grid.api import open_connections
from grid.arguments import Commands, add_command, number_within, time_span
from grid.client.requests.connections import Connections
from grid.client.session import status_from
from grid.config import Config
from grid.console.answers import (
    event_answer,
    members_answer,
    partitions_answer,
    status_answer,
    tasks_answer,
)
from grid.console.document import ClusterStatus, decode
from grid.console.event_lines import told_alike
from grid.console.patience import search_text, told_if_slow
from grid.console.tables import (
    event_line,
    members_table,
    partitions_picture,
    status_table,
    tasks_table,
)
from grid.console.terminal import open_console
from grid.console.watching import News, run
from grid.errors import ConnectError, GridError

INTERVAL_S = 1.0
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


class Look(NamedTuple):
    """A command that shows something of the status: to programs, and to people."""

    help: str
    examples: str
    answer: Callable[[dict[str, Any]], Any]
    picture: Callable[[ClusterStatus, int], RenderableType]


LOOKS = {
    "status": Look(
        "show members, partitions and tasks at a glance",
        """
  grid status                          of the cluster on this machine, or of cluster.toml
  grid status --connect 192.168.1.5    as that node sees it (port 7701)
  grid status --json | jq .writes_at_risk
  grid status --watch                  again every second, until Ctrl-C
""",
        status_answer,
        lambda status, width: status_table(status),
    ),
    "members": Look(
        "show each member: age, load, operations a second, what it holds",
        """
  grid members --watch
  grid members --json | jq -r '.[] | select(.state == "dead").name'
""",
        members_answer,
        lambda status, width: members_table(status),
    ),
    "partitions": Look(
        "show who holds the 256 partitions, and which are in trouble",
        """
  grid partitions                      a picture; "here" is the node that answers
  grid partitions --json | jq -c '.partitions[] | select(.state != "safe")'
""",
        partitions_answer,
        partitions_picture,
    ),
    "tasks": Look(
        "show tasks queued, running, done and retried, and what the workers of one node do",
        """
  grid tasks --watch --interval 5
  grid tasks --connect pc2             with the workers of that node
  grid tasks --json | jq .queued
""",
        tasks_answer,
        lambda status, width: tasks_table(status),
    ),
}
OTHERS = {
    "events": (
        "show who joined, left or died, what took over, what it may have cost",
        """
  grid events --since 10m              of the last ten minutes
  grid events --watch                  and then what happens, as it happens
  grid events --watch --json | jq -c 'select(.kind == "dead")'

Each node remembers its last 1,000 events and tells its own time. What several tell alike within
seconds is one line; with --json there is one for each of them.
""",
    ),
    "console": (
        "show the live console of a cluster, from anywhere",
        """
  grid console                         of the cluster on this machine, or of cluster.toml
  grid console --connect 192.168.1.5   through that node; through another when it goes away

q or Ctrl-C ends it; the cluster goes on. Where there is no terminal it prints lines.
""",
    ),
}


def add_commands(
    commands: Commands,
    add_config: Callable[[argparse.ArgumentParser], None],
    load: Callable[[argparse.Namespace], Config],
) -> None:
    """Add the commands to a parser; `add_config` and `load` are for what all commands share."""
    for name, look in LOOKS.items():
        parser = add_command(commands, name, look.help, look.examples)
        add_config(parser)
        _add_options(parser, is_console=False)
        parser.set_defaults(run=lambda given, look=look: _look(look, given, load(given)))
    runs = {"events": _events, "console": _console}
    for name, (help_text, examples) in OTHERS.items():
        parser = add_command(commands, name, help_text, examples)
        add_config(parser)
        _add_options(parser, is_console=name == "console")
        if name == "events":
            text = "only those of the last so many seconds, or 10m, 2h, 1d"
            parser.add_argument("--since", type=time_span, metavar="AGO", help=text)
        parser.set_defaults(run=lambda given, run=runs[name]: run(given, load(given)))


def _add_options(parser: argparse.ArgumentParser, *, is_console: bool) -> None:
    parser.add_argument("--connect", metavar="HOST[:PORT]", help="ask this node")
    if is_console:
        return
    parser.add_argument(
        "--json", action="store_true", help="print JSON; with --watch, a line for each"
    )
    parser.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")
    parser.add_argument(
        "--interval",
        type=number_within(0.1, 3_600),
        default=INTERVAL_S,
        metavar="S",
        help="seconds between two looks (1)",
    )


# -- commands -----------------------------------------------------------------------------


def _look(look: Look, options: argparse.Namespace, config: Config) -> int:
    """Show something of the status, once or again and again."""
    screen = _Screen(is_watching=options.watch)
    for document in _asked(options, config, status_from):
        if options.json:
            _print_json(look.answer(document), is_line=options.watch)
        else:
            screen.show(look.picture(decode(document), screen.width))
    return 0


def _events(options: argparse.Namespace, config: Config) -> int:
    """Print the events that are known, and then those that come."""
    since_s = 0.0 if options.since is None else time.time() - options.since
    console = _console_of(sys.stdout)
    known: set[tuple[str, int, float]] = set()
    for events in _asked(options, config, Connections.events):
        fresh = [
            event
            for event in events
            if event.time_s >= since_s and (event.node, event.number, event.time_s) not in known
        ]
        # Replaced, not added to: nodes forget old events as well.
        known = {(event.node, event.number, event.time_s) for event in events}
        if options.json and not options.watch:
            _print_json([event_answer(event) for event in fresh])
            continue
        if options.json:
            for event in fresh:
                _print_json(event_answer(event), is_line=True)
            continue
        for event, tellers in told_alike(fresh):
            console.print(event_line(event, tellers), soft_wrap=True)
    return 0


def _console(options: argparse.Namespace, config: Config) -> int:
    """Show the live console until a person has seen enough."""
    connections = _opened(options, config)

    def ask() -> News:
        try:
            return News(status_from(connections), connections.events())
        except (GridError, OSError) as error:
            return News(None, [], str(error))

    with contextlib.closing(connections):
        run(open_console(sys.stdout, sys.stdin), ask)
    return 0


# -- parts --------------------------------------------------------------------------------


def _opened(options: argparse.Namespace, config: Config) -> Connections:
    with told_if_slow(search_text(config, options.connect), sys.stderr):
        return open_connections(config, options.connect)


def _asked(
    options: argparse.Namespace, config: Config, ask: Callable[[Connections], Any]
) -> Iterator[Any]:
    """Yield an answer, and with ``--watch`` further ones; silence is told on standard error."""
    with contextlib.closing(_opened(options, config)) as connections:
        yield ask(connections)
        is_silent = False
        while options.watch:
            time.sleep(options.interval)
            try:
                answer = ask(connections)
            except ConnectError as error:
                if not is_silent:
                    sys.stderr.write(f"grid: {error}; asking again\n")
                is_silent = True
                continue
            is_silent = False
            yield answer


def _print_json(answer: Any, *, is_line: bool = False) -> None:
    option = orjson.OPT_APPEND_NEWLINE | (0 if is_line else orjson.OPT_INDENT_2)
    sys.stdout.write(orjson.dumps(answer, option=option).decode())
    sys.stdout.flush()


def _console_of(stream: Any) -> Console:
    return Console(file=stream, highlight=False, markup=False)


class _Screen:
    """Prints pictures one below the other, or, watching on a terminal, one over the other."""

    def __init__(self, *, is_watching: bool) -> None:
        """Print on standard output."""
        self._console = _console_of(sys.stdout)
        self._is_watching = is_watching
        self._is_redrawn = is_watching and self._console.is_terminal
        self._count = 0

    @property
    def width(self) -> int:
        """In characters."""
        return self._console.width

    def show(self, picture: RenderableType) -> None:
        """Print a picture."""
        self._count += 1
        if not self._is_redrawn:
            if self._count > 1:
                self._console.print()
            self._console.print(picture)
        else:
            with self._console.capture() as captured:
                self._console.print(picture)
            lines = captured.get().splitlines()[: self._console.height - 1]
            text = "".join(f"{line}{CLEAR_LINE}\n" for line in lines)
            start = HOME + CLEAR_BELOW if self._count == 1 else HOME
            self._console.file.write(f"{start}{text}{CLEAR_BELOW}")
        self._console.file.flush()
