"""One blocking get of 100 B through the one-hop path, beside a plain TCP echo.

The echo is the floor: two blocking Python processes on loopback that exchange the same
number of bytes. Client on one core, the other side on another, both pairs pinned alike.

    python -m bench.hotpath [--rounds 9] [--calls 2000] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.measure import (
    Row,
    interleaved,
    local_processes,
    median_ratio,
    microseconds_per_call,
    pin,
    publish,
)
from grid.api import local_cluster
from grid.client.options import ClientOptions

VALUE = bytes(100)
ECHO_BYTES = 140
"""About what a get's request or reply takes on the wire, frame included."""

TARGET_RATIO = 1 / 1.3
"""A get may take 1.3 times as long as the echo (85 us where the echo takes 66)."""

_ECHO_SERVER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while data := connection.recv(65536):
    connection.sendall(data)
"""


class Echo:
    """A plain echo server in a process of its own, and a connection to it."""

    def __init__(self) -> None:
        """Start the server and connect."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ECHO_SERVER], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self) -> None:
        """Send and receive once."""
        self.socket.sendall(bytes(ECHO_BYTES))
        self.socket.recv(65_536)

    def close(self) -> None:
        """Disconnect; the server ends with its connection."""
        self.socket.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait(timeout=10)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    echo = Echo()
    with (
        local_cluster(nodes=1, workers=1, storage_processes=1) as cluster,
        cluster.client(ClientOptions(unix_sockets=False)) as by_tcp,
        cluster.client() as by_unix,
    ):
        tcp_map, unix_map = by_tcp.map("bench"), by_unix.map("bench")
        tcp_map.put("key", VALUE)
        calls: dict[str, Callable[[], object]] = {
            "echo": echo.call,
            "get tcp": lambda: tcp_map.get("key"),
            "put tcp": lambda: tcp_map.put("key", VALUE),
            "get unix": lambda: unix_map.get("key"),
        }
        assert unix_map.get("key") == VALUE
        pin(cores[0], cores[-1], local_processes())
        times = interleaved(
            {n: partial(microseconds_per_call, c, options.calls) for n, c in calls.items()},
            options.rounds,
        )
    echo.close()
    floor = statistics.median(times["echo"])
    rows = [
        Row(
            f"{name}, 100 B, against a plain TCP echo",
            statistics.median(times[name]),
            "us",
            {"echo": floor},
            {"echo": median_ratio(times["echo"], times[name])},
            TARGET_RATIO if name == "get tcp" else None,
        )
        for name in calls
        if name != "echo"
    ]
    publish(f"The one-hop path ({options.rounds} interleaved rounds, medians)", rows, options.json)


if __name__ == "__main__":
    main()
