"""The shell of blocking clients: runs operations on sockets, in the caller's own thread.

Responsible for: storage connections (dialled when needed, one for each caller that is busy at the
same time), sending and receiving, patience with a silent node.

Threads. A caller takes an idle connection off a list, or dials one, and puts it back afterwards:
no lock is held while waiting, so threads do not wait for each other's replies. (Four threads that
get 100 B do about 4 times as many operations as with one lock: ``bench/map.py``, row "threads".)

Not here: what to send where and what to do when it fails (``core.py``), finding and questioning
network processes (``connections.py``), asyncio (``aio.py``).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from random import Random
from typing import TypeVar

from grid.client.requests.connections import Connections
from grid.client.requests.core import PATIENCE_S, Core, MakeRequest, Tried
from grid.client.requests.routing import Place, Target
from grid.client.requests.steps import Ask, AskAll, FetchTable, Lost, Operation, Pause, Step
from grid.errors import AuthenticationError, ConnectError, GridError, ProtocolError
from grid.storage.messages import GetAll, Refused, Reply
from grid.transport.blocking import BlockingConnection, NothingYetError, NotSentError
from grid.wire.catalog import DECODE_ERRORS, decode_storage_reply, encode, encode_in_pieces
from grid.wire.handshake import Purpose

T = TypeVar("T")

IDLE_MAX = 8
"""Idle connections kept for a storage process; further ones are closed after use."""

UNCHECKED_S = 0.1
"""A connection that was idle for longer may have ended; it is looked at before it is used."""

QUESTION_BYTES_MAX = 32 * 1024
"""A longer question is sent only when no reply is due, for both sides may wait otherwise: a storage
process with many bytes to send reads on only when they are taken."""

STRAY_REPLY = "a reply to another request has arrived"

_decode = decode_storage_reply.raw
_NO_REPLY = (OSError, ProtocolError, *DECODE_ERRORS)


class BlockingShell:
    """Runs the operations of one client. Safe to share between threads."""

    def __init__(self, connections: Connections) -> None:
        """Fetch the first table.

        Raises: ConnectError when the node stays without a table until the deadline.
        """
        self._connections = connections
        self._idle: dict[Place, list[BlockingConnection]] = {}
        options = connections.options
        self._spin_s = options.spin_us / 1e6
        self._patience_s = min(PATIENCE_S, options.operation_deadline_s)
        self.core = Core(
            connections.first_view(), options.operation_deadline_s, time.monotonic, Random()
        )
        connections.call_after_fork(self._forget_all)

    def run(self, operation: Operation[T]) -> T:
        """Carry out an operation."""
        try:
            step = operation.send(None)
            while True:
                try:
                    result = self._ask(step) if type(step) is Ask else self._other(step)
                except GridError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # by the type of Operation

    def on_partition(
        self, partition_id: int, make: MakeRequest, payload: bytes | None = None
    ) -> Reply:
        """Carry out one request on the partition's owner, as `Core.on_partition` does.

        The usual case in one piece: after the sleep for the reply the caches are cold, and a
        generator that is resumed costs microseconds.

        Raises: PartitionLostError; OperationTimeoutError; OperationError.
        """
        core = self.core
        routing = core.routing
        target = routing.targets[partition_id]
        if target is None:
            return self.run(core.on_partition(partition_id, make, payload))
        request = make(core.next_number(), routing.epochs[partition_id])
        ask = Ask(target, request, core.deadline(), payload)
        result = self._ask(ask)
        if isinstance(result, (Lost, Refused)):
            tried = Tried(routing, ask, result)
            return self.run(core.on_partition(partition_id, make, payload, tried))
        return result

    def refresh(self, deadline_s: float = math.inf) -> None:
        """Fetch the table now.

        Raises: ConnectError.
        """
        view = self._connections.view(deadline_s)
        self.core.adopt(view)
        living = self.core.routing.node_ids
        for place in [place for place in self._idle if place[0] not in living]:
            self._close_idle(place)

    def close(self) -> None:
        """Close all idle connections; those in use are closed when they are put back."""
        for place in list(self._idle):
            self._close_idle(place)

    # -- steps ----------------------------------------------------------------------------

    def _other(self, step: Step) -> object:
        match step:
            case AskAll():
                self._ask_all(step)
            case FetchTable(deadline_s=deadline_s):
                try:
                    self.refresh(deadline_s)
                except ConnectError as error:
                    return str(error)
            case Pause(seconds=seconds):
                time.sleep(seconds)
            case _:
                raise AssertionError(f"unknown step {step}")
        return None

    def _ask(self, ask: Ask) -> Reply | Lost:
        try:
            try:
                idle = self._idle[ask.target.place]
                connection = idle.pop()
            except (KeyError, IndexError):
                connection = self._take(ask.target, ask.deadline_s)
            else:
                # One that was used just now, as nearly always, needs no look.
                if not 0 <= ask.deadline_s - connection.used_s < UNCHECKED_S:
                    idle.append(connection)
                    connection = self._take(ask.target, ask.deadline_s)
        except _CannotConnectError as error:
            return Lost(str(error), is_sent=False)
        try:
            if ask.payload is None:
                body = connection.exchange(encode(ask.request), self._spin_s)
            else:
                connection.send_pieces(encode_in_pieces(ask.request, ask.payload))
                body = connection.receive_frame()
            reply = _decode(body)
            if reply.request != ask.request.request:  # type: ignore[union-attr]
                raise ProtocolError(STRAY_REPLY)
        except NothingYetError:
            result = self._receive(ask, connection, is_silent=True)
            if connection.is_open:
                self._put_back(ask, connection)
            return result
        except BaseException as error:
            return self._give_up(ask, connection, error)
        self._put_back(ask, connection)
        return reply  # type: ignore[return-value]  # One request has one reply.

    def _ask_all(self, step: AskAll) -> None:
        """Send on while replies are due; each storage process works meanwhile."""
        waiting: deque[tuple[Ask, BlockingConnection | Lost]] = deque()
        in_use: dict[Place, BlockingConnection] = {}

        def take_first() -> None:
            ask, connection = waiting.popleft()
            if isinstance(connection, Lost):
                step.take(ask, connection)
                return
            result = self._receive(ask, connection)
            is_last = all(other is not connection for _, other in waiting)
            if not connection.is_open or is_last:
                in_use.pop(ask.target.place, None)
                if connection.is_open:
                    self._put_back(ask, connection)
            step.take(ask, result)

        try:
            for ask in step.asks:
                body = encode(ask.request)
                # A storage process with large replies to send may not take a large question.
                if type(ask.request) is GetAll and len(body) > QUESTION_BYTES_MAX:
                    while waiting:
                        take_first()
                waiting.append((ask, self._send(ask, body, in_use)))
                if len(waiting) >= step.window:
                    take_first()
            while waiting:
                take_first()
        except BaseException:
            # KeyboardInterrupt: an unread reply must never meet the next request.
            for connection in in_use.values():
                connection.close()
            raise

    def _send(
        self, ask: Ask, body: bytes, in_use: dict[Place, BlockingConnection]
    ) -> BlockingConnection | Lost:
        """Send on the connection that has replies due from there, or on an idle one."""
        connection = in_use.get(ask.target.place)
        if connection is None:
            try:
                connection = self._take(ask.target, ask.deadline_s)
            except _CannotConnectError as error:
                return Lost(str(error), is_sent=False)
            in_use[ask.target.place] = connection
        try:
            connection.send_frame(body)
        except OSError as error:
            del in_use[ask.target.place]
            return self._give_up(ask, connection, error)
        return connection

    def _receive(
        self, ask: Ask, connection: BlockingConnection, *, is_silent: bool = False
    ) -> Reply | Lost:
        """Wait for a reply, as long as the table has the silent node in its place."""
        while True:
            if is_silent:
                lost = self._lost_patience(ask)
                if lost is not None:
                    connection.close()
                    return lost
            try:
                body = connection.receive_frame()
            except NothingYetError:
                is_silent = True
            except BaseException as error:
                return self._give_up(ask, connection, error)
            else:
                return self._decoded(ask, connection, body)

    def _lost_patience(self, ask: Ask) -> Lost | None:
        """Return why to wait no longer for a silent node, if so."""
        if time.monotonic() >= ask.deadline_s:
            return Lost(f"{ask.target.name} is silent", is_sent=True, is_late=True)
        self._other(FetchTable(ask.deadline_s))
        if self.core.is_still_at(ask.target):
            return None
        return Lost(f"{ask.target.name} is gone", is_sent=True)

    def _decoded(
        self, ask: Ask, connection: BlockingConnection, body: bytes | memoryview
    ) -> Reply | Lost:
        try:
            reply = _decode(body)
            if reply.request != ask.request.request:  # type: ignore[union-attr]
                raise ProtocolError(STRAY_REPLY)
        except BaseException as error:
            return self._give_up(ask, connection, error)
        return reply  # type: ignore[return-value]  # One request has one reply.

    @staticmethod
    def _give_up(ask: Ask, connection: BlockingConnection, error: BaseException) -> Lost:
        """Close: also after KeyboardInterrupt, an unread reply must never meet the next request."""
        connection.close()
        if isinstance(error, NotSentError):
            return Lost(f"{ask.target.name}: {error}", is_sent=False)
        if isinstance(error, _NO_REPLY):
            return Lost(str(error), is_sent=True)
        raise error

    # -- connections ----------------------------------------------------------------------

    def _take(self, target: Target, deadline_s: float) -> BlockingConnection:
        """Return a connection that nobody else uses."""
        idle = self._idle.get(target.place)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # Another thread was quicker.
                break
            # Both deadlines are equally far from their beginnings, unless this is a later try.
            if 0 <= deadline_s - connection.used_s < UNCHECKED_S or connection.is_quiet():
                return connection
            connection.close()
        try:
            gateway = self._connections.gateway_of(target.node_id, target.address)
            connection = self._connections.dial(
                gateway, Purpose.STORAGE, target.storage_index, deadline_s - time.monotonic()
            )
        except (ConnectError, ProtocolError, AuthenticationError) as error:
            raise _CannotConnectError(str(error)) from error
        if connection.node_id != target.node_id:
            connection.close()
            raise _CannotConnectError(f"{target.name} has been replaced")
        connection.set_timeout(self._patience_s)
        return connection

    def _put_back(self, ask: Ask, connection: BlockingConnection) -> None:
        connection.used_s = ask.deadline_s
        idle = self._idle.get(ask.target.place)
        if idle is None:
            idle = self._idle.setdefault(ask.target.place, [])
        if len(idle) >= IDLE_MAX or self._connections.is_closed:
            connection.close()
        else:
            idle.append(connection)

    def _close_idle(self, place: Place) -> None:
        idle = self._idle.pop(place, [])
        while idle:
            with contextlib.suppress(IndexError):  # Another thread was quicker.
                idle.pop().close()

    def _forget_all(self) -> None:
        """In a forked child: the parent's sockets are not ours to speak on."""
        self.close()


class _CannotConnectError(GridError):
    """Nothing was sent."""
