"""The real client and the real nodes are what a run expects; the type checker says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grid.chaos.nodes import LocalNodes
from grid.chaos.target import Client, Entries, Nodes
from grid.client.map import Map
from grid.client.session import Grid

if TYPE_CHECKING:

    def client_of(grid: Grid) -> Client:
        return grid

    def entries_of(entries: Map[str, Any]) -> Entries:
        return entries

    def nodes_of(nodes: LocalNodes) -> Nodes:
        return nodes


def test_every_call_exists() -> None:
    for expected, real in ((Client, Grid), (Entries, Map), (Nodes, LocalNodes)):
        names = [name for name in vars(expected) if not name.startswith("_")]
        assert names
        assert all(callable(getattr(real, name)) for name in names)
