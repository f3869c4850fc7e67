"""``grid chaos``: a local cluster under a verifying workload, its nodes killed; the verdict.

Not here: what is done and judged (``chaos/``, ``verification/``).
"""

from __future__ import annotations

import argparse
import secrets
import time
from types import TracebackType

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from grid.arguments import number_within, whole_within, writable_file
from grid.chaos.host_nodes import HostNodes
from grid.chaos.nodes import LocalNodes
from grid.chaos.plan import WRITES_PER_KILL, Wishes
from grid.chaos.report import document_of, render
from grid.chaos.run import Run, start_cluster
from grid.config import Config
from grid.errors import ConfigError
from grid.hosts.interruption import ended_as_by_ctrl_c

BALLAST = 50_000
SEEDS = 1 << 31
INTERRUPTED = 130

EXAMPLES = """
examples:
  grid chaos --minutes 2 --kill     nodes die; every write is accounted for
  grid chaos --minutes 2 --kill --restart     they are also started again
  sudo grid chaos --hosts --loss 0.02 --kill --restart     each on a host, packets get lost
"""


class ConsoleNarrator:
    """A line for each event; on a terminal a bar below them. A context manager."""

    def __init__(self, console: Console, minutes: float) -> None:
        """Show a run of so many minutes."""
        self._start_s = time.monotonic()
        columns = (
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bar: TaskID = self._progress.add_task("starting nodes", total=60 * minutes)

    def say(self, text: str) -> None:
        """Print a line."""
        since_s = time.monotonic() - self._start_s
        self._progress.console.print(
            f"{since_s:7.1f} s  {text}", highlight=False, markup=False, soft_wrap=True
        )

    def show(self, elapsed_s: float, text: str) -> None:
        """Change the bar."""
        self._progress.update(self._bar, completed=elapsed_s, description=text)

    def __enter__(self) -> ConsoleNarrator:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()


def run(options: argparse.Namespace, config: Config) -> int:
    """Run chaos with the options of `config` on nodes of its own.

    Returns: 1 when something was lost quietly or a read was wrong; 130 when interrupted.
    """
    wishes = Wishes(
        minutes=options.minutes,
        nodes=options.nodes,
        kill=options.kill,
        restart=options.restart,
        rate=options.rate,
        seed=secrets.randbelow(SEEDS) if options.seed is None else options.seed,
        writes_per_kill=options.writes,
        kills_max=options.kills,
        spares_first=options.spare_first,
    )
    if options.loss and not options.hosts:
        raise ConfigError("--loss needs --hosts: packets get lost on a LAN, not within a machine")
    with (
        ended_as_by_ctrl_c(),
        ConsoleNarrator(Console(stderr=True), wishes.minutes) as narrator,
        _nodes(options, config) as nodes,
    ):
        places = f"hosts that lose {options.loss:.1%} of the packets" if options.hosts else "nodes"
        narrator.say(f"starting {wishes.nodes} {places}, seed {wishes.seed}")
        clients = start_cluster(nodes, wishes.nodes)
        chaos = Run(wishes, nodes, clients, narrator, ballast=options.ballast)
        try:
            chaos.run()
        except KeyboardInterrupt:
            chaos.tally.was_cut_short = True
        finally:
            nodes.close()  # First, or the clients would wait for answers.
            for client in clients:
                client.close()
    document = document_of(wishes, chaos.findings, chaos.tally)
    Console().print(render(document))
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    if document["verdict"] != "clean":
        return 1
    return INTERRUPTED if chaos.tally.was_cut_short else 0


def _nodes(options: argparse.Namespace, config: Config) -> LocalNodes | HostNodes:
    """Return where nodes are to run; hosts have a configuration of their own."""
    if options.hosts:
        return HostNodes(options.nodes, options.loss)
    return LocalNodes(config, options.nodes)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--minutes",
        type=number_within(0.01, 10_000),
        default=1.0,
        metavar="M",
        help="how long to work (1)",
    )
    parser.add_argument(
        "--nodes", type=whole_within(2, 32), default=4, metavar="N", help="whole nodes (4)"
    )
    parser.add_argument(
        "--hosts",
        action="store_true",
        help="each node on a host in miniature, with a LAN between them (root)",
    )
    parser.add_argument(
        "--loss",
        type=number_within(0, 0.5),
        default=0.0,
        metavar="P",
        help="with --hosts: the share of packets that get lost (0)",
    )
    parser.add_argument("--kill", action="store_true", help="kill nodes, one at a time")
    parser.add_argument(
        "--spare-first",
        action="store_true",
        help="never kill the first node: to see for long whether its memory grows",
    )
    parser.add_argument("--restart", action="store_true", help="start a new node for each killed")
    parser.add_argument(
        "--json", type=writable_file, metavar="FILE", help="write the figures as JSON"
    )
    parser.add_argument(
        "--seed",
        type=whole_within(0, SEEDS),
        metavar="N",
        help="decides who is killed and what is written (random)",
    )
    parser.add_argument(
        "--rate",
        type=number_within(1, 1_000_000),
        default=4000.0,
        metavar="OPS",
        help="operations a second at most (4000)",
    )
    parser.add_argument(
        "--writes",
        type=whole_within(0, 10_000_000),
        default=WRITES_PER_KILL,
        metavar="N",
        help=f"acknowledged writes between two kills ({WRITES_PER_KILL})",
    )
    parser.add_argument(
        "--kills",
        type=whole_within(0, 10_000_000),
        metavar="N",
        help="end after N kills, before the time is over",
    )
    parser.add_argument(
        "--ballast",
        type=whole_within(0, 10_000_000),
        default=BALLAST,
        metavar="N",
        help=f"entries that only lie there, for copying to take a while ({BALLAST})",
    )
