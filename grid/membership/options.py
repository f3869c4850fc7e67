"""The knobs of membership and discovery: unit, range and reason of each.

Declarations only. Defaults follow DESIGN.md §4; the reasons are those of SWIM (Das, Gupta,
Motivala, DSN 2002) and Lifeguard (Dadgar, Phillips, Currey, DSN-W 2018).
"""

from __future__ import annotations

import dataclasses
import ipaddress

from grid.option import check_host_port, is_ipv4, option


def check_multicast_group(text: str) -> str:
    """Require an IPv4 multicast address."""
    is_group = is_ipv4(text) and ipaddress.IPv4Address(text).is_multicast
    return "" if is_group else "an IPv4 multicast address (224.0.0.0 to 239.255.255.255)"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MembershipOptions:
    """How nodes watch each other; the same on every machine."""

    protocol_period_s: float = option(
        0.5,
        help="""Each node probes one other node per period. Shorter finds a dead machine sooner
            and sends more datagrams: about two per node and period, however many nodes there are.
            """,
        unit="seconds",
        low=0.05,
        high=60.0,
    )
    probe_deadline_s: float = option(
        2.0,
        help="""How long a probed node may stay silent in all before it is suspected: to a direct
            ping, to the pings of others on request, and to a new connection. It should be several
            periods, so that lost datagrams or a short stall accuse nobody.""",
        unit="seconds",
        low=0.1,
        high=120.0,
    )
    ping_req_members: int = option(
        3,
        help="""How many other members are asked to ping a node that did not answer directly. More
            make a wrong accusation rarer where datagrams are lost, for a few more datagrams.""",
        low=0,
        high=16,
    )
    suspicion_max_s: float = option(
        10.0,
        help="""How long a suspected node has to object before it is declared dead, as long as
            nobody confirms the suspicion. Longer forgives a machine that stalls.""",
        unit="seconds",
        low=0.5,
        high=600.0,
    )
    suspicion_min_s: float = option(
        3.0,
        help="""What the suspicion time shrinks to once several nodes have found the suspect silent
            independently. Shorter replaces a dead machine sooner; it should stay above the stalls
            that a healthy machine can have.""",
        unit="seconds",
        low=0.1,
        high=600.0,
    )
    process_death_wait_s: float = option(
        0.3,
        help="""When the connection to a node breaks and a new one is refused, its process has
            probably ended; this is how long it may still answer a datagram to prove otherwise.""",
        unit="seconds",
        low=0.05,
        high=10.0,
    )
    late_s: float = option(
        0.25,
        help="""If this node's own event loop wakes later than this, it trusts its judgement of
            others less: it probes more slowly and waits longer.""",
        unit="seconds",
        low=0.01,
        high=10.0,
    )
    stall_s: float = option(
        1.0,
        help="""If the loop wakes later than this, the node was paused: it blames nobody for the
            time in between and gives every suspect its full time anew.""",
        unit="seconds",
        low=0.1,
        high=60.0,
    )
    exchange_period_s: float = option(
        30.0,
        help="""How often a node compares its whole member list with that of another one, which
            repairs what lost datagrams left different. Above 32 nodes it is stretched.""",
        unit="seconds",
        low=1.0,
        high=3600.0,
    )
    gone_contact_period_s: float = option(
        5.0,
        help="""How often a node calls one of the recently dead. It bounds how long the parts of a
            cluster that was cut in two stay apart where multicast does not help.""",
        unit="seconds",
        low=0.5,
        high=3600.0,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryOptions:
    """How nodes find each other; the same on every machine."""

    multicast: bool = option(
        True,
        help="""Whether to find other nodes by UDP multicast. Set it to false on networks that
            drop multicast, and name some nodes in seeds instead.""",
    )
    multicast_group: str = option(
        "239.255.77.1",
        help="""The group that beacons are sent to. The default lies in the range kept for private
            use (RFC 2365); change it only if another program on the network uses it.""",
        check=check_multicast_group,
    )
    multicast_port: int = option(
        7700,
        help="""The UDP port of the beacons. It must not be the port of a node.""",
        low=1,
        high=65535,
    )
    seeds: tuple[str, ...] = option(
        (),
        help="""Nodes to contact directly, each as "host:port". One that answers is enough; they
            help where multicast does not reach, for example across routers.""",
        high=64,
        check=check_host_port,
    )
    beacon_period_s: float = option(
        5.0,
        help="""How often a running node announces itself, after the quick beacons of its first
            second; above 8 nodes each does so more seldom. It bounds how long two parts of a
            cluster that were cut off stay apart.""",
        unit="seconds",
        low=0.5,
        high=300.0,
    )
    founding_silence_s: float = option(
        1.0,
        help="""How long a starting node listens for an existing cluster before it founds one.
            Longer avoids needless mergers on slow networks; shorter starts the first node sooner.
            """,
        unit="seconds",
        low=0.0,
        high=60.0,
    )
