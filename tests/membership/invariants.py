"""What must hold for every core after every event, whatever the network does.

The rules are those of ``reference/protocols.md`` section 4.4 and of the module headers; some
look into private tables, because their bounds cannot be seen from outside.
"""

from __future__ import annotations

from grid.membership.members import GONE_MEMBERS_MAX, MEMBERS_MAX
from grid.membership.messages import MemberRecord, MemberState
from grid.membership.probing import RELAYS_MAX
from grid.membership.process_death import SUBJECTS_MAX
from grid.membership.repair import ANSWERED_MAX, CONTACTS_MAX
from grid.membership.suspicion import CONFIRMATIONS_EXPECTED
from grid.membership.swim import STREAM_ONLY_MAX
from grid.types import NodeId

from .world import OPTIONS, Node

PROBES_MAX = 8 * OPTIONS.probe_deadline_s / OPTIONS.protocol_period_s + 1
"""A probe lives for its deadline; both stretch eightfold, not always together."""


class Watch:
    """Compares what each node believes now with what it believed before."""

    def __init__(self) -> None:
        self._owners: dict[NodeId, int] = {}
        """The incarnation that each boot id has given itself."""
        self._incarnations: dict[tuple[NodeId, NodeId], int] = {}
        self._gone: dict[NodeId, dict[NodeId, MemberState]] = {}

    def __call__(self, node: Node) -> None:
        """Check `node` after an event."""
        own = node.core.own
        assert own.incarnation >= self._owners.get(node.id, 0), "an incarnation never falls"
        assert own.state in (MemberState.ALIVE, MemberState.LEFT), "nobody accuses itself"
        self._owners[node.id] = own.incarnation
        for record in node.core.members:
            self._check_belief(node, record)
        gone = self._gone.setdefault(node.id, {})
        for node_id, state in gone.items():
            known = node.core.members.get(node_id)
            assert known is not None
            assert known.state is state, "dead and left are final"
        check_tables(node)
        check_open_questions(node)
        check_suspicions(node)

    def _check_belief(self, node: Node, record: MemberRecord) -> None:
        if record.state.is_gone:
            assert record.id != node.id, "a node never holds itself dead"
            self._gone.setdefault(node.id, {})[record.node_id] = record.state
            return
        view = (node.id, record.node_id)
        assert record.incarnation >= self._incarnations.get(view, 0), "an incarnation never falls"
        assert record.incarnation <= self._owners[record.node_id], "only its owner raises it"
        self._incarnations[view] = record.incarnation
        if record.id == node.id:
            assert record.state is MemberState.ALIVE, "a node never suspects itself"


def check_tables(node: Node) -> None:
    """Every table within its bound, and nothing kept of those that have gone."""
    core = node.core
    swim, repair, beliefs = core._swim, core._repair, core._beliefs
    known_count = len(list(core.members))
    assert core.members.living_count <= MEMBERS_MAX
    assert known_count - core.members.living_count <= GONE_MEMBERS_MAX
    assert len(swim._prober._outstanding) <= PROBES_MAX
    assert len(swim._prober._relays) <= RELAYS_MAX
    assert len(swim._prober._pass) <= known_count + len(beliefs.arrivals)
    assert len(swim._deaths._witnesses) <= SUBJECTS_MAX
    assert len(swim._deaths._evidence) <= SUBJECTS_MAX
    assert len(swim._stream_only) <= STREAM_ONLY_MAX
    assert len(repair._under_way) <= CONTACTS_MAX
    assert len(repair._answered) <= ANSWERED_MAX
    assert len(beliefs._dissemination) <= known_count * (CONFIRMATIONS_EXPECTED + 2)
    assert set(beliefs._dissemination._accusers) <= {m.node_id for m in core.members}


def check_open_questions(node: Node) -> None:
    """Whatever waits for an answer is still awaited by somebody who will end the wait."""
    for number in node.core._swim._prober._outstanding:
        assert ("swim-direct", number) in node.timers or ("swim-end", number) in node.timers
    assert node.core._repair._under_way == node.exchanges


def check_suspicions(node: Node) -> None:
    """Every suspect has one open suspicion and one timer that ends it, and nobody else has."""
    suspects = {m.node_id for m in node.core.members if m.state is MemberState.SUSPECT}
    open_ones = node.core._beliefs._suspicions._open
    assert set(open_ones) == suspects
    for node_id, suspicion in open_ones.items():
        due_s = suspicion.started_s + suspicion.duration_s(OPTIONS)
        timer_s = node.timers["suspicion", node_id]
        assert len(suspicion.accusers) <= CONFIRMATIONS_EXPECTED + 1
        assert timer_s <= node.world.now_s or abs(timer_s - due_s) < 1e-6
