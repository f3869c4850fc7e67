"""The metrics, as Prometheus itself would read them."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from grid.process.counts import NodeCounts
from grid.process.metrics import MEMBERS_MAX, exposition
from grid.process.status import status_document

from .test_events import table
from .test_status import FIRST, SECOND, member, plane

Samples = dict[str, dict[tuple[str, ...], float]]


def document(known: Any = None) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(status_document(plane(known), "library"))
    return result


def read(text: bytes) -> Samples:
    """Return each sample's value by name and label values, these in order of the labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_cluster_is_told_of() -> None:
    found = read(exposition(document(table([FIRST, SECOND], vacant=2, unsynced=3)), NodeCounts()))
    assert found["grid_healthy"] == {(): 0}
    assert found["grid_members"] == {("alive",): 2, ("suspect",): 0, ("dead",): 0, ("left",): 0}
    assert found["grid_partitions"] == {("safe",): 251, ("unprotected",): 3, ("lost",): 2}
    assert found["grid_partitions_moving"] == {(): 0}
    assert found["grid_writes_at_risk"] == {(): 7}
    assert found["grid_unprotected_entries"] == {(): 3}


def test_healthy_cluster_is_1() -> None:
    assert read(exposition(document(table([FIRST, SECOND])), NodeCounts()))["grid_healthy"][()] == 1


def test_every_living_member_has_its_series() -> None:
    shown = document(table([FIRST, SECOND]))
    shown["members"][1] |= {"cpu_percent": 25.0, "memory_percent": 50.0, "age_s": 60.0}
    shown["members"][1] |= {"operations_per_s": 70, "workers": 4}
    shown["members"][1]["tasks"] |= {"done": 9, "retried": 2}
    found = read(exposition(shown, NodeCounts()))
    labels = ("192.0.2.1:7702", SECOND.hex(), member(2).name)  # address, id, member
    of_member = {name: by[labels] for name, by in found.items() if labels in by}
    assert of_member == {
        "grid_member_age_seconds": 60,
        "grid_member_operations_per_second": 70,
        "grid_member_workers": 4,
        "grid_member_cpu_ratio": 0.25,
        "grid_member_memory_ratio": 0.5,
        "grid_member_entries": 20,
        "grid_member_primaries": 128,
        "grid_member_backups": 128,
        "grid_member_writes_at_risk": 4,
        "grid_member_tasks_queued": 5,
        "grid_member_tasks_running": 0,
        "grid_member_tasks_done_total": 9,
        "grid_member_tasks_retried_total": 2,
    }


@pytest.mark.parametrize(("state", "count"), [("suspect", 2), ("dead", 1), ("left", 1)])
def test_member_that_is_gone_is_counted_only(state: str, count: int) -> None:
    shown = document(table([FIRST, SECOND]))
    shown["members"][1]["state"] = state
    found = read(exposition(shown, NodeCounts()))
    assert found["grid_members"][(state,)] == 1
    assert len(found["grid_member_entries"]) == count


def test_node_tells_what_it_has_counted() -> None:
    counts = NodeCounts(
        events={"joined": 3, "dead": 1},
        connections_refused=4,
        datagrams_rejected={"replayed": 5},
        peer_messages_dropped=6,
        writes_lost_at_most=7,
        network_resident_bytes=30_000_000,
    )
    found = read(exposition(document(), counts))
    assert found["grid_events_total"] == {("joined",): 3, ("dead",): 1}
    assert found["grid_connections_refused_total"] == {(): 4}
    assert found["grid_datagrams_rejected_total"] == {("replayed",): 5}
    assert found["grid_peer_messages_dropped_total"] == {(): 6}
    assert found["grid_writes_lost_at_most_total"] == {(): 7}
    assert found["grid_network_process_resident_memory_bytes"] == {(): 30_000_000}


def test_names_keep_the_rules_and_nothing_but_ours_is_told() -> None:
    text = exposition(document(table([FIRST, SECOND])), NodeCounts()).decode()
    families = list(text_string_to_metric_families(text))
    for family in families:
        assert re.fullmatch(r"grid_[a-z_]+", family.name)
        assert family.documentation
        totals = [sample.name.endswith("_total") for sample in family.samples]
        assert all(total == (family.type == "counter") for total in totals)
    assert len({family.name for family in families}) == len(families)


def test_names_with_quotes_and_line_ends_harm_nobody() -> None:
    shown = document()
    shown["members"][0]["name"] = name = 'a "desk"\\\nin the corner é'
    found = read(exposition(shown, NodeCounts()))
    assert name in {labels[2] for labels in found["grid_member_entries"]}


def test_series_of_members_are_bounded() -> None:
    shown = document()
    one = shown["members"][0]
    shown["members"] = [one | {"id": f"{number:032x}"} for number in range(MEMBERS_MAX + 100)]
    found = read(exposition(shown, NodeCounts()))
    assert found["grid_members"][("alive",)] == MEMBERS_MAX + 100
    assert len(found["grid_member_entries"]) == MEMBERS_MAX
