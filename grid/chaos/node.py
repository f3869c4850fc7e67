"""One node as a process of its own, started by `nodes.py`: ``python -m grid.chaos.node FD``.

It leads a process group, so one signal ends all of it, and stops by itself when the pipe FD ends,
as a node under a launcher does. The first message on the pipe is a `NodeRequest`.

Runs in: supervisor.
"""

from __future__ import annotations

import dataclasses
import sys
from multiprocessing.connection import Connection

import msgspec

from grid.config import Config
from grid.supervisor.observer import PipeObserver
from grid.supervisor.resolve import resolve_nodes
from grid.supervisor.supervisor import Supervisor


class NodeRequest(msgspec.Struct, frozen=True):
    """What a node is told at its start: its configuration, and whom it may meet."""

    config: Config
    seeds: list[str]
    module_paths: list[str]


def main(fd: int) -> int:
    """Run the node; return its exit code."""
    pipe = Connection(fd)
    request = msgspec.json.decode(pipe.recv_bytes(), type=NodeRequest)
    discovery = dataclasses.replace(request.config.discovery, seeds=tuple(request.seeds))
    config = dataclasses.replace(request.config, discovery=discovery)
    (settings,) = resolve_nodes(config, 1, module_paths=request.module_paths)
    return Supervisor(settings, PipeObserver(pipe), pipe).run()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
