"""TCP links to other nodes: one outgoing link per node, messages in one direction.

Each node dials its own links; what it receives comes on the links others dialled. A message
that cannot be delivered is dropped and counted: the protocols above repeat by themselves.

Runs in: network process.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from grid.errors import AuthenticationError, ProtocolError
from grid.membership.messages import MemberRecord
from grid.transport.stream import FrameStream, attach, dial
from grid.types import NodeId
from grid.wire.handshake import Hello, Purpose
from grid.wire.security import ClusterKeys

logger = logging.getLogger("grid.network")

UNSENT_MESSAGES_MAX = 256
"""Messages waiting for a link to come up; beyond it the oldest is dropped."""


class _PeerLink:
    """A link that is being dialled or is up."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque(maxlen=UNSENT_MESSAGES_MAX)
        self.stream: FrameStream | None = None
        self.dialling: asyncio.Task[None] | None = None


class PeerLinks:
    """All outgoing links of this node."""

    def __init__(self, keys: ClusterKeys, own_id: NodeId) -> None:
        """Start without links."""
        self._keys = keys
        self._own_id = own_id
        self._links: dict[NodeId, _PeerLink] = {}
        self.dropped_count = 0

    def send(self, member: MemberRecord, body: bytes) -> None:
        """Send a message to a member, dialling it first if need be."""
        link = self._links.setdefault(member.node_id, _PeerLink())
        if link.stream is not None and link.stream.is_open:
            link.stream.send(body)
            return
        link.waiting.append(body)
        if link.dialling is None:
            link.dialling = asyncio.get_running_loop().create_task(self._dial(member, link))

    def drop(self, node_id: NodeId) -> None:
        """Close the link to a node that is gone."""
        link = self._links.pop(node_id, None)
        if link is None:
            return
        if link.dialling is not None:
            link.dialling.cancel()
        if link.stream is not None:
            link.stream.abort()

    async def close(self, deadline_s: float) -> None:
        """Finish what is being sent (a farewell, say), then close all links."""
        dialling = [link.dialling for link in self._links.values() if link.dialling is not None]
        if dialling:
            await asyncio.wait(dialling, timeout=deadline_s)
        for node_id in list(self._links):
            link = self._links.pop(node_id)
            if link.dialling is not None:
                link.dialling.cancel()
            if link.stream is not None:
                link.stream.close()

    async def _dial(self, member: MemberRecord, link: _PeerLink) -> None:
        hello = Hello.create(Purpose.PEER, client_id=self._own_id)
        try:
            sock = await dial(member.address, hello, self._keys, member.node_id)
            stream = FrameStream(_unexpected_frame, lambda: self._lost(link))
            link.stream = await attach(sock, stream)
            while link.waiting:
                link.stream.send(link.waiting.popleft())
        except (OSError, TimeoutError, AuthenticationError, ProtocolError) as error:
            self.dropped_count += len(link.waiting)
            link.waiting.clear()
            # Membership says what this means; here it is only a detail.
            logger.debug("no link to %s: %s", member.name, error or "it does not answer")
        finally:
            link.dialling = None

    @staticmethod
    def _lost(link: _PeerLink) -> None:
        link.stream = None


def _unexpected_frame(body: bytes) -> None:
    raise ProtocolError("peers answer on their own links")
