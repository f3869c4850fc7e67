"""The status document as the console and the commands read it.

Pure. Whose figures these are and how they come about: ``process/status.py``. Keys this version does
not know are ignored, and newer keys have defaults, so that a newer node can be watched by an older
console, and the other way round.

Not here: what follows from it over time (``model.py``), drawing (``view.py``, ``tables.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from grid.errors import ProtocolError

State: TypeAlias = Literal["alive", "suspect", "dead", "left"]
CellKind: TypeAlias = Literal["lost", "unprotected", "moving", "primary", "backup", "other"]
"""What a partition is to a node: the first of these that holds."""


class TaskCounts(msgspec.Struct, frozen=True):
    """Tasks of one member; `done` and `retried` count since its start."""

    queued: int
    running: int
    done: int
    retried: int = 0
    """Started there after a worker or a node had died under them."""


class MemberStatus(msgspec.Struct, frozen=True):
    """One member as the answering node believes it to be."""

    name: str
    id: str
    """Boot id in hex."""
    address: str
    """``host:port``."""
    pid: int
    """Of the supervisor."""
    state: State
    cpu_percent: float
    primaries: int
    backups: int
    entries: int
    at_risk: int
    """Acknowledged writes that the backups do not have yet."""
    tasks: TaskCounts
    workers: int = 0
    age_s: float = 0
    """Since it started, by its own word."""
    state_s: float = 0
    """Since the answering node noticed its present state."""
    memory_percent: float = 0
    """Of its whole machine, as `cpu_percent` is."""
    operations_per_s: int = 0
    """Of maps, each key of a batch counted."""

    @property
    def is_gone(self) -> bool:
        """Whether the member is dead or has left."""
        return self.state in ("dead", "left")


class PartitionCounts(msgspec.Struct, frozen=True):
    """All partitions of the cluster; ``process/status.py`` says what the words mean."""

    total: int
    safe: int
    unprotected: int
    """Partitions that one more death would lose."""
    lost: int
    moving: int
    backup_count: int
    """How many backups each shall have; with none, whatever has an owner counts as safe."""

    @property
    def are_safe(self) -> bool:
        """Whether every partition has what it shall have."""
        return 0 < self.total <= self.safe


class PartitionMap(msgspec.Struct, frozen=True):
    """Who holds each partition: indices into `holders` (boot ids in hex), -1 for nobody."""

    holders: tuple[str, ...]
    primaries: tuple[int, ...]
    backups: tuple[int, ...]
    incoming: tuple[int, ...]
    """Who is being filled to take over a role."""
    states: str
    """A letter each: s(afe), u(nprotected), l(ost)."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        columns = (self.primaries, self.backups, self.incoming)
        if any(len(column) != len(self.states) for column in columns):
            raise ValueError("the columns of the partition map differ in length")
        indices = [index for column in columns for index in column]
        if indices and not -1 <= min(indices) <= max(indices) < len(self.holders):
            raise ValueError("the partition map names a holder that it does not list")

    def kinds_for(self, node: str) -> list[CellKind]:
        """Return what each partition is to the node with this boot id."""
        here = self.holders.index(node) if node in self.holders else None
        return [
            _kind(primary == here, backup == here, incoming >= 0, state)
            for primary, backup, incoming, state in zip(
                self.primaries, self.backups, self.incoming, self.states, strict=True
            )
        ]


class WorkerStatus(msgspec.Struct, frozen=True):
    """A worker of the answering node; `running_s` is None while it has no task."""

    pid: int
    running_s: float | None
    is_waiting: bool
    """Its task waits for tasks of its own."""
    function: str = ""
    """What the task is called; nothing while it has none."""


class ClusterStatus(msgspec.Struct, frozen=True):
    """The whole answer to ``grid status --json``."""

    cluster: str
    members: tuple[MemberStatus, ...]
    partitions: PartitionCounts
    writes_at_risk: int
    unprotected_entries: int
    node: str = ""
    """Boot id of the node that answers."""
    partition_map: PartitionMap | None = None
    workers: tuple[WorkerStatus, ...] = ()

    def count(self, *states: State) -> int:
        """Return how many members are in one of `states`."""
        return sum(member.state in states for member in self.members)

    @property
    def silent_partitions(self) -> int:
        """How many partitions belong to members that are suspected, and so may not answer."""
        return sum(member.primaries for member in self.members if member.state == "suspect")

    def members_by_name(self) -> list[MemberStatus]:
        """Return the members by name, numbers in it compared as numbers (n2 before n10)."""
        return sorted(self.members, key=lambda member: (_natural(member.name), member.address))

    def tasks(self) -> TaskCounts:
        """Return the sums over all members; what is queued or running at a gone one is moot."""
        present = [member.tasks for member in self.members if not member.is_gone]
        return TaskCounts(
            queued=sum(tasks.queued for tasks in present),
            running=sum(tasks.running for tasks in present),
            done=sum(member.tasks.done for member in self.members),
            retried=sum(member.tasks.retried for member in self.members),
        )

    def own(self) -> MemberStatus | None:
        """Return the member that answers, if it says which one that is."""
        return next((member for member in self.members if member.id == self.node), None)

    def name_of(self, node: str) -> str:
        """Return the name of a member by its boot id; the beginning of that if it is unknown."""
        return next((member.name for member in self.members if member.id == node), node[:8])


def decode(source: bytes | Mapping[str, Any]) -> ClusterStatus:
    """Return the status in `source`: JSON, or the same already parsed.

    Raises: ProtocolError when a key is missing or of another type; says which.
    """
    try:
        if isinstance(source, bytes):
            return msgspec.json.decode(source, type=ClusterStatus)
        return msgspec.convert(source, ClusterStatus)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"this is no cluster status: {error}") from error


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key under which ``n2`` comes before ``n10``."""
    return [
        (int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", name)
    ]


def _kind(is_primary: bool, is_backup: bool, is_moving: bool, state: str) -> CellKind:
    if state == "l":
        return "lost"
    if state == "u":
        return "unprotected"
    if is_moving:
        return "moving"
    if is_primary:
        return "primary"
    return "backup" if is_backup else "other"
