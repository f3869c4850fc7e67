"""What the processes of one node say to each other over their multiprocessing pipes.

Tasks on the workers' pipes are in ``executor/messages.py``.
"""

from __future__ import annotations

import msgspec

from grid.partition.messages import Holding
from grid.replication.messages import Assignment
from grid.wire.control import Event


class LoadSample(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Supervisor to network: what psutil says of this machine, once a second.

    `free_cores`: what others and its control group's quota leave to this node.
    """

    cpu_percent: float
    memory_percent: float
    free_cores: float


class StopNode(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Supervisor to network: leave the cluster and end; answered by `NodeStopped`.

    The node first moves its entries to others and tells `LeaveProgress`; a second one,
    `is_urgent`, has it end at once. The launcher tells its supervisors the same.
    """

    is_urgent: bool = False


class WorkerEnded(msgspec.Struct, array_like=True, frozen=True, tag=24):
    """Supervisor to network: a worker process is gone; `description` says how, for people."""

    pid: int
    description: str


class WorkersWanted(msgspec.Struct, array_like=True, frozen=True, tag=25):
    """Network to supervisor: there shall be so many workers; those too many end by themselves."""

    count: int


class Listening(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Network to supervisor: the sockets are bound, at this address."""

    host: str
    port: int
    node_id: bytes


class Admitted(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Network to supervisor: this node serves a partition table: it is *ready*."""


class StatusSnapshot(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Network to supervisor: the document of ``grid status --json``, once a second."""

    document: bytes


class StartFailed(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Network to supervisor: cannot start, and why, in one sentence."""

    reason: str


class StopWanted(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """Network to supervisor: somebody entitled asked this node to stop."""


class RestartWanted(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """Network to supervisor: this boot id is dead to the cluster; start anew, empty."""

    reason: str


class NodeStopped(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """Network to supervisor: the farewell is sent, the sockets are closed."""


class LeaveProgress(msgspec.Struct, array_like=True, frozen=True, tag=23):
    """Network to supervisor, once a second while the node leaves: copies it holds no more."""

    moved: int
    total: int


class EventSeen(msgspec.Struct, array_like=True, frozen=True, tag=26):
    """Network to supervisor: this has happened, as ``g.events()`` of this node tells it.

    Number 0: another node has noted it, and this one knows as well.
    """

    event: Event


class LogText(msgspec.Struct, array_like=True, frozen=True, tag=16):
    """Supervisor to launcher: something a person should read; `level` by its name.

    `has_event`: an `EventSeen` says it as a sentence.
    """

    level: str
    text: str
    has_event: bool = False


class StorageReady(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """Storage to network: it serves its poll loop now."""


class Serve(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """Network to storage: hold exactly this. `living` are the nodes of the table.

    `protects`: there should be a backup of everything.
    """

    assignments: list[Assignment]
    living: list[bytes]
    protects: bool


class HoldingsWanted(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """Network to storage: what do you hold?"""

    token: int


class Accounting(msgspec.Struct, array_like=True, frozen=True):
    """What could be lost now, and how much has been done.

    `at_risk`: acknowledged writes that no backup may have. `unprotected`: entries without a backup
    where there should be one. `operations`: carried out for clients since the start.
    """

    at_risk: int
    unprotected: int
    operations: int = 0


class HoldingsKnown(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """Storage to network: this."""

    token: int
    held: list[Holding]
    accounting: Accounting


class ReleaseWanted(msgspec.Struct, array_like=True, frozen=True, tag=14):
    """Network to storage: see `partition.messages.Release`."""

    token: int
    partition_ids: list[int]
    handovers: list[int]


class ReleaseDone(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """Storage to network: see `partition.messages.Released`."""

    token: int
    partition_ids: list[int]


class ToPeer(msgspec.Struct, array_like=True, frozen=True, tag=17):
    """Storage to network: carry this to a storage process of another node."""

    node_id: bytes
    index: int
    body: bytes


class FromPeer(msgspec.Struct, array_like=True, frozen=True, tag=18):
    """Network to storage: a storage process of another node says this."""

    node_id: bytes
    index: int
    body: bytes


class CopiesChanged(msgspec.Struct, array_like=True, frozen=True, tag=19):
    """Storage to network: a copy became complete, or is none any more.

    `is_last`: this process fills no other.
    """

    is_last: bool = False


class PromotionKnown(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Storage to network: this process is primary now of what `source` was primary of.

    `lost_at_most` of the writes that `source` had acknowledged are not here.
    """

    source: bytes
    partitions: int
    lost_at_most: int


SupervisorToNetwork = LoadSample | StopNode | WorkerEnded
NetworkToSupervisor = (
    Listening
    | Admitted
    | StatusSnapshot
    | StartFailed
    | StopWanted
    | RestartWanted
    | WorkersWanted
    | LeaveProgress
    | NodeStopped
    | EventSeen
)
NodeNews = Listening | Admitted | StatusSnapshot | StartFailed | EventSeen
"""What of it a supervisor passes on to whoever watches the node."""

SupervisorToLauncher = NodeNews | LogText
NetworkToStorage = Serve | HoldingsWanted | ReleaseWanted | FromPeer
StorageToNetwork = (
    StorageReady | HoldingsKnown | ReleaseDone | ToPeer | CopiesChanged | PromotionKnown
)
