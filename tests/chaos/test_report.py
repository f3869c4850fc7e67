"""The document: the names that were asked for, and the verdict."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from grid.chaos.memory import Growth
from grid.chaos.plan import Wishes
from grid.chaos.report import Tally, document_of, render
from grid.verification.findings import Findings

WISHES = Wishes(minutes=1, nodes=4, kill=True, restart=True, rate=1.0, seed=5)
FLAT = Growth("a/network", 600.0, 50e6, 0.0)
GROWING = Growth("a/storage-0", 600.0, 50e6, 20e3)
ASKED_FOR = [
    *("nodes", "operations", "acknowledged", "lost", "lost_reported", "lost_unreported"),
    *("stale_reads", "kills", "restarts", "longest_unavailable_s", "copies_restored_s"),
    *("verdict", "seed"),
]


def test_document_begins_with_the_figures_that_were_asked_for() -> None:
    tally = Tally(kills=3, restarts=2, copies_restored_s=[1.0, 3.0, 2.0])
    document = document_of(WISHES, Findings(operations=9, acknowledged=5), tally)
    assert list(document)[: len(ASKED_FOR)] == ASKED_FOR
    assert document["copies_restored_s"] == {"p50": 2.0, "max": 3.0}
    assert (document["verdict"], document["seed"], document["nodes"]) == ("clean", 5, 4)


def test_without_kills_there_are_no_times() -> None:
    document = document_of(WISHES, Findings(), Tally())
    assert document["copies_restored_s"] == {"p50": None, "max": None}
    assert document["reported_ratio_p50"] is None


def test_median_ratio_is_over_the_kills_that_lost_anything() -> None:
    pairs = [(0, 9), (2, 4), (1, 1), (4, 12)]
    tally = Tally(promotion_reports=[{"lost": a, "reported_at_most": b} for a, b in pairs])
    assert (tally.ratio_p50, tally.under_reported) == (2.0, 0)


@pytest.mark.parametrize(
    "tally",
    [
        Tally(not_restored=1),
        Tally(ballast_missing=1),
        Tally(growths=[GROWING]),
        Tally(promotion_reports=[{"lost": 2, "reported_at_most": 1}]),
    ],
)
def test_broken_promises_violate_also_when_the_history_is_clean(tally: Tally) -> None:
    assert document_of(WISHES, Findings(), tally)["verdict"] == "violated"
    assert document_of(WISHES, Findings(lost_unreported=1), Tally())["verdict"] == "violated"


def test_memory_of_each_process_is_told() -> None:
    document = document_of(WISHES, Findings(), Tally(growths=[FLAT, GROWING]))
    assert [(each["process"], each["is_flat"]) for each in document["memory"]] == [
        ("a/network", True),
        ("a/storage-0", False),
    ]
    console = Console(file=StringIO(), width=100)
    console.print(render(document))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # It is the StringIO.
    assert "flat: 47.7 MiB +0.00 MiB/h over 10 min" in shown
    assert "GROWS: 47.7 MiB +68.66 MiB/h over 10 min" in shown


def test_table_shows_the_figures() -> None:
    console = Console(file=StringIO(), width=80)
    console.print(render(document_of(WISHES, Findings(acknowledged=77), Tally())))
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # It is the StringIO.
    assert "77" in shown
    assert "clean" in shown
