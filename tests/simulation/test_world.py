"""Machines, their nodes and what is carried between them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from grid.membership.effects import SelfDeclaredDead
from grid.membership.messages import Beacon, MemberState
from grid.simulation.network import NetworkFaults
from grid.wire.catalog import encode
from grid.wire.datagram import ENVELOPE_BYTES

from .crowds import WatchedCrowd, settled

ROOT = Path(__file__).resolve().parents[2]
HARD = NetworkFaults(delay_s_max=0.1, loss=0.1, duplication=0.1, reordering=0.1)


# -- machines and their nodes -----------------------------------------------------------------


def test_nodes_have_names_addresses_and_boot_ids_of_their_own() -> None:
    crowd = WatchedCrowd(1)
    nodes = [crowd.add() for _ in range(300)]
    assert nodes[0].address.host == "10.0.0.0"
    assert nodes[299].address.host == "10.0.1.43"
    for what in ("node_id", "address", "host"):
        assert len({getattr(node, what) for node in nodes}) == 300


def test_restarted_node_has_the_same_address_and_another_boot_id() -> None:
    crowd = settled(1, 3)
    old = crowd.crowd[1]
    new = crowd.restart(old, after_s=1.0)
    assert not old.is_running
    crowd.run_for(0.9)
    assert crowd.node_at(old.address) is None
    crowd.run_for(0.2)
    assert new.is_running
    assert crowd.node_at(old.address) is new
    assert new.address == old.address
    assert new.node_id != old.node_id


def test_restart_overtaken_by_another_restart_starts_one_node() -> None:
    crowd = settled(1, 3)
    first = crowd.restart(crowd.crowd[0], after_s=2.0)
    second = crowd.restart(first, after_s=0.5)
    crowd.run_for(5.0)
    assert not first.is_running
    assert second.is_running
    assert len(crowd.running_nodes) == 3


def test_node_that_learns_of_its_death_comes_back_as_another() -> None:
    crowd = settled(1, 3)
    node = crowd.crowd[0]
    crowd.notice(node, SelfDeclaredDead())
    crowd.run_for(5.0)
    assert not node.is_running
    assert crowd.slots[0].is_running
    assert crowd.has_one_view()


def test_dead_process_is_known_much_sooner_than_a_dead_machine() -> None:
    known_s = {}
    for fault in ("kill", "crash"):
        crowd = settled(1, 5)
        victim = crowd.crowd[2]
        died_s = crowd.clock.now_s
        getattr(victim, fault)()
        crowd.run_for(15.0)
        dead = crowd.told(MemberState.DEAD)
        assert {subject for _, _, subject in dead} == {victim.node_id}
        assert {hearer for _, hearer, _ in dead} == crowd.ids()
        known_s[fault] = max(at_s for at_s, _, _ in dead) - died_s
    assert known_s["kill"] < 1.0
    assert 5.0 < known_s["crash"] < 10.0


def test_crashed_machine_that_is_back_before_anybody_noticed_is_met_as_a_new_node() -> None:
    crowd = settled(1, 3)
    victim = crowd.crowd[0]
    victim.crash()
    crowd.run_for(1.0)
    assert crowd.buried() == set()
    crowd.restart(victim, after_s=0.0)
    crowd.run_for(0.0)
    assert crowd.run_until_one_view(crowd.clock.now_s + 10.0) is not None
    assert crowd.buried() == {victim.node_id}


# -- datagrams --------------------------------------------------------------------------------


def test_datagrams_go_through_the_real_encoding_and_are_measured_with_their_envelope() -> None:
    crowd = settled(1, 2)
    sender, target = crowd.crowd
    crowd.datagram_count = crowd.datagram_bytes_max = 0
    beacon = Beacon(sender.base_plane.own, 2, bytes(500))
    crowd.send_datagram(sender, target.address, beacon)
    assert crowd.datagram_count == 1
    assert crowd.datagram_bytes_max == len(encode(beacon)) + ENVELOPE_BYTES


def test_multicast_reaches_every_other_node_within_the_cut() -> None:
    crowd = WatchedCrowd(1)
    nodes = [crowd.add() for _ in range(4)]
    crowd.run_for(0.0)
    crowd.network.split([nodes[0].host, nodes[1].host], [nodes[2].host, nodes[3].host])
    heard: list[int] = []
    for node in nodes:
        node.receive = lambda *_, number=node.number: heard.append(number)  # type: ignore[method-assign]
    crowd.multicast(nodes[0], Beacon(nodes[0].base_plane.own, 1, b""))
    crowd.run_for(0.05)
    assert 1 in heard
    assert not {0, 2, 3}.intersection(heard)


def test_datagram_to_where_nobody_is_is_lost() -> None:
    crowd = settled(1, 2)
    sender, target = crowd.crowd
    target.crash()
    crowd.send_datagram(sender, target.address, Beacon(sender.base_plane.own, 2, b""))
    crowd.run_for(0.1)


# -- connections ------------------------------------------------------------------------------


def test_handshake_does_not_end_well_when_its_dialler_died_meanwhile() -> None:
    crowd = settled(1, 2, NetworkFaults(delay_s_min=0.1, delay_s_max=0.1))
    dialler, target = crowd.crowd
    reached: list[object] = []
    crowd.connect(dialler, target.address, reached.append, lambda: None)
    crowd.run_for(0.1)  # SYN has arrived, the proof of the secret has not been sent.
    dialler.kill()
    crowd.run_for(5.0)
    assert reached == []


# -- the trace --------------------------------------------------------------------------------


def run_of(seed: int) -> WatchedCrowd:
    """Return a crowd after a run with a death, a return, a stall and a split."""
    crowd = WatchedCrowd(seed, HARD)
    for number in range(6):
        crowd.add(0.3 * number)
    crowd.run_for(8.0)
    crowd.slots[1].kill()
    crowd.slots[2].pause()
    crowd.run_for(3.0)
    crowd.slots[2].resume()
    crowd.restart(crowd.slots[1])
    crowd.network.split([node.host for node in crowd.slots[:3]])
    crowd.run_for(15.0)
    crowd.network.heal()
    crowd.run_for(10.0)
    return crowd


def trace_of(seed: int) -> str:
    """Return the hash of that run."""
    return run_of(seed).trace_hash()


def test_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    runs = [run_of(seed) for seed in (1, 1, 2)]
    assert runs[0].trace_hash() == runs[1].trace_hash()
    assert runs[0].changes == runs[1].changes
    assert runs[0].trace_hash() != runs[2].trace_hash()
    assert runs[0].datagram_count > 500


def test_trace_tells_apart_runs_that_differ_by_one_datagram() -> None:
    crowds = [settled(1, 3) for _ in range(2)]
    assert crowds[0].trace_hash() == crowds[1].trace_hash()
    sender, target, _ = crowds[1].crowd
    crowds[1].send_datagram(sender, target.address, Beacon(sender.base_plane.own, 1, b""))
    for crowd in crowds:
        crowd.run_for(0.002)
    assert crowds[0].trace_hash() != crowds[1].trace_hash()


def test_trace_does_not_depend_on_how_a_process_hashes() -> None:
    command = "from tests.simulation.test_world import trace_of; print(trace_of(1))"
    found = {
        subprocess.run(
            [sys.executable, "-c", command],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "2", "3")
    }
    assert found == {trace_of(1)}


def test_change_of_a_view_is_told_once() -> None:
    crowd = WatchedCrowd(1)
    crowd.form(3)
    for _, hearer, subject, state in crowd.changes:
        assert hearer != subject
        assert state is MemberState.ALIVE
    assert len(crowd.changes) == 6
