"""Scripted runs of a crowd with one question each: how long until everybody agrees?

Not here: long random runs (``trial.py``).
"""

from __future__ import annotations

from random import Random

from grid.membership.options import DiscoveryOptions
from grid.simulation.crowd import Crowd
from grid.simulation.network import NetworkFaults

LIMIT_S = 300.0
SETTLE_S = 5.0


def join_at_once(count: int, seed: int, *, loss: float = 0.0, spread_s: float = 0.0) -> float:
    """Start `count` nodes within `spread_s`, none knowing any other; multicast works.

    Returns: seconds from the first start until all have one view.
    """
    random = Random(seed)
    crowd = Crowd(seed, faults=NetworkFaults(loss=loss))
    for _ in range(count):
        crowd.add(random.uniform(0, spread_s))
    crowd.clock.run_until(spread_s)
    agreed_s = crowd.run_until_one_view(LIMIT_S)
    assert agreed_s is not None, f"seed {seed}: {count} nodes did not converge in {LIMIT_S} s"
    return agreed_s


def split_and_heal(
    count: int, seed: int, *, split_s: float = 60.0, loss: float = 0.0, multicast: bool = True
) -> float:
    """Cut a formed crowd in two halves for `split_s`, then heal it.

    Returns: seconds from the heal until all running nodes have one view.
    """
    random = Random(seed)
    # Without multicast the first node is everybody's seed.
    options = DiscoveryOptions(multicast=multicast, seeds=() if multicast else ("10.0.0.0:7701",))
    crowd = Crowd(seed, faults=NetworkFaults(loss=loss), discovery_options=options)
    crowd.form(count)
    crowd.clock.run_until(SETTLE_S)
    hosts = [node.host for node in crowd.crowd]
    random.shuffle(hosts)
    crowd.network.split(hosts[: count // 2], hosts[count // 2 :])
    crowd.clock.run_until(SETTLE_S + split_s)
    crowd.network.heal()
    healed_s = crowd.clock.now_s
    agreed_s = crowd.run_until_one_view(healed_s + LIMIT_S)
    assert agreed_s is not None, f"seed {seed}: the halves of {count} nodes did not find together"
    return agreed_s - healed_s
