"""Entries in a map of the stage's cluster: put there, and looked for later.

Not here: what the books keep in maps of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from grid.api import open_client
from grid.client.session import Grid
from grid.config import load
from grid.demo.stage import Stage

ENTRIES = 5_000
_MAP = "demo"


def _value(number: int) -> str:
    return f"value {number}"


@contextmanager
def _client(stage: Stage) -> Iterator[Grid]:
    """A client on host 1, as a program there would have it."""
    with stage.hosts[0].inside(), open_client(load(stage.config)) as client:
        yield client


def put(stage: Stage) -> None:
    """Put the entries, and wait until the backups have them."""
    with _client(stage) as client:
        client.map(_MAP).put_all({number: _value(number) for number in range(ENTRIES)})
        client.flush()


def missing(stage: Stage) -> int:
    """Return how many of the entries are not there any more, or not what they were."""
    with _client(stage) as client:
        found = client.map(_MAP).get_all(range(ENTRIES))
    return sum(found.get(number) != _value(number) for number in range(ENTRIES))
