"""The knobs of a client: unit, range and reason of each. Declarations only."""

from __future__ import annotations

import dataclasses

from grid.option import option


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How long a program that uses the cluster waits; free to differ between machines."""

    operation_deadline_s: float = option(
        15.0,
        help="""How long one map operation may take in all, retries included, before it fails. The
            default outlasts the death of a machine: it is noticed and replaced within that time.
            """,
        unit="seconds",
        low=0.1,
        high=3600.0,
    )
    connect_deadline_s: float = option(
        10.0,
        help="""How long connecting to the cluster may take before it fails.""",
        unit="seconds",
        low=0.1,
        high=3600.0,
    )
    unix_sockets: bool = option(
        True,
        help="""Reach nodes of the same user on the same machine by their unix socket: quicker
            than TCP, and without the secret.""",
    )
    spin_us: int = option(
        0,
        help="""How long a blocking call looks for its reply before it sleeps. Being woken costs
            some 50 us; spinning saves them and keeps a core busy meanwhile. Worth it together
            with storage.spin_us, where program and storage processes have a core each.""",
        unit="microseconds",
        low=0,
        high=10_000,
    )
