"""Calls that do nothing: what the pool itself costs, one at a time and many at once."""

from __future__ import annotations

from bench.executor_rows.driver import Ask
from bench.executor_rows.run import Run, row_of
from bench.measure import Row

CHUNK = 100
VALUE_BYTES = 100_000
CLUSTERS_SHARE = 4
"""Dask and Ray get a quarter of the empty calls; their rates are rather higher with fewer."""


def single_rows(run: Run) -> list[Row]:
    """One call after the other."""
    name = "one empty call at a time"
    figures, p50_us = run.ask_all(name, Ask("single", run.size.singles))
    notes = "p50 of a call: " + ", ".join(f"{peer} {us:.0f} us" for peer, us in p50_us.items())
    return [row_of("single", name, figures, unit="/s", more_is_better=True, notes=notes)]


def burst_rows(run: Run) -> list[Row]:
    """All submitted, then all waited for."""
    name = f"{run.size.burst:,} empty calls by submit"
    return [_rate(run, "burst", name, Ask("burst", run.size.burst), CLUSTERS_SHARE)]


def map_rows(run: Run) -> list[Row]:
    """All in one call."""
    name = f"{run.size.burst:,} empty calls by map, {CHUNK} a chunk"
    return [_rate(run, "map", name, Ask("map", run.size.burst, CHUNK), CLUSTERS_SHARE)]


def payload_rows(run: Run) -> list[Row]:
    """All submitted, each with a value that comes back."""
    name = f"{run.size.payloads:,} calls with 100 KB there and back"
    return [_rate(run, "payload", name, Ask("payload", run.size.payloads, VALUE_BYTES))]


def _rate(run: Run, kind: str, name: str, ask: Ask, clusters_share: int = 1) -> Row:
    figures, _ = run.ask_all(name, ask, clusters_share=clusters_share)
    notes = "" if clusters_share == 1 else f"dask and ray: {ask.count // clusters_share:,} calls"
    return row_of(kind, name, figures, unit="/s", more_is_better=True, notes=notes)
