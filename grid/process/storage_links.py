"""The network process's links to its own node's storage processes.

Runs in: network process. A lost storage process ends the node: the supervisor sees to it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection

from grid.partition.messages import Holding
from grid.replication.messages import Assignment
from grid.transport.stream import FrameStream, attach
from grid.wire.catalog import decode_storage_to_network, encode
from grid.wire.family import (
    Accounting,
    CopiesChanged,
    FromPeer,
    HoldingsKnown,
    HoldingsWanted,
    PromotionKnown,
    ReleaseDone,
    ReleaseWanted,
    Serve,
    StorageReady,
    ToPeer,
)

logger = logging.getLogger("grid.network")

GATHERINGS_MAX = 64
"""Open questions to the storage processes; the oldest is forgotten, its asker repeats."""


def take_socket(connection: Connection) -> socket.socket:
    """Turn a multiprocessing pipe's end into a socket for the loop (same framing)."""
    sock = socket.socket(fileno=socket.dup(connection.fileno()))
    connection.close()
    return sock


@dataclass(slots=True)
class _Gathering:
    """Answers of the storage processes to one question."""

    missing: int
    held: list[Holding] = field(default_factory=list)
    at_risk: int = 0
    unprotected: int = 0
    operations: int = 0
    released: list[int] = field(default_factory=list)


class StorageLinks:
    """All storage processes of this node, asked as one."""

    def __init__(
        self,
        controls: list[Connection],
        hand_overs: list[socket.socket],
        *,
        on_holdings: Callable[[int, list[Holding], Accounting], None],
        on_released: Callable[[int, list[int]], None],
        on_to_peer: Callable[[int, ToPeer], None],
        on_copies_changed: Callable[[bool], None],
        on_promotion: Callable[[PromotionKnown], None],
    ) -> None:
        """Keep both channels of each process; `start` begins to read.

        `on_to_peer` is told the number of the process that says it.
        """
        self._controls = controls
        self._hand_overs = hand_overs
        self._on_holdings = on_holdings
        self._on_released = on_released
        self._on_to_peer = on_to_peer
        self._on_copies_changed = on_copies_changed
        self._on_promotion = on_promotion
        self._streams: list[FrameStream] = []
        self._gatherings: dict[tuple[str, int], _Gathering] = {}
        self._ready_count = 0
        self.ready = asyncio.Event()

    @property
    def count(self) -> int:
        """Number of storage processes."""
        return len(self._hand_overs)

    async def start(self) -> None:
        """Attach the control pipes to the running loop."""
        for hand_over in self._hand_overs:
            hand_over.setblocking(False)
        for index, control in enumerate(self._controls):
            stream = FrameStream(partial(self._handle, index), self._lost)
            self._streams.append(await attach(take_socket(control), stream))

    def hand_over(self, index: int, sock: socket.socket, welcome: bytes, client_id: bytes) -> bool:
        """Give a client's socket to a storage process, which sends `welcome` when it has it.

        Returns: False when the storage process does not take it now.
        """
        try:
            socket.send_fds(self._hand_overs[index], [welcome + client_id], [sock.fileno()])
        except OSError:
            return False
        return True

    def serve(self, assignments: list[Assignment], living: list[bytes], *, protects: bool) -> None:
        """Have each process hold its share of what the table gives to this node."""
        for index, stream in enumerate(self._streams):
            share = [a for a in assignments if a.partition % self.count == index]
            stream.send(encode(Serve(share, living, protects)))

    def from_peer(self, index: int, message: FromPeer) -> None:
        """Pass on what a storage process of another node says."""
        if index < len(self._streams):
            self._streams[index].send(encode(message))

    def ask_holdings(self, token: int) -> None:
        """Ask all processes what they hold; `on_holdings` gets one answer."""
        self._gather("held", token)
        for stream in self._streams:
            stream.send(encode(HoldingsWanted(token)))

    def ask_release(
        self, token: int, partition_ids: tuple[int, ...], handovers: tuple[int, ...]
    ) -> None:
        """Have partitions given up or frozen; `on_released` gets one answer."""
        self._gather("released", token)
        for index, stream in enumerate(self._streams):
            given_up, frozen = (
                [p for p in ids if p % self.count == index] for ids in (partition_ids, handovers)
            )
            stream.send(encode(ReleaseWanted(token, given_up, frozen)))

    def close(self) -> None:
        """End the pipes: each storage process exits."""
        for stream in self._streams:
            stream.close()
        for hand_over in self._hand_overs:
            hand_over.close()

    def _handle(self, index: int, body: bytes) -> None:
        match decode_storage_to_network(body):
            case ToPeer() as to_peer:
                self._on_to_peer(index, to_peer)
            case CopiesChanged(is_last=is_last):
                self._on_copies_changed(is_last)
            case PromotionKnown() as promotion:
                self._on_promotion(promotion)
            case StorageReady():
                self._ready_count += 1
                if self._ready_count == self.count:
                    self.ready.set()
            case HoldingsKnown(token=token, held=held, accounting=accounting):
                gathering = self._answered("held", token)
                if gathering is not None:
                    gathering.held += held
                    gathering.at_risk += accounting.at_risk
                    gathering.unprotected += accounting.unprotected
                    gathering.operations += accounting.operations
                    if not gathering.missing:
                        total = Accounting(
                            gathering.at_risk, gathering.unprotected, gathering.operations
                        )
                        self._on_holdings(token, gathering.held, total)
            case ReleaseDone(token=token, partition_ids=partition_ids):
                gathering = self._answered("released", token)
                if gathering is not None:
                    gathering.released += partition_ids
                    if not gathering.missing:
                        self._on_released(token, gathering.released)

    def _gather(self, kind: str, token: int) -> None:
        self._gatherings[kind, token] = _Gathering(missing=self.count)
        if len(self._gatherings) > GATHERINGS_MAX:
            del self._gatherings[next(iter(self._gatherings))]

    def _answered(self, kind: str, token: int) -> _Gathering | None:
        """Count one answer; the question may have been forgotten."""
        gathering = self._gatherings.get((kind, token))
        if gathering is not None:
            gathering.missing -= 1
            if not gathering.missing:
                del self._gatherings[kind, token]
        return gathering

    def _lost(self) -> None:
        logger.debug("a storage process has ended its pipe")
