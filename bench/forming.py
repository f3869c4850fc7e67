"""Nodes started at the same moment: do they always end in one cluster, and how soon?

Each round starts separate ``grid up`` commands (own ports, one multicast group) and asks
every node, from outside, until all list the same members and serve the same table.

    python -m bench.forming [--rounds 40] [--nodes 4] [--json FILE]
"""

from __future__ import annotations

import argparse
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

from bench.measure import machine
from grid.errors import ConnectError, ProtocolError
from grid.transport.blocking import connect
from grid.transport.unix import local_node_ports
from grid.wire.catalog import decode_client_reply, encode
from grid.wire.control import View, ViewWanted
from grid.wire.handshake import Purpose

ROUND_DEADLINE_S = 60.0
ASK_INTERVAL_S = 0.02


def view_of(port: int) -> View | None:
    """Ask the node on a local port for its view; None when it is not ready for questions."""
    try:
        connection = connect(port, None, Purpose.CONTROL, timeout_s=5.0)
    except (ConnectError, ProtocolError):
        return None
    try:
        connection.send_frame(encode(ViewWanted(1)))
        reply = decode_client_reply(connection.receive_frame())
    except OSError:
        return None
    finally:
        connection.close()
    return reply if isinstance(reply, View) else None


def run_round(config: Path, cluster: str, nodes: int) -> tuple[float, float]:
    """Start the nodes; return the seconds until all see each other, and until one table.

    Raises: TimeoutError when they do not become one cluster.
    """
    started_s = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "grid", "up", "--config", str(config), "--name", f"n{number}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        for number in range(nodes)
    ]
    seen_s = 0.0
    try:
        while True:
            views = [view for view in map(view_of, local_node_ports()) if view is not None]
            views = [view for view in views if view.cluster == cluster]
            elapsed_s = time.monotonic() - started_s
            if len(views) == nodes and all(len(view.nodes) == nodes for view in views):
                seen_s = seen_s or elapsed_s
                tables = {view.table for view in views}
                table = tables.pop()
                if not tables and table is not None and len(table.order) == nodes:
                    return seen_s, elapsed_s
            if elapsed_s > ROUND_DEADLINE_S:
                raise TimeoutError(f"{nodes} nodes were not one cluster after {elapsed_s:.0f} s")
            time.sleep(ASK_INTERVAL_S)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(timeout=30)


def main() -> int:
    """Run the rounds and print; return 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seen: list[float] = []
    joined: list[float] = []
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            cluster = f"forming-{secrets.token_hex(4)}"
            config = Path(folder, "cluster.toml")
            config.write_text(
                f'[cluster]\nname = "{cluster}"\n'
                "[node]\nport = 0\nworkers = 1\nstorage_processes = 1\n"
            )
            try:
                seen_s, joined_s = run_round(config, cluster, options.nodes)
            except TimeoutError as error:
                failures += 1
                print(f"round {number + 1}: {error}")
                continue
            seen.append(seen_s)
            joined.append(joined_s)
            print(f"round {number + 1}: see each other {seen_s:.2f} s, one table {joined_s:.2f} s")
    figures = {
        "machine": machine(),
        "rounds": options.rounds,
        "nodes": options.nodes,
        "failures": failures,
        "see_each_other_s": {"p50": statistics.median(seen), "max": max(seen)} if seen else None,
        "one_table_s": {"p50": statistics.median(joined), "max": max(joined)} if joined else None,
    }
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(figures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
