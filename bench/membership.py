"""How soon a death is known, what membership sends, how soon nodes find each other.

Simulated rows run the shipped core on virtual time (``grid sim`` runs the same); real rows
start ``grid up`` and kill it. Published figures of other systems stand beside ours where
there are any; they were measured elsewhere, so their ratio says what is promised, not a race.

    python -m bench.membership [--quick] [--json FILE] [--picture FILE.png]

Not here: throughput of anything.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.measure import Row, publish
from grid.hosts import netns
from grid.hosts.network import lan
from grid.hosts.node_process import NodeProcess
from grid.simulation.scenarios import join_at_once, split_and_heal
from grid.simulation.trial import Outcome, Plan, Trial
from tests.processes.nodes import Node, node, write_config

POLL_S = 0.005
FORMING_POLL_S = 0.05
"""Twelve nodes that start need both cores more than the question does."""
REAL_DEADLINE_S = 60.0

SWIM_MESSAGES = 2.0
"""Messages sent per member and period, to n = 55 (SWIM section 5, Fig. 2)."""
MEMBERLIST_SUSPICION_S = {4: 4.0, 10: 4.0, 100: 8.0, 1000: 12.0}
"""Shortest suspicion time of memberlist's LAN defaults (config.go, suspicionTimeout), after a
probe of 1 s: 4 * max(1, log10 n) seconds."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The simulated figures of one size."""

    nodes: int
    quiet: Outcome
    quiet_with_loss: Outcome
    crashing: Outcome


def at_most(name: str, value: float, unit: str, limit: float, **peers: float) -> Row:
    """Return a row that is good when `value` is at most `limit`."""
    ratios = {peer: known / value for peer, known in peers.items()}
    row = Row(name, value, unit, peers, {"limit": limit / value, **ratios}, notes=f"<= {limit:g}")
    row.ok = value <= limit
    return row


# -- simulated ------------------------------------------------------------------------------------


def simulate(nodes: int, *, is_quick: bool) -> Measured:
    """Run the three trials of one size."""
    # Large crowds have many samples a minute; small ones need more minutes for as many.
    quiet_minutes = max(0.5, min(10.0, 400 / nodes)) / (4 if is_quick else 1)
    crash_minutes = 4.0 if is_quick else 12.0

    def run(minutes: float, loss: float, *, has_crashes: bool) -> Outcome:
        trial = Trial(
            Plan(
                nodes=nodes,
                minutes=minutes,
                loss=loss,
                stalls_per_node_hour=6.0 if has_crashes else 0.0,
                has_crashes=has_crashes,
            )
        )
        gc.collect()
        gc.freeze()
        outcome = trial.run()
        gc.unfreeze()
        print(
            f"  {nodes} nodes, {minutes:g} min, loss {loss:.0%}, crashes {has_crashes}: "
            f"{outcome.wall_s:.1f} s, trace {outcome.trace_hash}",
            flush=True,
        )
        return outcome

    return Measured(
        nodes,
        run(quiet_minutes, 0.0, has_crashes=False),
        run(quiet_minutes, 0.05, has_crashes=False),
        run(crash_minutes, 0.05, has_crashes=True),
    )


def rows_of(measured: Measured) -> list[Row]:
    """Return the rows of one size, against the figures to reach."""
    n = measured.nodes
    first, known = measured.crashing.first_detection_s, measured.crashing.all_know_s
    known_limit_s = 13.0 if n == 2 else 10.0 if n <= 10 else 12.0
    peers = {}
    if n in MEMBERLIST_SUSPICION_S:
        peers["memberlist_at_least"] = 1.0 + MEMBERLIST_SUSPICION_S[n]
    datagrams = measured.quiet.datagrams_per_member_period
    with_loss = measured.quiet_with_loss.datagrams_per_member_period
    outcomes = (measured.quiet, measured.quiet_with_loss, measured.crashing)
    largest = max(outcome.max_datagram_bytes for outcome in outcomes)
    rows = [
        at_most(f"N={n}: dead machine first detected, median", statistics.median(first), "s", 10),
        at_most(f"N={n}: known to all, median", statistics.median(known), "s", 10, **peers),
        at_most(f"N={n}: known to all, max", max(known), "s", known_limit_s),
        at_most(f"N={n}: datagrams per member and period", datagrams, "", 2.3, swim=SWIM_MESSAGES),
        at_most(f"N={n}: the same at 5 % loss", with_loss, "", 3.5),
        at_most(f"N={n}: largest datagram", largest, "B", 1200),
    ]
    if n == 2:
        # Nobody can confirm: the suspicion takes its full time by design.
        del rows[:2]
    false_deaths = sum(len(outcome.false_deaths) for outcome in outcomes)
    hours = sum(outcome.node_hours for outcome in outcomes)
    row = Row(f"N={n}: false deaths in {hours:.1f} node-hours", false_deaths, "", {}, {})
    row.ok = false_deaths == 0
    return [*rows, row]


def scenario_rows(*, is_quick: bool) -> list[Row]:
    """Splits that heal, and many nodes that start at once."""
    seeds = range(2 if is_quick else 5)
    splits = [
        split_and_heal(nodes, seed, multicast=multicast)
        for nodes in (4, 10, 40)
        for seed in seeds
        for multicast in (True, False)
    ]
    joins = [join_at_once(100, seed) for seed in (seeds if not is_quick else range(1))]
    return [
        at_most("one view after a 60 s split of half the nodes, max", max(splits), "s", 60),
        at_most("100 nodes that join at once have one view, max", max(joins), "s", 30),
    ]


# -- real -----------------------------------------------------------------------------------------


@contextmanager
def four_nodes() -> Iterator[dict[str, Node]]:
    """Four ``grid up`` on loopback that are one cluster."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        config = write_config(Path(folder), multicast=True)
        nodes = {
            name: stack.enter_context(node("--config", str(config), "--name", name))
            for name in ("a", "b", "c", "d")
        }
        for started in nodes.values():
            started.wait_until_ready()
        yield nodes


def wait_for(question: Callable[[], bool], poll_s: float = POLL_S) -> None:
    """Look often until the answer is yes."""
    deadline_s = time.monotonic() + REAL_DEADLINE_S
    while not question():
        if time.monotonic() > deadline_s:
            raise TimeoutError("it did not happen")
        time.sleep(poll_s)


def has_joined(watching: NodeProcess, count: int) -> bool:
    """Whether a node has printed that `count` others joined."""
    return watching.so_far().count("joined member=") >= count


def killed_known_s() -> float:
    """Kill one node of four, all its processes; return the seconds until the others say so."""
    with four_nodes() as nodes:
        victim = nodes.pop("c")
        for watching in nodes.values():
            wait_for(partial(has_joined, watching, 3))
        # The watching connections are made in the period after the last join.
        time.sleep(2.0)
        victim.family()
        started_s = time.monotonic()
        os.killpg(victim.process.pid, signal.SIGKILL)
        wait_for(lambda: all("dead member=" in other.so_far() for other in nodes.values()))
        return time.monotonic() - started_s


def hosts_form_s(count: int) -> float:
    """Start a node on each of `count` hosts in miniature; return the seconds until all see all."""
    with lan(hosts=count) as net:
        started_s = time.monotonic()
        nodes = [host.start() for host in net.hosts]
        wait_for(lambda: all(has_joined(watching, count - 1) for watching in nodes), FORMING_POLL_S)
        return time.monotonic() - started_s


def real_rows(*, is_quick: bool) -> list[Row]:
    """Kill real nodes, and let hosts in miniature form a cluster."""
    kills = [killed_known_s() for _ in range(5 if is_quick else 20)]
    print(f"  kill -9 known to all: {', '.join(f'{kill:.2f}' for kill in kills)} s", flush=True)
    rows = [
        at_most("kill -9 of a node of four known to all, median", statistics.median(kills), "s", 1)
    ]
    if missing := netns.unavailable():
        print(f"  no hosts in miniature: {missing}")
        return rows
    for count, limit_s in ((4, 2.0), (12, 4.0)):
        forming = [hosts_form_s(count) for _ in range(1 if is_quick else 5)]
        print(
            f"  {count} hosts formed: {', '.join(f'{took:.2f}' for took in forming)} s", flush=True
        )
        rows.append(
            at_most(
                f"{count} hosts see each other, median", statistics.median(forming), "s", limit_s
            )
        )
    return rows


# -- picture --------------------------------------------------------------------------------------


def draw(sizes: list[Measured], path: Path) -> None:
    """Draw detection time and datagrams against the number of nodes."""
    try:
        from matplotlib import pyplot  # noqa: PLC0415  # only this needs it
    except ImportError:
        print("no picture: it needs matplotlib (pip install '.[bench]')", file=sys.stderr)
        return
    counts = [measured.nodes for measured in sizes]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for label, values in (
        (
            "first node knows, median",
            [statistics.median(m.crashing.first_detection_s) for m in sizes],
        ),
        ("all know, median", [statistics.median(m.crashing.all_know_s) for m in sizes]),
        ("all know, max", [max(m.crashing.all_know_s) for m in sizes]),
    ):
        left.plot(counts, values, marker="o", label=label)
    left.set(title="A machine dies, 5 % of datagrams are lost", ylabel="seconds", ylim=(0, 14))
    for label, values in (
        ("no loss", [m.quiet.datagrams_per_member_period for m in sizes]),
        ("5 % loss", [m.quiet_with_loss.datagrams_per_member_period for m in sizes]),
    ):
        right.plot(counts, values, marker="o", label=label)
    right.axhline(SWIM_MESSAGES, linestyle=":", color="grey", label="SWIM paper, Fig. 2")
    right.set(title="Datagrams sent per member and period", ylim=(0, 4))
    for axes in (left, right):
        axes.set(xscale="log", xlabel="nodes")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> int:
    """Measure and print; return 1 when a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="N up to 100, fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--picture", type=Path, metavar="FILE.png")
    options = parser.parse_args()
    counts = (2, 4, 10, 100) if options.quick else (2, 4, 10, 30, 100, 300, 1000)
    print("real nodes:")
    real = real_rows(is_quick=options.quick)
    print("simulated:")
    sizes = [simulate(count, is_quick=options.quick) for count in counts]
    rows = [row for measured in sizes for row in rows_of(measured)]
    rows += [*scenario_rows(is_quick=options.quick), *real]
    publish("Membership", rows, options.json)
    if options.picture is not None:
        draw([measured for measured in sizes if measured.nodes >= 4], options.picture)
    return 1 if any(row.ok is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
