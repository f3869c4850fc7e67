"""Clusters of every size that is promised: they form, share out the partitions, run the books."""

from __future__ import annotations

import pytest

import grid
from grid.books.corpus import Book, Corpus
from grid.books.pseudonovel import write
from grid.books.run import run_parallel
from grid.books.serial import run_serial
from grid.console.document import decode
from grid.console.safety import judge
from grid.hosts.host import Host
from grid.hosts.network import lan, wait_until
from grid.types import PARTITION_COUNT
from tests.hosts.test_formation import form, told_by

pytestmark = pytest.mark.usefixtures("hosts_are_possible")

BOOKS = 12
CHARACTERS = 6_000
"""Of each book: what is tried is where they go, not how long they take."""


def small_corpus() -> Corpus:
    texts = [write(number)[:CHARACTERS] for number in range(BOOKS)]
    books = [Book(f"book {n}", "", f"{n}.txt", text) for n, text in enumerate(texts)]
    return Corpus("a small corpus", tuple(books), generated=True)


def primaries_when_safe(host: Host) -> list[int]:
    """Return how many partitions each member owns once nothing moves; nothing before."""
    document = host.status()
    if document is None or not judge(decode(document)).is_safe:
        return []
    return [member["primaries"] for member in document["members"]]


@pytest.mark.parametrize("count", [2, 3, 5, 8, 12])
def test_hosts_form_a_cluster_share_out_the_partitions_and_run_the_books(count: int):
    corpus = small_corpus()
    with lan(hosts=count) as net:
        form(net.hosts)
        first = net.hosts[0]
        wait_until(lambda: bool(primaries_when_safe(first)), lambda: told_by(first))
        owned = primaries_when_safe(first)
        assert sum(owned) == PARTITION_COUNT
        assert len(owned) == count
        assert max(owned) - min(owned) <= 1
        with first.inside(), grid.connect(config=str(net.config)) as client:
            parallel = run_parallel(client, corpus, lambda done, known: None)
    report, _, parts = run_serial(corpus)
    assert parallel.report == report
    assert parallel.parts == parts == BOOKS
    assert parallel.tasks_retried == 0
