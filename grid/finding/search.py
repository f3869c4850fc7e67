"""The search for a node of a cluster that lets this program in.

Responsible for: where to look and in which order, proof that a node found belongs to the cluster,
the deadline, and one sentence on what was tried if all of it was in vain.

Not responsible for: what the configuration says (``grid/api.py``), what is done with the node.

Theory of operation. First this user's nodes on this machine, by unix socket. Then the network, if
there is a secret to prove: configured seeds, the peers that nodes of this machine remember, and
whoever beacons, side by side in one loop, so that a black hole among the addresses costs
no time that could be spent listening. A node that takes connections but says nothing (it was
stopped, or its machine is overloaded) gets half of the time that is left, so that others have
their turn.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence

from grid.client.requests.connections import HINT, Gateway
from grid.errors import AuthenticationError, ConnectError, ProtocolError
from grid.finding.beacons import Beacons
from grid.finding.dials import Dials
from grid.membership.options import DiscoveryOptions
from grid.transport.blocking import connect
from grid.types import Address
from grid.wire.catalog import decode_client_reply, encode
from grid.wire.control import View, ViewWanted
from grid.wire.handshake import Purpose
from grid.wire.security import ClusterKeys

NOTES_SHOWN_MAX = 6
"""Addresses named when none has helped; of further ones only the number is said."""

REFRESH_S = 1.0
"""How often to look for new interfaces while listening."""

PROOF_LEAST_S = 0.1
"""What a node has to prove itself at least, though the deadline has come."""

NO_SECRET = (
    "the network was not searched, because no secret is configured: name the cluster.toml that "
    "has it (--config, config= or $GRID_CONFIG)"
)


class OtherClusterError(ConnectError):
    """The node that answers is of the cluster of another name."""

    def __init__(self, gateway: Gateway, cluster: str) -> None:
        super().__init__(f"a node of the cluster {cluster!r} answers on {described(gateway)}")
        self.cluster = cluster


class Search:
    """One search; `found` does it. Blocks; not thread-safe, but any thread may run it."""

    def __init__(
        self,
        cluster: str,
        keys: ClusterKeys | None,
        options: DiscoveryOptions,
        *,
        deadline_s: float,
        local_ports: Sequence[int],
        remembered: Sequence[Address] = (),
    ) -> None:
        self._cluster = cluster
        self._keys = keys
        self._options = options
        self._deadline_s = deadline_s
        self._local_ports = local_ports
        seeds = {Address.parse(seed): "seed" for seed in options.seeds}
        # Where a seed is remembered, it is called a seed.
        self._origins = {**dict.fromkeys(remembered, "remembered"), **seeds}
        self._places = list(dict.fromkeys([*seeds, *remembered]))
        self._notes: dict[Gateway, str] = {}
        self._local_clusters: set[str] = set()
        self._about_beacons = ""
        self._has_heard = False
        self._next_refresh_s = 0.0
        self._end_s = 0.0

    def found(self) -> Generator[list[Gateway], None, None]:
        """Yield ways into the cluster: a node that has proved it, then others to fall back on.

        Ends at the deadline, or before if there is nothing to wait for. Call `note` for what has
        not helped after all. To be closed: it holds sockets.
        """
        self._end_s = time.monotonic() + self._deadline_s
        for index, port in enumerate(self._local_ports):
            others = self._local_ports[index + 1 :]
            if self._proves(port, is_last=not others and self._keys is None):
                yield [port, *others]
        if self._keys is not None:
            yield from self._on_the_network(self._keys)

    def note(self, gateway: Gateway, reason: object) -> None:
        """Remember why `gateway` is of no use, for `failure`."""
        origin = self._origins.get(gateway) if isinstance(gateway, Address) else None
        self._notes[gateway] = f"{reason} ({origin})" if origin else str(reason)

    def failure(self) -> ConnectError:
        """Return the error that says what was tried."""
        said = [] if self._local_ports else ["no node of this user runs on this machine"]
        if self._local_clusters:
            # Programs and tests may run dozens of their own (grid.local): not a note for each.
            names = [repr(name) for name in sorted(self._local_clusters)]
            more = ", ..." if len(names) > NOTES_SHOWN_MAX else ""
            shown = ", ".join(names[:NOTES_SHOWN_MAX])
            said.append(f"on this machine run nodes of other clusters: {shown}{more}")
        said += list(self._notes.values())[:NOTES_SHOWN_MAX]
        if len(self._notes) > NOTES_SHOWN_MAX:
            said.append(f"{len(self._notes) - NOTES_SHOWN_MAX} more")
        said.append(NO_SECRET if self._keys is None else self._about_beacons)
        tried = "; ".join(part for part in said if part)
        return ConnectError(f"no node of the cluster {self._cluster!r} answers ({tried}); {HINT}")

    def _on_the_network(self, keys: ClusterKeys) -> Generator[list[Gateway], None, None]:
        with contextlib.ExitStack() as stack:
            beacons = self._listen(keys)
            if beacons is not None:
                stack.enter_context(contextlib.closing(beacons))
            dials = Dials(None if beacons is None else beacons.listener)
            stack.enter_context(contextlib.closing(dials))
            for address in self._places:
                dials.add(address)
            while dials.unanswered or beacons is not None:
                left_s = self._end_s - time.monotonic()
                for address, reason in dials.wait(min(max(left_s, 0.0), REFRESH_S)):
                    if reason:
                        self.note(address, f"no connection to {address}: {reason}")
                    elif self._proves(address):
                        yield [address]
                if beacons is not None:
                    self._hear(beacons, dials)
                if left_s <= 0:
                    break
            for address in dials.unanswered:
                self.note(address, f"no connection to {address} in time")

    def _listen(self, keys: ClusterKeys) -> Beacons | None:
        if not self._options.multicast:
            self._about_beacons = "beacons are not listened for (discovery.multicast is false)"
            return None
        try:
            return Beacons(keys, self._options.multicast_group, self._options.multicast_port)
        except OSError as error:
            self._about_beacons = f"beacons cannot be heard: {error.strerror or error}"
            return None

    def _hear(self, beacons: Beacons, dials: Dials) -> None:
        addresses = beacons.heard()
        for address in addresses:
            # Once more also if it has failed before: it may have been about to start.
            self._origins.setdefault(address, "heard")
            dials.add(address, is_urgent=True)
        self._has_heard |= bool(addresses)
        self._about_beacons = "" if self._has_heard else self._silence(beacons)
        if time.monotonic() >= self._next_refresh_s:
            self._next_refresh_s = time.monotonic() + REFRESH_S
            beacons.refresh()

    def _silence(self, beacons: Beacons) -> str:
        told = f"no beacon of the cluster was heard within {self._deadline_s:g} s"
        if beacons.problem:
            return f"{told}: {beacons.problem}"
        if (host := beacons.strangers.get("other_secret")) is not None:
            return f"{told}, but {host} announces a cluster of this name with another secret"
        if (host := beacons.strangers.get("other_cluster")) is not None:
            return f"{told}, but {host} announces a cluster of another name"
        return told

    def _proves(self, gateway: Gateway, *, is_last: bool = False) -> bool:
        """Whether this node proves to be of the cluster; if not, a note says why."""
        left_s = self._end_s - time.monotonic()
        timeout_s = max(left_s if is_last else left_s / 2, PROOF_LEAST_S)
        try:
            ask_cluster(gateway, self._keys, self._cluster, timeout_s=timeout_s)
        except (ConnectError, AuthenticationError, ProtocolError) as error:
            if isinstance(error, OtherClusterError) and not isinstance(gateway, Address):
                self._local_clusters.add(error.cluster)
                return False
            where, reason = described(gateway), str(error)
            self.note(gateway, reason if where in reason else f"{where}: {reason}")
            return False
        return True


def described(gateway: Gateway) -> str:
    """Return how messages call `gateway`."""
    return str(gateway) if isinstance(gateway, Address) else f"local port {gateway}"


def ask_cluster(
    gateway: Gateway, keys: ClusterKeys | None, cluster: str, *, timeout_s: float
) -> None:
    """Return if the node behind `gateway` belongs to `cluster` and answers questions.

    The handshake alone does not tell: behind a unix socket it proves the user, neither name nor
    secret.
    `timeout_s` holds for all of it.
    Raises: ConnectError; AuthenticationError; ProtocolError.
    """
    end_s = time.monotonic() + timeout_s
    connection = connect(gateway, keys, Purpose.CONTROL, timeout_s=timeout_s)
    try:
        connection.set_timeout(end_s - time.monotonic())
        connection.send_frame(encode(ViewWanted(0)))
        view = decode_client_reply(connection.receive_frame())
    except OSError as error:
        raise ConnectError(f"no answer from {described(gateway)}: {error}") from error
    finally:
        connection.close()
    if not isinstance(view, View):
        raise ProtocolError("the answer to another question")
    if view.cluster != cluster:
        raise OtherClusterError(gateway, view.cluster)
    if stranger := view.stranger(cluster, keys):
        raise ConnectError(f"{stranger} answers on {described(gateway)}")
