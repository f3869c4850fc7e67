"""What a node tells Prometheus: the status document and the node's own counts, as metrics.

Responsible for: names, units and labels of the metrics, and their text.

Not responsible for: gathering (``network.py``), sending (``http.py``). prometheus_client knows
the format; its global registry, which counts things of its own, is not used.

Departures and omissions. All figures are made at the moment of a scrape, so nothing is kept
between two of them. Every node tells of every member, as its status does: to scrape one node is
enough, and to sum over several counts members several times. Of more than `MEMBERS_MAX` members
only the first have series of their own, because the process that writes them also answers pings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from grid.process.counts import NodeCounts
from grid.process.health import unhealthy_because

CONTENT_TYPE = CONTENT_TYPE_LATEST

MEMBERS_MAX = 256
"""Members with series of their own: a quarter of a megabyte, in some ten milliseconds."""

MEMBER_LABELS = ("member", "address", "id")

Figure = Callable[[dict[str, Any]], float]
"""One figure of a member, out of its part of the status document."""


def exposition(document: dict[str, Any], counts: NodeCounts) -> bytes:
    """Return everything in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(document, counts))
    return generate_latest(registry)


class _Scrape(Collector):
    """The metrics of one moment."""

    def __init__(self, document: dict[str, Any], counts: NodeCounts) -> None:
        self._document = document
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        yield from _of_cluster(self._document)
        yield from _of_members(self._document)
        yield from _of_node(self._counts)


def _of_cluster(document: dict[str, Any]) -> Iterator[Metric]:
    states = Counter({"alive": 0, "suspect": 0, "dead": 0, "left": 0})
    states.update(member["state"] for member in document["members"])
    partitions = document["partitions"]
    yield GaugeMetricFamily(
        "grid_healthy",
        "1 if every partition is served and has the backup it shall have, else 0.",
        value=not unhealthy_because(document),
    )
    yield _labelled(
        GaugeMetricFamily(
            "grid_members", "Members by state; of those gone the latest.", labels=["state"]
        ),
        states,
    )
    yield _labelled(
        GaugeMetricFamily("grid_partitions", "Partitions by state.", labels=["state"]),
        {state: partitions[state] for state in ("safe", "unprotected", "lost")},
    )
    yield GaugeMetricFamily(
        "grid_partitions_moving",
        "Partitions that a further node is being filled with.",
        value=partitions["moving"],
    )
    yield GaugeMetricFamily(
        "grid_writes_at_risk",
        "Acknowledged writes that the backups do not have yet.",
        value=document["writes_at_risk"],
    )
    yield GaugeMetricFamily(
        "grid_unprotected_entries",
        "Entries without a complete backup.",
        value=document["unprotected_entries"],
    )


_MEMBER_GAUGES: tuple[tuple[str, str, Figure], ...] = (
    ("age_seconds", "Since the member started, by its own word.", lambda m: m["age_s"]),
    (
        "cpu_ratio",
        "How busy the member's machine is, from 0 to 1.",
        lambda m: m["cpu_percent"] / 100,
    ),
    (
        "memory_ratio",
        "How much of its machine's memory is in use, from 0 to 1.",
        lambda m: m["memory_percent"] / 100,
    ),
    (
        "operations_per_second",
        "Operations on maps, each key of a batch counted.",
        lambda m: m["operations_per_s"],
    ),
    ("entries", "Entries held first-hand.", lambda m: m["entries"]),
    ("primaries", "Partitions held first-hand.", lambda m: m["primaries"]),
    (
        "backups",
        "Partitions of others held as their backup, complete or not.",
        lambda m: m["backups"],
    ),
    (
        "writes_at_risk",
        "Its acknowledged writes that a backup does not have yet.",
        lambda m: m["at_risk"],
    ),
    ("workers", "Processes that run tasks.", lambda m: m["workers"]),
    ("tasks_queued", "Tasks that wait for a worker.", lambda m: m["tasks"]["queued"]),
    ("tasks_running", "Tasks that a worker has.", lambda m: m["tasks"]["running"]),
)
_MEMBER_COUNTERS: tuple[tuple[str, str, Figure], ...] = (
    ("tasks_done", "Tasks that have ended there.", lambda m: m["tasks"]["done"]),
    (
        "tasks_retried",
        "Tasks started there after a worker or a node had died under them.",
        lambda m: m["tasks"]["retried"],
    ),
)


def _of_members(document: dict[str, Any]) -> Iterator[Metric]:
    living = [m for m in document["members"] if m["state"] in ("alive", "suspect")]
    shown = living[:MEMBERS_MAX]
    for kind, figures in (
        (GaugeMetricFamily, _MEMBER_GAUGES),
        (CounterMetricFamily, _MEMBER_COUNTERS),
    ):
        for name, text, figure in figures:
            family = kind(f"grid_member_{name}", text, labels=MEMBER_LABELS)
            for member in shown:
                family.add_metric((member["name"], member["address"], member["id"]), figure(member))
            yield family


def _of_node(counts: NodeCounts) -> Iterator[Metric]:
    yield _labelled(
        CounterMetricFamily(
            "grid_events", "What has happened, as this node saw it, by kind.", labels=["kind"]
        ),
        counts.events,
    )
    yield CounterMetricFamily(
        "grid_connections_refused",
        "Connections to this node that did not prove the secret.",
        value=counts.connections_refused,
    )
    yield _labelled(
        CounterMetricFamily(
            "grid_datagrams_rejected", "Datagrams this node refused.", labels=["reason"]
        ),
        counts.datagrams_rejected,
    )
    yield CounterMetricFamily(
        "grid_peer_messages_dropped",
        "Messages to other nodes given up for a link that was not to be had.",
        value=counts.peer_messages_dropped,
    )
    yield CounterMetricFamily(
        "grid_writes_lost_at_most",
        "Acknowledged writes that nodes may have taken along whose partitions this one took over.",
        value=counts.writes_lost_at_most,
    )
    yield GaugeMetricFamily(
        "grid_network_process_resident_memory_bytes",
        "Resident memory of this node's network process.",
        value=counts.network_resident_bytes,
    )


def _labelled(
    family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, int]
) -> GaugeMetricFamily | CounterMetricFamily:
    """Return `family` with a sample for each label of `values`."""
    for label, value in values.items():
        family.add_metric((label,), value)
    return family
