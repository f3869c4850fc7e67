"""What this node believes of every member, and what follows when a belief changes.

Responsible for: merging claims (own findings, gossip, other nodes' lists), the suspicions that
follow, refuting what is said of oneself, queueing news for dissemination.

Not responsible for: finding anything out (``swim.py``, ``repair.py``), sending.

Whose word counts for what. Gossip comes from members and is believed. A whole list
(`learn_list`) may come from the other side of a healed split, so it never kills: a death it
claims is a suspicion here, which the subject can refute; a dead stranger is none of our
business. Dead is final for a boot id, whoever says alive afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from grid.membership.dissemination import Dissemination
from grid.membership.effects import MemberChanged, MembershipEffect
from grid.membership.local_health import LocalHealth
from grid.membership.members import MemberList
from grid.membership.messages import MemberRecord, MemberState
from grid.membership.options import MembershipOptions
from grid.membership.suspicion import Suspicions
from grid.types import INFO, WARNING, LogLine, NodeId, SetTimer, log_text, short

SUSPICION_TIMER = "suspicion"
ARRIVAL_TIMER = "arrival"

ARRIVALS_S = 0.1
"""Newcomers of so long are looked at together; soon, for they may die at once."""

Clock = Callable[[], float]
"""Seconds on some monotonic scale."""

ChooseHost = Callable[[tuple[str, ...]], str]
"""Which of a member's addresses this node should use."""


class Beliefs:
    """The member list of one node with its consequences.

    Methods return the effects to perform. `arrivals` collects newcomers until the prober
    takes them.
    """

    def __init__(
        self,
        own: MemberRecord,
        options: MembershipOptions,
        clock: Clock,
        health: LocalHealth,
        choose_host: ChooseHost | None = None,
    ) -> None:
        """Believe in nobody but oneself."""
        self.own = own
        self.members = MemberList(own)
        self.arrivals: list[NodeId] = []
        self._clock = clock
        self._health = health
        self._choose_host = choose_host
        self._dissemination = Dissemination()
        self._suspicions = Suspicions(options)

    # -- telling --------------------------------------------------------------------------

    def take_updates(self, first: MemberRecord | None = None) -> list[MemberRecord]:
        """Return what the next datagram carries; `first` in any case."""
        return self._dissemination.take(self.members.living_count, first)

    # -- learning -------------------------------------------------------------------------

    def learn_all(self, claims: Iterable[MemberRecord]) -> list[MembershipEffect]:
        """Believe gossip, each claim if it wins."""
        effects: list[MembershipEffect] = []
        for claim in claims:
            effects += self.learn(claim)
        return effects

    def learn_list(
        self, records: Iterable[MemberRecord], teller_id: NodeId
    ) -> list[MembershipEffect]:
        """Merge another node's whole list.

        What somebody who knows nobody learns is not told on: who told it tells it already.
        """
        effects: list[MembershipEffect] = []
        is_joining = self.members.living_count == 1
        for record in records:
            known = self.members.get_living(record.node_id)
            if (
                known is not None
                and record.state is MemberState.ALIVE
                and record.incarnation <= known.incarnation
            ):
                continue  # The usual case, and lists are long.
            claim = record
            if record.state is MemberState.DEAD and record.id != self.own.id:
                if known is None:
                    continue
                claim = msgspec.structs.replace(
                    known, state=MemberState.SUSPECT, accuser=bytes(teller_id)
                )
            effects += self.learn(claim, is_news=not is_joining)
        return effects

    def learn(self, claim: MemberRecord, *, is_news: bool = True) -> list[MembershipEffect]:
        """Believe one claim if it wins; `is_news` says whether to tell it on."""
        if claim.id == self.own.id:
            return self._hear_about_self(claim)
        if claim.state.is_gone and claim.node_id not in self.members:
            return []  # A stranger's death changes nothing here.
        claim = self.reachable(claim)
        known = self.members.merge(claim)
        if known is None:
            return self._confirm(claim)
        is_new = known is claim
        if is_news:
            self._dissemination.add(claim)
        effects: list[MembershipEffect] = []
        if is_new:
            self.arrivals.append(claim.node_id)
            effects.append(SetTimer(ARRIVAL_TIMER, ARRIVALS_S))
        if claim.state is MemberState.SUSPECT:
            duration_s = self._suspicions.open(claim, self._clock(), self.members.living_count)
            effects.append(SetTimer((SUSPICION_TIMER, claim.node_id), duration_s))
        else:
            self._suspicions.close(claim.node_id)
        if is_new or claim.state is not known.state:
            effects.append(self._describe(claim, None if is_new else known))
            effects.append(MemberChanged(claim))
        return effects

    def suspect(self, node_id: NodeId) -> list[MembershipEffect]:
        """A probe of this node's own failed: accuse the member, or confirm others' suspicion."""
        record = self.members.get_living(node_id)
        if record is None:
            return []
        return self.learn(
            msgspec.structs.replace(record, state=MemberState.SUSPECT, accuser=self.own.id)
        )

    def declare_dead(self, node_id: NodeId) -> list[MembershipEffect]:
        """A member is dead: its time ran out, or there is proof."""
        record = self.members.get_living(node_id)
        if record is None or node_id == self.own.id:
            return []
        return self.learn(msgspec.structs.replace(record, state=MemberState.DEAD, accuser=b""))

    def bury_predecessors(self, successor_id: NodeId) -> list[MembershipEffect]:
        """Same address, other boot id: the former node there is dead now.

        Called when `successor_id` has just proved that it answers there. Gossip and beacons
        are no proof, they may be old.
        """
        successor = self.members.get_living(successor_id)
        if successor is None:
            return []
        sharing = self.members.living_at(successor.address)
        effects: list[MembershipEffect] = []
        if len(sharing) > 1:
            for node_id in sharing:
                if node_id != successor_id:
                    effects += self.declare_dead(node_id)
        return effects

    def suspicion_expired(self, node_id: NodeId) -> list[MembershipEffect]:
        """The timer of a suspicion fired."""
        if not self._suspicions.is_due(node_id, self._clock()):
            return []
        return self.declare_dead(node_id)

    def restart_suspicions(self) -> list[MembershipEffect]:
        """Give every suspect its time anew: this node was away and cannot have heard it."""
        return [
            SetTimer((SUSPICION_TIMER, node_id), duration_s)
            for node_id, duration_s in self._suspicions.restart(self._clock())
        ]

    def _confirm(self, claim: MemberRecord) -> list[MembershipEffect]:
        """The claim changed nothing, but it may be an independent suspicion."""
        if claim.state is not MemberState.SUSPECT:
            return []
        remaining_s = self._suspicions.confirm(claim, self._clock())
        if remaining_s is None:
            return []
        self._dissemination.add(claim)
        return [SetTimer((SUSPICION_TIMER, claim.node_id), remaining_s)]

    def reachable(self, claim: MemberRecord) -> MemberRecord:
        """Return `claim` with the address that this node should use in front."""
        if self._choose_host is None or len(claim.hosts) < 2:
            return claim
        host = self._choose_host(claim.hosts)
        if host == claim.host:
            return claim
        others = tuple(other for other in claim.hosts if other != host)
        return msgspec.structs.replace(claim, hosts=(host, *others))

    # -- about oneself --------------------------------------------------------------------

    def _hear_about_self(self, claim: MemberRecord) -> list[MembershipEffect]:
        """Refute a suspicion. A death is settled with those who believe in it (``repair.py``)."""
        if self.own.state.is_gone:
            return []
        if claim.state is MemberState.SUSPECT and claim.incarnation >= self.own.incarnation:
            # Refuted. To be suspected at all is a sign of own trouble (Lifeguard).
            self._health.worsen()
            self._change_own(incarnation=claim.incarnation + 1)
        return []

    def leave(self) -> None:
        """Say of oneself: left."""
        self._change_own(state=MemberState.LEFT)

    def readdress(self, hosts: tuple[str, ...]) -> None:
        """Take other addresses, and tell everybody."""
        self._change_own(hosts=hosts, incarnation=self.own.incarnation + 1)

    def _change_own(self, **changes: object) -> None:
        self.own = msgspec.structs.replace(self.own, **changes)
        if self.own.state.is_gone:
            self._dissemination.add(self.own)
            return
        self.members.replace_own(self.own)
        self._dissemination.add(self.own)

    def _describe(self, record: MemberRecord, known: MemberRecord | None) -> LogLine:
        """Return the line on a member's new state; `known` is what was believed before."""
        phrase = {
            MemberState.ALIVE: "joined" if known is None else "alive again",
            MemberState.SUSPECT: "suspected",
            MemberState.DEAD: "dead",
            MemberState.LEFT: "left",
        }[record.state]
        fields: dict[str, object] = {
            "member": record.name,
            "id": short(record.id),
            "address": record.address,
        }
        is_good_news = record.state in (MemberState.ALIVE, MemberState.LEFT)
        # A death that nobody had suspected was proved: its process ended, or it has a successor.
        accuser_id = record.accuser or (known.accuser if known is not None else b"")
        if accuser_id and not is_good_news:
            accuser = self.members.get(NodeId(accuser_id))
            fields["accuser"] = accuser.name if accuser is not None else short(accuser_id)
        level = INFO if is_good_news else WARNING
        return LogLine(level, log_text(phrase, **fields), has_event=True)
