"""Whole nodes that die, pause and come back, as real processes on loopback."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes.nodes import Node, ask_until, has_multicast, node, write_config

pytestmark = pytest.mark.skipif(
    not has_multicast(), reason="loopback takes no multicast on this machine"
)

NAMES = ("ann", "ben", "cat", "dan")
ALL_ALIVE = {name: ["alive"] for name in NAMES}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, Node]]:
    """Four separate nodes that are one cluster."""
    config = write_config(tmp_path, multicast=True, secret="a secret of this test")
    with ExitStack() as stack:
        nodes = {
            name: stack.enter_context(node("--config", str(config), "--name", name))
            for name in NAMES
        }
        for started in nodes.values():
            started.wait_until_ready()
        for watched in nodes.values():
            ask_until(sees(watched, ALL_ALIVE))
        yield nodes


def states(asked: Node) -> dict[str, list[str]]:
    """Return each member's states as a node sees them, its former boot ids' included."""
    seen: dict[str, list[str]] = {}
    for member in asked.status()["members"]:
        seen.setdefault(member["name"], []).append(member["state"])
    return {name: sorted(found) for name, found in seen.items()}


def sees(watching: Node, expected: dict[str, list[str]]) -> Callable[[], bool]:
    """Return the question whether a node sees just these states."""
    return lambda: states(watching) == expected


def others(cluster: dict[str, Node], name: str) -> list[Node]:
    return [other for key, other in cluster.items() if key != name]


def signal_node(target: Node, number: signal.Signals) -> None:
    """Send a signal to every process of a node: it is one process group."""
    target.family()
    os.killpg(target.process.pid, number)


def test_killed_node_is_dead_to_all_and_nobody_else_is(cluster: dict[str, Node]) -> None:
    signal_node(cluster["cat"], signal.SIGKILL)
    for watching in others(cluster, "cat"):
        watching.wait_for(r"dead member=cat ")
        assert states(watching) == ALL_ALIVE | {"cat": ["dead"]}


def test_node_restarted_at_the_same_address_is_a_new_member_at_once(
    cluster: dict[str, Node], tmp_path: Path
) -> None:
    victim = cluster["ben"]
    port = str(victim.port)
    signal_node(victim, signal.SIGKILL)
    victim.end()
    config = str(tmp_path / "cluster.toml")
    with node("--config", config, "--name", "ben", "--port", port) as successor:
        successor.wait_until_ready()
        expected = ALL_ALIVE | {"ben": ["alive", "dead"]}
        for watching in others(cluster, "ben"):
            ask_until(sees(watching, expected))


@pytest.mark.parametrize("pause_s", [1.5, 4.0])
def test_short_pause_kills_nobody(cluster: dict[str, Node], pause_s: float) -> None:
    paused = cluster["dan"]
    signal_node(paused, signal.SIGSTOP)
    # The length of the pause is what is tested; there is nothing to wait for.
    signal.sigtimedwait([], pause_s)
    signal_node(paused, signal.SIGCONT)
    # Whoever suspected it must have been refuted, and nobody else may be blamed by the sleeper.
    for watching in cluster.values():
        ask_until(sees(watching, ALL_ALIVE))


def test_node_paused_until_it_is_dead_comes_back_as_a_new_member(
    cluster: dict[str, Node],
) -> None:
    paused = cluster["ann"]
    signal_node(paused, signal.SIGSTOP)
    for watching in others(cluster, "ann"):
        watching.wait_for(r"dead member=ann ")
    signal_node(paused, signal.SIGCONT)
    expected = ALL_ALIVE | {"ann": ["alive", "dead"]}
    for watching in others(cluster, "ann"):
        ask_until(sees(watching, expected))
    paused.wait_until_ready()
    ask_until(sees(paused, ALL_ALIVE))
