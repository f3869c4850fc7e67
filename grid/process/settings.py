"""What the processes of a node are told at their start; they never read files.

Everything here is decided by the supervisor from configuration and command line.
"""

from __future__ import annotations

from dataclasses import dataclass

from grid.executor.options import ExecutorOptions
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.replication.options import ReplicationOptions
from grid.storage.options import StorageOptions
from grid.wire.security import ClusterKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """One node's settings, defaults resolved: no zero stands for "choose" except the port's.

    `bind` is the address to listen on, `advertise` the one told to others (empty: those of the
    machine's interfaces, whatever they are); `module_paths` are
    added to the workers' import path (a local cluster's caller and it share one machine).
    """

    cluster: str
    keys: ClusterKeys
    name: str
    bind: str
    advertise: str
    port: int
    storage_processes: int
    workers: int
    membership: MembershipOptions
    discovery: DiscoveryOptions
    storage: StorageOptions
    replication: ReplicationOptions
    executor: ExecutorOptions
    module_paths: tuple[str, ...] = ()
