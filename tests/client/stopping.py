"""Stops processes of a cluster, and always lets them go on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import psutil

from grid.client.session import Grid


def supervisor_of(client: Grid, node_id: bytes) -> psutil.Process:
    """Return the first process of a node's family."""
    pids = {member["id"]: member["pid"] for member in client.status()["members"]}
    return psutil.Process(pids[node_id.hex()])


def family_of(client: Grid, node_id: bytes, name: str = "grid-") -> list[psutil.Process]:
    """Return a node's processes whose names begin so."""
    children = supervisor_of(client, node_id).children(recursive=True)
    return [process for process in children if process.name().startswith(name)]


@contextlib.contextmanager
def stopped(processes: list[psutil.Process]) -> Iterator[Callable[[], None]]:
    """Stop processes; yield what lets them go on, at the latest when the block ends."""
    assert processes

    def go_on() -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    for process in processes:
        process.suspend()
    try:
        yield go_on
    finally:
        go_on()
