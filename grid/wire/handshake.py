"""How a connection begins: what it is for, and mutual proof of the secret.

Fixed-size messages, read with exact lengths, so that nothing else is parsed before the proof:

    client -> server   HELLO   magic 4, purpose 1, index 1, client id 16, nonce 16
    server -> client   ANSWER  verdict 1, node id 16, nonce 16     (CHALLENGE, or TRUSTED)
    client -> server   PROOF   MAC 32                              (only after CHALLENGE)
    server -> client   WELCOME verdict 1, MAC 32

The client proves first: a server gives strangers nothing to test guesses on. Both proofs
cover purpose, nonces and the server's address and port. Later frames carry no MAC: whoever
controls the path between two machines can take an open connection over. TRUSTED is for
unix sockets, where the kernel vouches for the user on both sides (SO_PEERCRED).

The first four bytes tell this protocol from others that may join on the same port.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum

from grid.errors import AuthenticationError, ProtocolError
from grid.types import NODE_ID_BYTES, Address, NodeId
from grid.wire.security import ClusterKeys, is_equal, mac

MAGIC = b"GRT1"
NONCE_BYTES = 16
HELLO_BYTES = 4 + 1 + 1 + NODE_ID_BYTES + NONCE_BYTES
ANSWER_BYTES = 1 + NODE_ID_BYTES + NONCE_BYTES
PROOF_BYTES = 32
WELCOME_BYTES = 1 + PROOF_BYTES
DEADLINE_S = 5.0
"""A connection that has not proved itself by then is closed."""

CONNECT_PATIENCE_S = 0.25
"""How long the first attempt to connect may take, the next one twice that, and so on. A packet that
is lost there is sent again by the kernel after a whole second (RFC 6298), and a LAN answers within
milliseconds."""


class Purpose(IntEnum):
    """What a connection is for."""

    CONTROL = 1
    STORAGE = 2
    PEER = 3
    EXCHANGE = 4
    PING = 5


class Verdict(IntEnum):
    """First byte of what the server answers."""

    CHALLENGE = 1
    TRUSTED = 2
    WELCOME = 3
    WRONG_SECRET = 4
    NO_SUCH_STORAGE = 5
    BUSY = 6


@dataclass(frozen=True, slots=True)
class Hello:
    """The client's first message; `index` is the storage process wanted."""

    purpose: Purpose
    index: int
    client_id: bytes
    nonce: bytes

    @classmethod
    def create(cls, purpose: Purpose, index: int = 0, client_id: bytes | None = None) -> Hello:
        """Return a fresh HELLO; without `client_id` an anonymous client's."""
        sender = os.urandom(NODE_ID_BYTES) if client_id is None else client_id
        return cls(purpose, index, sender, os.urandom(NONCE_BYTES))

    def pack(self) -> bytes:
        """Return the fixed-size bytes."""
        return MAGIC + bytes((self.purpose, self.index)) + self.client_id + self.nonce


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's first message."""

    verdict: Verdict
    node_id: NodeId
    nonce: bytes

    def pack(self) -> bytes:
        """Return the fixed-size bytes."""
        return bytes((self.verdict,)) + self.node_id + self.nonce


def unpack_hello(data: bytes) -> Hello:
    """Parse a HELLO.

    Raises: ProtocolError when it is none.
    """
    if len(data) != HELLO_BYTES or data[:4] != MAGIC:
        raise ProtocolError("not a grid connection")
    try:
        purpose = Purpose(data[4])
    except ValueError as error:
        raise ProtocolError(f"unknown connection purpose {data[4]}") from error
    middle = 6 + NODE_ID_BYTES
    return Hello(purpose, data[5], data[6:middle], data[middle:])


def unpack_answer(data: bytes) -> Answer:
    """Parse an ANSWER.

    Raises: ProtocolError when it is none.
    """
    middle = 1 + NODE_ID_BYTES
    return Answer(unpack_verdict(data), NodeId(data[1:middle]), data[middle:])


def unpack_verdict(data: bytes) -> Verdict:
    """Return the verdict in the first byte.

    Raises: ProtocolError when it is none.
    """
    try:
        return Verdict(data[0])
    except (ValueError, IndexError) as error:
        raise ProtocolError("the other side does not speak grid's protocol") from error


def client_proof(keys: ClusterKeys, hello: Hello, answer: Answer, server: Address) -> bytes:
    """Return the PROOF of a client that has connected to the endpoint `server`.

    The endpoint is part of it, so that whoever sits on another port cannot pass the
    messages on to a real node.
    """
    return mac(keys.connection_key, _transcript(hello, answer, server), PROOF_BYTES, b"client")


def server_proof(keys: ClusterKeys, hello: Hello, answer: Answer, server: Address) -> bytes:
    """Return the MAC of a WELCOME; `server` is the own end of the connection."""
    return mac(keys.connection_key, _transcript(hello, answer, server), PROOF_BYTES, b"server")


def _transcript(hello: Hello, answer: Answer, server: Address) -> bytes:
    return hello.pack() + answer.pack() + str(server).encode()


def check_welcome(
    welcome: bytes,
    keys: ClusterKeys | None,
    hello: Hello,
    answer: Answer,
    server: Address,
    where: object,
) -> None:
    """Judge the last message of `server`; `where` names it in errors.

    Raises: AuthenticationError when the secret differs on either side; ProtocolError.
    """
    verdict = unpack_verdict(welcome)
    if verdict is Verdict.WRONG_SECRET:
        raise AuthenticationError(
            f"{where} belongs to another cluster or uses another secret: "
            "cluster name and secret must be the same on every machine"
        )
    if verdict is not Verdict.WELCOME:
        raise ProtocolError(f"{where} answers {verdict.name}")
    if answer.verdict is Verdict.TRUSTED:
        return
    if keys is None or not is_equal(server_proof(keys, hello, answer, server), welcome[1:]):
        raise AuthenticationError(f"{where} could not prove that it knows the secret")
