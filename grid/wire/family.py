"""What the processes of one node say to each other over their multiprocessing pipes.

Tasks on the workers' pipes are in ``executor/messages.py``.
"""

from __future__ import annotations

import msgspec

from grid.partition.messages import Holding


class LoadSample(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Supervisor to network: what psutil says of this machine, once a second."""

    cpu_percent: float
    memory_percent: float


class StopNode(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Supervisor to network: leave the cluster and end; answered by `NodeStopped`."""


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


class LogText(msgspec.Struct, array_like=True, frozen=True, tag=16):
    """Supervisor to launcher: something a person should read; `level` by its name."""

    level: str
    text: str


class StorageReady(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """Storage to network: it serves its poll loop now."""


class Serve(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """Network to storage: serve exactly these (partition, epoch) pairs."""

    epochs: dict[int, int]


class HoldingsWanted(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """Network to storage: what do you hold?"""

    token: int


class HoldingsKnown(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """Storage to network: this."""

    token: int
    held: list[Holding]


class ReleaseWanted(msgspec.Struct, array_like=True, frozen=True, tag=14):
    """Network to storage: give these up where they are empty."""

    token: int
    partition_ids: list[int]


class ReleaseDone(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """Storage to network: these are not held any more."""

    token: int
    partition_ids: list[int]


SupervisorToNetwork = LoadSample | StopNode
NetworkToSupervisor = (
    Listening | Admitted | StatusSnapshot | StartFailed | StopWanted | RestartWanted | NodeStopped
)
SupervisorToLauncher = Listening | Admitted | StatusSnapshot | StartFailed | LogText
NetworkToStorage = Serve | HoldingsWanted | ReleaseWanted
StorageToNetwork = StorageReady | HoldingsKnown | ReleaseDone
