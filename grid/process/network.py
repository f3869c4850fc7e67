"""The network process of a node: builds its parts, connects them, and ends cleanly.

Responsible for: start-up order (sockets, storage, cores, listening), the second-by-second
load report, the farewell.

Not responsible for: any protocol (``control_plane.py`` and its cores), any connection
(``gateway.py``, ``sessions.py``, ``peers.py``, ``storage_links.py``). No user code runs here.

Runs in: network process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from random import Random

import msgspec
import psutil
import uvloop

from grid.errors import StartError
from grid.membership.messages import MemberRecord, MemberState
from grid.partition.messages import Holding, HoldingRole
from grid.partition.table import PartitionTable
from grid.process.child import keep_freed_memory
from grid.process.control_plane import ControlPlane
from grid.process.counts import NodeCounts, OperationRate
from grid.process.datagrams import DatagramPort
from grid.process.driver import Driver
from grid.process.events import EventLog
from grid.process.gateway import Gateway, Sockets
from grid.process.http import HttpPages
from grid.process.pages import Snapshot
from grid.process.sessions import Sessions
from grid.process.settings import NodeSettings
from grid.process.status import status_document, view_of
from grid.process.storage_links import StorageLinks, take_socket
from grid.process.surroundings import Surroundings
from grid.process.tasks import NodeTasks
from grid.transport.stream import FrameStream, attach
from grid.types import NODE_ID_BYTES, NodeId, PartitionId, Payload, log_text, short
from grid.wire.catalog import decode_supervisor_to_network, encode
from grid.wire.family import (
    Accounting,
    Admitted,
    EventSeen,
    LeaveProgress,
    Listening,
    LoadSample,
    NetworkToSupervisor,
    NodeStopped,
    PromotionKnown,
    RestartWanted,
    StartFailed,
    StatusSnapshot,
    StopNode,
    StopWanted,
    WorkerEnded,
    WorkersWanted,
)

logger = logging.getLogger("grid.network")

REPORT_INTERVAL_S = 1.0
STORAGE_READY_DEADLINE_S = 30.0
LEAVE_REPEAT_S = 1.0
FINAL_QUESTION = 0
"""Token of the last question to the storage processes; others have others."""

FAREWELL_S = 1.0
"""How long leaving may take to tell the others."""


@dataclass(frozen=True, slots=True)
class NetworkPipes:
    """The ends of the pipes that the supervisor gives to the network process."""

    supervisor: Connection
    storage_controls: list[Connection]
    storage_hand_overs: list[socket.socket]
    passed_workers: socket.socket


class NetworkProcess:
    """One node's network process."""

    def __init__(self, settings: NodeSettings, pipes: NetworkPipes, sockets: Sockets) -> None:
        """Wire the parts; needs a running loop."""
        self._settings = settings
        self._sockets = sockets
        node_id = NodeId(os.urandom(NODE_ID_BYTES))
        self._surroundings = around = Surroundings(settings)
        self._events = EventLog(time.time, settings.name, lambda e: self._tell(EventSeen(e)))
        self._table: PartitionTable | None = None
        self._may_leave = asyncio.Event()
        self._plane = self._make_plane(node_id)
        self._supervisor_end = pipes.supervisor
        self._supervisor = FrameStream(self._on_supervisor, self._on_supervisor_lost)
        self._storages = self._make_storages(pipes)
        self._tasks = NodeTasks(
            settings.executor,
            pipes.passed_workers,
            workers=settings.workers,
            on_workers_wanted=lambda count: self._tell(WorkersWanted(count)),
            others=self._other_nodes_with_workers,
            ask=lambda node_id, wanted: self._driver.send_to_node(node_id, wanted),
        )
        self._driver = Driver(
            self._plane,
            settings.keys,
            self._storages,
            lambda on_received: DatagramPort(
                sockets.udp, around.multicast, settings.keys, node_id, on_received
            ),
            late_s=settings.membership.late_s,
            on_table=self._on_table,
            on_member=self._events.member_changed,
            on_leave_granted=self._may_leave.set,
            on_declared_dead=self._on_declared_dead,
            on_work_wanted=self._tasks.work_wanted,
        )
        self._sessions = Sessions(
            self._tasks,
            view=lambda request: view_of(
                self._plane, settings.cluster, settings.keys.key_tag, request
            ),
            status=self._status,
            events=self._events.since,
            on_peer_message=self._driver.on_peer_message,
            on_exchange=self._driver.on_exchange,
            on_shutdown=lambda: self._tell(StopWanted()),
            on_loss_accepted=lambda: self._driver.perform(self._plane.accept_loss()),
        )
        self._gateway = Gateway(
            sockets,
            settings.keys,
            node_id,
            storage_count=settings.storage_processes,
            hand_over=self._storages.hand_over,
            open_session=self._sessions.open,
            answer_http=HttpPages(settings.keys, settings.cluster, self._snapshot).serve,
        )
        self._held: list[Holding] = []
        self._lost_at_most = 0
        self._started_s = time.monotonic()
        self._operations = OperationRate(self._started_s)
        self._report_number = 0
        self._is_admitted = False
        self._is_declared_dead = False
        self._stopping: asyncio.Task[None] | None = None
        self._is_closing = False
        self._final_holdings = asyncio.Event()
        self._over = asyncio.Event()

    def _make_plane(self, node_id: NodeId) -> ControlPlane:
        settings, around = self._settings, self._surroundings
        own = MemberRecord(
            id=node_id,
            name=settings.name,
            hosts=around.hosts,
            port=self._sockets.port,
            pid=os.getppid(),
            storage_processes=settings.storage_processes,
            workers=settings.workers,
            incarnation=0,
            state=MemberState.ALIVE,
        )
        return ControlPlane(
            own,
            settings.membership,
            settings.discovery,
            Random(),
            time.monotonic,
            remembered=around.remembered(),
            choose_host=around.choose_host,
            backup_count=settings.replication.backup_count,
        )

    def _make_storages(self, pipes: NetworkPipes) -> StorageLinks:
        return StorageLinks(
            pipes.storage_controls,
            pipes.storage_hand_overs,
            on_holdings=self._on_holdings,
            on_released=lambda token, ids: self._driver.perform(self._plane.released(token, ids)),
            on_to_peer=lambda index, message: self._driver.relay(index, message),
            on_copies_changed=lambda is_last: self._driver.perform(
                self._plane.copies_changed(is_last=is_last)
            ),
            on_promotion=self._on_promotion,
        )

    async def run(self) -> None:
        """Start everything, then work until told to stop or until the supervisor is gone."""
        await attach(take_socket(self._supervisor_end), self._supervisor)
        await self._storages.start()
        async with asyncio.timeout(STORAGE_READY_DEADLINE_S):
            await self._storages.ready.wait()
        self._tasks.start()
        self._gateway.start()
        own = self._plane.own
        self._tell(Listening(own.host, own.port, own.id))
        self._driver.start()
        self._report_regularly()
        await self._over.wait()

    # -- the supervisor -------------------------------------------------------------------

    def _tell(self, message: NetworkToSupervisor) -> None:
        self._supervisor.send(encode(message))

    def _on_supervisor(self, body: Payload) -> None:
        match decode_supervisor_to_network(body):
            case LoadSample() as sample:
                self._plane.load = msgspec.structs.replace(
                    self._plane.load,
                    cpu_percent=sample.cpu_percent,
                    memory_percent=sample.memory_percent,
                    free_cores=sample.free_cores,
                )
            case WorkerEnded(pid=pid, description=description):
                self._tasks.workers.ended(pid, description)
            case StopNode(is_urgent=is_urgent):
                if is_urgent:
                    self._may_leave.set()
                if self._stopping is None:
                    self._stopping = asyncio.get_running_loop().create_task(self._stop())

    def _on_supervisor_lost(self) -> None:
        """The supervisor died: this node is over, without ceremony."""
        self._over.set()

    async def _stop(self) -> None:
        """Have others take what is here, say goodbye, deliver what is queued, close everything."""
        await self._move_away()
        self._is_closing = True
        await self._learn_what_is_left()
        self._gateway.close()
        self._driver.perform(self._plane.leave([h for h in self._held if h.entries]))
        self._driver.stop()
        await self._driver.peers.close(FAREWELL_S)
        self._sessions.close()
        self._tasks.close()
        self._storages.close()
        self._sockets.close()
        self._tell(NodeStopped())

    async def _move_away(self) -> None:
        """Wait until this node holds nothing that others need, or the deadline is over."""
        deadline_s = time.monotonic() + self._settings.replication.leave_deadline_s
        total = len(self._roles())
        while not self._may_leave.is_set() and self._plane.follower.table is not None:
            if time.monotonic() >= deadline_s:
                left = len(self._roles())
                logger.warning(log_text("leaving before all has moved", partitions=left))
                return
            # Said again each time: the coordinator may be another one by now.
            self._driver.perform(self._plane.want_to_leave())
            self._tell(LeaveProgress(total - len(self._roles()), total))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_REPEAT_S):
                    await self._may_leave.wait()
        self._tell(LeaveProgress(total - len(self._roles()), total))

    async def _learn_what_is_left(self) -> None:
        """Ask the storage processes what they hold at last: that goes with this node."""
        self._storages.ask_holdings(FINAL_QUESTION)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self._final_holdings.wait()

    def _roles(self) -> list[PartitionId]:
        table = self._plane.follower.table
        return [] if table is None else table.roles_of(self._plane.own.node_id)

    # -- the node's own parts -------------------------------------------------------------

    def _other_nodes_with_workers(self) -> list[NodeId]:
        members, own = self._plane.membership.members, self._plane.own.node_id
        return [m.node_id for m in members.living() if m.workers and m.node_id != own]

    def _on_promotion(self, promotion: PromotionKnown) -> None:
        """Tell of it if the former primary is dead; a handover loses nothing.

        Also if its death is known from the table only: that may be here before the gossip.
        """
        member = self._plane.membership.members.get(NodeId(promotion.source))
        table = self._plane.follower.table
        is_in_table = table is not None and promotion.source in table.order
        if member is not None and not member.state.is_gone and is_in_table:
            return
        self._lost_at_most += promotion.lost_at_most
        name = short(promotion.source) if member is None else member.name
        self._events.promotion(name, promotion.partitions, promotion.lost_at_most)

    def _on_table(self) -> None:
        table = self._plane.follower.table
        if table is not None:
            is_author = table.coordinator == self._plane.own.id
            self._events.table_changed(self._table, table, is_coordinator=is_author)
            self._table = table
        if not self._is_admitted:
            self._is_admitted = True
            self._tell(Admitted())

    def _on_declared_dead(self) -> None:
        """Ask for a new start, once; say what goes with this one."""
        if self._is_declared_dead:
            return
        self._is_declared_dead = True
        entries = sum(holding.entries for holding in self._held)
        discarded = f", and the {entries} entries it holds are discarded" if entries else ""
        reason = f"the cluster holds this node for dead; it rejoins empty{discarded}"
        self._tell(RestartWanted(reason))

    def _on_holdings(self, token: int, held: list[Holding], accounting: Accounting) -> None:
        self._held = [holding for holding in held if holding.role is HoldingRole.PRIMARY]
        self._plane.load = msgspec.structs.replace(
            self._plane.load,
            entries=sum(holding.entries for holding in self._held),
            at_risk=accounting.at_risk,
            unprotected=accounting.unprotected,
            lost_at_most=self._lost_at_most,
            operations_per_s=self._operations.per_s(accounting.operations, time.monotonic()),
        )
        if token == FINAL_QUESTION:
            self._final_holdings.set()
        elif token > 0:
            self._driver.perform(self._plane.holdings_known(token, held))

    def _report_regularly(self) -> None:
        """Refresh the load report, once a second; what others see rides on the next ping."""
        queue, load = self._tasks.queue, self._plane.load
        if queue.retried_count > load.tasks_retried:
            self._events.retried(queue.retried_count - load.tasks_retried)
        self._plane.load = msgspec.structs.replace(
            load,
            tasks_queued=queue.queued_count,
            tasks_running=queue.running_count,
            tasks_done=queue.done_count,
            tasks_retried=queue.retried_count,
            age_s=int(time.monotonic() - self._started_s),
        )
        self._tell(StatusSnapshot(self._status()))
        if not self._is_closing:
            self._look_around()
            # Negative tokens are this report's own questions, positive ones the follower's.
            self._report_number += 1
            self._storages.ask_holdings(-self._report_number)
            loop = asyncio.get_running_loop()
            loop.call_later(REPORT_INTERVAL_S, self._report_regularly)

    def _snapshot(self) -> Snapshot:
        """Return what HTTP pages are made of."""
        counts = NodeCounts(
            events=self._events.counts,
            connections_refused=self._gateway.refused_count,
            datagrams_rejected=self._driver.port.rejected,
            peer_messages_dropped=self._driver.peers.dropped_count,
            writes_lost_at_most=self._lost_at_most,
            network_resident_bytes=psutil.Process().memory_info().rss,
        )
        return Snapshot(self._status(), counts)

    def _status(self) -> bytes:
        return status_document(
            self._plane, self._settings.cluster, self._tasks.workers_now(), self._events.state_age_s
        )

    def _look_around(self) -> None:
        """Follow the machine's interfaces, and remember where others answer."""
        if self._surroundings.refresh():
            self._driver.perform(self._plane.readdress(self._surroundings.hosts))
        others = (r for r in self._plane.membership.members.living() if r is not self._plane.own)
        self._surroundings.remember(record.address for record in others)


async def _run(settings: NodeSettings, pipes: NetworkPipes, sockets: Sockets) -> None:
    await NetworkProcess(settings, pipes, sockets).run()


def run_network(settings: NodeSettings, pipes: NetworkPipes) -> None:
    """Run a network process to its end.

    A failure to start is told to the supervisor in one sentence.
    """
    keep_freed_memory()
    try:
        sockets = Sockets(settings.bind, settings.port)
    except StartError as error:
        pipes.supervisor.send_bytes(encode(StartFailed(str(error))))
        return
    uvloop.run(_run(settings, pipes, sockets))
