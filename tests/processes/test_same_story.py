"""A node is killed, and whoever is asked what has happened tells the same: the status, the events,
the console and the log lines of the nodes."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import grid
from grid.api import open_connections
from grid.client.session import status_from
from grid.config import load
from grid.console.terminal import PlainConsole
from grid.console.watching import News, Watch
from tests.processes.nodes import Node, ask_until, node, run_grid, write_config

NAMES = ("ann", "ben", "cat")
VICTIM = "cat"
SURVIVORS = ("ann", "ben")
ALL = 256
ENTRIES = 500


@pytest.fixture(name="cluster")
def fixture_cluster(tmp_path: Path) -> Iterator[dict[str, Node]]:
    """Three separate nodes that are one cluster, everything with a backup."""
    first = write_config(tmp_path, secret="a secret of this test")
    with ExitStack() as stack:
        nodes: dict[str, Node] = {}
        config = first
        for name in NAMES:
            nodes[name] = stack.enter_context(node("--config", str(config), "--name", name))
            port = nodes[name].wait_until_ready()
            if config is first:
                config = tmp_path / "seeded.toml"
                seeds = f'seeds = ["127.0.0.1:{port}"]'
                config.write_text(f"{first.read_text()}\n        {seeds}\n")
        for watched in nodes.values():
            ask_until(partial(is_whole, watched, len(NAMES)))
        yield nodes


def is_whole(asked: Node, nodes: int) -> bool:
    """Whether so many nodes share what is all safe, as one of them sees it."""
    status = asked.status()
    holding = [member for member in status["members"] if member["primaries"]]
    counts = status["partitions"]
    return len(holding) == nodes and counts["safe"] == ALL and not counts["moving"]


def asked_for(command: str, of: Node) -> Any:
    """Return what a command answers to programs."""
    config = of.arguments[of.arguments.index("--config") + 1]
    given = ("--config", config, "--connect", f"127.0.0.1:{of.port}")
    answer = run_grid(command, "--json", *given)
    assert (answer.returncode, answer.stderr) == (0, "")
    return json.loads(answer.stdout)


def console_lines(of: Node) -> list[str]:
    """Return what the console prints where it has no screen."""
    config = load(Path(of.arguments[of.arguments.index("--config") + 1]))
    stream = StringIO()
    with closing(open_connections(config, f"127.0.0.1:{of.port}")) as connections:
        Watch(PlainConsole(stream)).show(News(status_from(connections), connections.events()))
    return stream.getvalue().splitlines()


def took_over(lines: list[str]) -> list[tuple[int, int]]:
    """Return the partitions, and the writes lost at most, of each takeover that is told."""
    pattern = rf"took over (\d+) partitions? of {VICTIM}; (?:at most (\d+)|no) writes? lost"
    found = (re.search(pattern, line) for line in lines)
    return sorted((int(match[1]), int(match[2] or 0)) for match in found if match)


def took_over_in_log(lines: list[str]) -> list[tuple[int, int]]:
    """Return the same of the lines of a log."""
    pattern = rf"took over source={VICTIM} partitions=(\d+) lost_at_most=(\d+)"
    found = (re.search(pattern, line) for line in lines)
    return sorted((int(match[1]), int(match[2])) for match in found if match)


def is_over(asked: Node) -> bool:
    """Whether a survivor knows of the death, of all that followed, and of its peer's entries."""
    members = asked.status()["members"]
    states = sorted(member["state"] for member in members)
    entries = sum(member["entries"] for member in members)
    return states == ["alive", "alive", "dead"] and is_whole(asked, 2) and entries == ENTRIES


def test_all_tell_the_same_of_a_death_and_that_it_cost_nothing_after_a_flush(
    cluster: dict[str, Node],
) -> None:
    before = {member["name"]: member for member in cluster["ann"].status()["members"]}
    boot_id, address = before[VICTIM]["id"][:8], before[VICTIM]["address"]
    log_line = f"dead member={VICTIM} id={boot_id} address={address}"
    connected_to = f"127.0.0.1:{cluster['ann'].port}"
    with grid.connect(connected_to, config=cluster["ann"].arguments[1]) as client:
        for number in range(ENTRIES):
            client.map("books").put(number, number)
        client.flush()
        os.killpg(cluster[VICTIM].process.pid, signal.SIGKILL)
    for name in SURVIVORS:
        ask_until(partial(is_over, cluster[name]))
        for _ in range(2):  # A table that leaves it out may be here before the gossip.
            cluster[name].wait_for(f"{re.escape(log_line)}|took over source={VICTIM}")
    # What is true of all is logged by the coordinator, which is the oldest.
    cluster["ann"].wait_for("balanced, all partitions have a backup")
    for name in SURVIVORS:
        assert sum(log_line in line for line in cluster[name].lines) == 1
        dead = f"{VICTIM} ({boot_id}, {address}) is dead"
        compare(cluster[name], dead, before[VICTIM]["primaries"])


def compare(survivor: Node, dead: str, primaries: int) -> None:
    """Whatever a survivor is asked, it tells of this death, and of `primaries` taken over."""
    status = asked_for("status", survivor)
    states = {member["name"]: member["state"] for member in status["members"]}
    assert states == {"ann": "alive", "ben": "alive", VICTIM: "dead"}
    assert sum(member["primaries"] for member in status["members"]) == ALL

    events = asked_for("events", survivor)
    deaths = [event for event in events if event["kind"] == "dead"]
    assert sorted((event["node"], event["text"]) for event in deaths) == [
        (name, dead) for name in SURVIVORS
    ]
    promotions = {event["node"]: event for event in events if event["kind"] == "promoted"}
    assert sum(event["fields"]["partitions"] for event in promotions.values()) == primaries
    assert {event["fields"]["lost_at_most"] for event in promotions.values()} == {0}
    (protected,) = (
        event
        for event in events
        if event["kind"] == "protected" and event["time_s"] > deaths[0]["time_s"]
    )
    assert protected["fields"] == {"partitions": ALL}

    lines = console_lines(survivor)
    assert f"2 alive, 1 dead; all {ALL} partitions are safe." in lines[-1]
    tellers = {teller for line in lines if dead in line for teller in told_by(line)}
    assert tellers == set(SURVIVORS)
    assert took_over(lines) == took_over([event["text"] for event in promotions.values()])
    assert any(line.endswith(protected["text"]) for line in lines)

    own_name = survivor.arguments[survivor.arguments.index("--name") + 1]
    own = [event["text"] for node, event in promotions.items() if node == own_name]
    assert took_over_in_log(survivor.lines) == took_over(own)


def told_by(line: str) -> list[str]:
    """Return the nodes that a line of the console names as tellers."""
    _, _, rest = line.split(maxsplit=2)
    return rest.partition(": ")[0].split(", ")
