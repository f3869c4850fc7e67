"""Every conversation and the messages it may carry: the whole protocol on one page.

Typed decoding rejects everything else: a decoder knows exactly the messages its side may
receive. Layouts stand beside the cores that own them.

| conversation          | messages                                                    |
|-----------------------|-------------------------------------------------------------|
| member - member, UDP  | ``membership/messages.py``                                  |
| node - node, TCP      | ``partition/messages.py``, `ForStorage` of ``replication/``, |
|                       | `WorkWanted` of ``executor/messages.py``                    |
| storage - storage, within that | ``replication/messages.py``                        |
| the same, one exchange | `PushPull` of ``membership/messages.py``                    |
| client - network      | ``wire/control.py`` and tasks of ``executor/messages.py``   |
| client - storage      | ``storage/messages.py``                                     |
| network - worker      | ``executor/messages.py``                                    |
| within a node's pipes | ``wire/family.py``                                          |
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from grid.errors import ProtocolError
from grid.executor.messages import (
    PAYLOAD_MESSAGES,
    FromWorker,
    TaskReply,
    TaskRequest,
    ToWorker,
    WorkWanted,
)
from grid.membership.messages import MembershipMessage, PushPull
from grid.partition.messages import PartitionMessage
from grid.replication.messages import ForStorage
from grid.storage.messages import InNameOf, PutIf, StorageReply, StorageRequest, WithBackup
from grid.types import Payload
from grid.wire.control import ControlReply, ControlRequest
from grid.wire.family import (
    NetworkToStorage,
    NetworkToSupervisor,
    StorageToNetwork,
    SupervisorToLauncher,
    SupervisorToNetwork,
)
from grid.wire.frame import JOIN_BYTES_MAX

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""Encode any message of the catalog."""


def encode_in_pieces(message: object, payload: bytes) -> tuple[bytes, bytes]:
    """Encode a `PutIf`, wrapped or not, whose value continues with `payload`, not copied.

    Returns: what to send one after the other. The value is the last field; msgpack puts a length
    in front of it, which is replaced by that of the whole.
    """
    write = message
    while isinstance(write, InNameOf | WithBackup):
        write = write.write
    assert isinstance(write, PutIf), "no other message has a large value"
    start = bytes(write.value)
    head = encode(message)[: -len(start) - 2]  # bin 8: its code and one byte of length.
    return head + _bin_32(len(start) + len(payload)) + start, payload


def pieces_of(message: object) -> tuple[Payload, ...]:
    """Encode any message of the catalog; a task's large payload, its last field, is not copied.

    Returns: what to send one after the other.
    """
    if not isinstance(message, PAYLOAD_MESSAGES) or len(message.payload) < JOIN_BYTES_MAX:
        return (encode(message),)
    head = encode(msgspec.structs.replace(message, payload=b""))[:-2]  # Less an empty bin 8.
    return head + _bin_32(len(message.payload)), message.payload


def _bin_32(length: int) -> bytes:
    """Return what msgpack puts in front of `length` bytes, in its longest form."""
    return b"\xc6" + length.to_bytes(4, "big")


DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError)
"""What decoding hostile bytes may raise."""


class Decoder(Generic[T]):
    """Decodes the messages of one conversation.

    `raw` does the same for hot loops; it raises `DECODE_ERRORS`.
    """

    def __init__(self, kind: object, name: str) -> None:
        """Accept exactly the messages of the union `kind`; `name` is for errors."""
        decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self.raw = decoder.decode
        self._name = name

    def __call__(self, body: bytes | memoryview) -> T:
        """Decode one message.

        Raises: ProtocolError when the bytes are no message of this conversation.
        """
        try:
            return self.raw(body)
        except DECODE_ERRORS as error:
            raise ProtocolError(f"not a {self._name} message: {error}") from error


decode_membership: Decoder[MembershipMessage] = Decoder(MembershipMessage, "membership")
decode_exchange: Decoder[PushPull] = Decoder(PushPull, "exchange")
decode_peer: Decoder[PartitionMessage | ForStorage | WorkWanted] = Decoder(
    PartitionMessage | ForStorage | WorkWanted, "peer"
)
decode_client_request: Decoder[ControlRequest | TaskRequest] = Decoder(
    ControlRequest | TaskRequest, "client"
)
decode_client_reply: Decoder[ControlReply | TaskReply] = Decoder(
    ControlReply | TaskReply, "network process"
)
decode_storage_request: Decoder[StorageRequest] = Decoder(StorageRequest, "data")
decode_storage_reply: Decoder[StorageReply] = Decoder(StorageReply, "storage process")
decode_to_worker: Decoder[ToWorker] = Decoder(ToWorker, "task")
decode_from_worker: Decoder[FromWorker] = Decoder(FromWorker, "worker")
decode_supervisor_to_network: Decoder[SupervisorToNetwork] = Decoder(
    SupervisorToNetwork, "supervisor"
)
decode_network_to_supervisor: Decoder[NetworkToSupervisor] = Decoder(
    NetworkToSupervisor, "network process"
)
decode_supervisor_to_launcher: Decoder[SupervisorToLauncher] = Decoder(
    SupervisorToLauncher, "supervisor"
)
decode_network_to_storage: Decoder[NetworkToStorage] = Decoder(NetworkToStorage, "network process")
decode_storage_to_network: Decoder[StorageToNetwork] = Decoder(StorageToNetwork, "storage process")
