"""The command line: one function per command, each thin.

Exit codes: 0 done; 1 it failed (the reason stands in one sentence on stderr); 2 the command
line or the configuration is wrong; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from grid import config as configuration
from grid.api import (
    CONFIG_NAME,
    LOCAL_CLUSTER,
    NODES_MAX,
    LocalReady,
    LocalRequest,
    load_config,
    local_config,
    open_client,
)
from grid.arguments import Parser, add_command, described, whole_within
from grid.client.session import Grid
from grid.config import Config
from grid.console.document import decode
from grid.console.observer import ConsoleObserver, QuietObserver
from grid.console.patience import search_text, told_if_slow
from grid.console.safety import wait_until_safe
from grid.console.terminal import PlainConsole, ProgressLine, open_console
from grid.errors import ConfigError, GridError
from grid.secret_file import may_be_committed
from grid.status_commands import add_commands
from grid.supervisor.launcher import Launcher
from grid.supervisor.resolve import resolve_keys, resolve_nodes
from grid.supervisor.stop import stop_local_nodes
from grid.supervisor.supervisor import Supervisor
from grid.transport.interfaces import usable_interfaces
from grid.types import counted
from grid.wire.security import bearer_token

_STDERR = 2
"""The highest number of a standard stream."""

SECONDS_MAX = 86_400
"""A wait longer than a day is a slip of the keyboard."""

TOUR = """
a short tour:
  grid up --nodes 4            a whole cluster on this machine, to try it; q ends it
  grid bench --books 4         books, analysed by one process and by a cluster
  grid keygen                  write a secret into cluster.toml, then copy it to each machine
  grid up                      on each machine: the nodes find each other
  grid status                  how the cluster is; also members, partitions, tasks, events
  grid console                 the same, live, from any machine that has cluster.toml
  grid down                    move everything away and stop this machine's node

'grid COMMAND --help' has examples.
"""
"""Below the list of commands."""

UP_EXAMPLES = """
  grid up                      with ./cluster.toml, if there is one
  grid up --nodes 4            four nodes on this machine
  grid up | tee grid.log       lines instead of the live screen
"""
TOKEN_EXAMPLES = """
  curl -H "Authorization: Bearer $(grid token)" http://127.0.0.1:7701/health
"""
KEYGEN_EXAMPLES = """
  grid keygen                          into ./cluster.toml
  scp cluster.toml pc2:                the same file on each machine
"""

LARGE_COMMANDS = {
    "bench": ("grid.bench_command", "analyse novels serially and on the cluster"),
    "chaos": ("grid.chaos_command", "kill nodes of a local cluster and see what is lost"),
    "demo": ("grid.demo_command", "four hosts in miniature: forming, speed, a death, coming back"),
    "sim": ("grid.sim_command", "simulate clusters on a bad network, judged by a checker"),
}
"""Commands that import much, each in its own module: loaded when asked for, because the time
to import is most of the time that a node takes to start."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _open_missing_streams()
    try:
        if list(arguments) == [LOCAL_CLUSTER]:  # For grid.local(), not for people.
            return _local_cluster()
        options = _parser(arguments[0] if arguments else "").parse_command(arguments)
        code: int = options.run(options)
    except ConfigError as error:
        print(f"grid: {error}", file=sys.stderr)
        return 2
    except GridError as error:
        print(f"grid: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return code


def _open_missing_streams() -> None:
    """Have all standard streams, even if whoever started this has closed some (``2>&-``).

    Else the next pipe would get the number of one, and what children print would go there.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  # lives as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(_STDERR, "w", closefd=False)  # noqa: SIM115


def _parser(command: str) -> Parser:
    """Return the parser; of `LARGE_COMMANDS` only `command` knows its options."""
    parser = Parser(
        prog="grid",
        description="A distributed in-memory data grid: one 'grid up' on each machine.",
        epilog=TOUR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def added(
        name: str, help_text: str, examples: str, run: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        command_parser = add_command(commands, name, help_text, examples)
        _add_config(command_parser)
        command_parser.set_defaults(run=run)
        return command_parser

    up = added("up", "start this machine's node", UP_EXAMPLES, _up)
    up.add_argument(
        "--nodes", type=whole_within(1, NODES_MAX), default=1, help="whole nodes to start here (1)"
    )
    up.add_argument("--port", type=int, help="port of the (first) node; 0: any free one")
    up.add_argument("--name", help="what people see this node called (host name)")
    up.add_argument("--workers", type=int, help="worker processes per node (cores)")

    added("down", "stop this machine's nodes of the cluster", "  grid down", _down)

    add_commands(commands, _add_config, _load)

    text = "wait until every partition has a backup and nothing moves"
    example = "  grid wait-safe && ssh pc2 grid down     restart machine after machine"
    wait_safe = added("wait-safe", text, example, _wait_safe)
    wait_safe.add_argument("--connect", metavar="HOST[:PORT]", help="ask this node")
    wait_safe.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="give up after S seconds (60)"
    )

    keygen = added("keygen", "write a new secret into cluster.toml", KEYGEN_EXAMPLES, _keygen)
    keygen.add_argument("--force", action="store_true", help="replace the secret that is there")

    added("token", "print the bearer token for a node's HTTP pages", TOKEN_EXAMPLES, _token)

    for name, (module_name, help_text) in LARGE_COMMANDS.items():
        large = commands.add_parser(
            name,
            help=help_text,
            description=described(help_text),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == command:
            module = importlib.import_module(module_name)
            _add_config(large)
            module.add_options(large)
            large.set_defaults(run=lambda given, module=module: module.run(given, _load(given)))

    example = "  grid partitions; grid accept-loss     see what is lost, then go on without it"
    accept = added("accept-loss", "use lost partitions again, empty", example, _accept_loss)
    accept.add_argument("--connect", metavar="HOST[:PORT]", help="tell this node")
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"configuration ($GRID_CONFIG, else ./{CONFIG_NAME} if there is one, else defaults)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {SECONDS_MAX}")
    return seconds


def _load(options: argparse.Namespace) -> Config:
    return load_config(options.config)


def _client(options: argparse.Namespace) -> Grid:
    config = _load(options)
    with told_if_slow(search_text(config, options.connect), sys.stderr):
        return open_client(config, options.connect)


# -- commands -----------------------------------------------------------------------------


def _up(options: argparse.Namespace) -> int:
    config = configuration.with_overrides(
        _load(options), port=options.port, name=options.name, workers=options.workers
    )
    settings = resolve_nodes(config, options.nodes)
    # Without standard output (``>&-``) the node still runs.
    console = open_console(sys.stdout, sys.stdin)
    observer = ConsoleObserver(console, names_tellers=options.nodes > 1)
    node: Supervisor | Launcher
    # Before the terminal is taken: from here on signals end in order, so it is given back.
    if options.nodes == 1:
        _lead_own_group()
        node = Supervisor(settings[0], observer, keys=console.keys)
    else:
        node = Launcher(settings, observer, keys=console.keys)
    console.start()
    try:
        if configuration.resolve_secret(config) is None:
            observer.event(
                "INFO",
                "no secret configured: serving this machine only ('grid keygen' makes one)",
            )
        elif not settings[0].advertise and _has_only_loopback():
            observer.event(
                "WARNING", "no network interface is up: serving this machine only until one is"
            )
        return node.run()
    finally:
        console.stop()


def _has_only_loopback() -> bool:
    return all(interface.is_loopback for interface in usable_interfaces())


def _lead_own_group() -> None:
    """A node is one process group; a terminal's foreground stays, for Ctrl-C to reach it."""
    try:
        is_foreground = os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        is_foreground = False  # No terminal.
    if not is_foreground and os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def _down(options: argparse.Namespace) -> int:
    config = _load(options)
    strangers: list[str] = []
    with ProgressLine(sys.stderr) as progress:
        stopped = stop_local_nodes(config, progress.show, strangers.append)
    for stranger in strangers:
        print(stranger, file=sys.stderr)
    if not stopped:
        print(f"no node of the cluster {config.cluster.name!r} runs on this machine")
        return 1
    print(f"stopped {counted(stopped, 'node')}")
    return 0


def _wait_safe(options: argparse.Namespace) -> int:
    with _client(options) as client, ProgressLine(sys.stderr) as progress:
        text = wait_until_safe(
            lambda: decode(client.status()),
            options.timeout,
            progress.show,
            time.monotonic,
            time.sleep,
        )
    print(text)
    return 0


def _keygen(options: argparse.Namespace) -> int:
    path = Path(options.config) if options.config else Path(CONFIG_NAME)
    verb = "wrote a new secret into" if path.exists() else "created"
    configuration.keygen(path, force=options.force)
    print(f"{verb} {path.resolve()}; copy this file to every machine of the cluster")
    if may_be_committed(path.resolve()):
        print("git does not ignore this file: take care not to publish the secret", file=sys.stderr)
    return 0


def _token(options: argparse.Namespace) -> int:
    print(bearer_token(resolve_keys(_load(options))))
    return 0


def _accept_loss(options: argparse.Namespace) -> int:
    with _client(options) as client:
        lost = client.lost()
        if not lost:
            print("no partition is lost")
            return 0
        client.accept_loss()
    print(f"{len(lost)} lost partitions will be served again, empty")
    return 0


def _local_cluster() -> int:
    """The other half of `grid.local()`: a request on stdin, readiness on stdout."""
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=LocalRequest)
    settings = resolve_nodes(
        local_config(request), request.nodes, module_paths=request.module_paths
    )

    def say_ready(addresses: list[tuple[str, int]]) -> None:
        print(msgspec.json.encode(LocalReady(addresses)).decode(), flush=True)

    # Standard output is for the one word to the program.
    console = PlainConsole(sys.stderr)
    console.start()
    observer = QuietObserver(console)
    try:
        return Launcher(settings, observer, on_all_admitted=say_ready, stop_fd=0).run()
    finally:
        console.stop()
