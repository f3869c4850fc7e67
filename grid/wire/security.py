"""Keys of a cluster: everything that travels is authenticated with what is derived here.

One secret and the cluster's name give independent keys for datagrams and for connections, so
another name or another secret is a stranger. Nothing is encrypted: a LAN neighbour can read
what passes. It cannot make a connection or a datagram that is accepted; who can redirect
traffic between two machines can take over a connection they have made.

Programs that only read pages by HTTP show a *bearer token*, a key of its own in hex: it crosses the
network as it is, the secret need not.

Primitive: keyed BLAKE2b (RFC 7693), compared in constant time.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import blake2b, sha512

KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class ClusterKeys:
    """What a node or client holds instead of the secret itself.

    `name_tag` and `key_tag` travel in clear: they let a stranger's datagram be told from a
    forged one ("another cluster", "same name but another secret") and reveal nothing useful.
    """

    name_tag: bytes
    key_tag: bytes
    datagram_key: bytes
    connection_key: bytes
    bearer_key: bytes


def derive_keys(secret: bytes, cluster_name: str) -> ClusterKeys:
    """Derive all keys of a cluster from its secret and name."""
    root = sha512(secret).digest()
    name = cluster_name.encode()

    def derive(purpose: bytes, size: int) -> bytes:
        return blake2b(name, key=root, person=purpose, digest_size=size).digest()

    return ClusterKeys(
        name_tag=blake2b(name, person=b"grid-name", digest_size=4).digest(),
        key_tag=derive(b"grid-tag", 4),
        datagram_key=derive(b"grid-datagram", KEY_BYTES),
        connection_key=derive(b"grid-connect", KEY_BYTES),
        bearer_key=derive(b"grid-bearer", KEY_BYTES),
    )


def bearer_token(keys: ClusterKeys) -> str:
    """Return what a program shows to read a node's pages; it opens nothing else."""
    return keys.bearer_key.hex()


def is_bearer(keys: ClusterKeys, cluster_name: str, token: bytes) -> bool:
    """Whether `token` is the cluster's bearer token, or its secret itself."""
    if is_equal(token, bearer_token(keys).encode()):
        return True
    return is_equal(derive_keys(token, cluster_name).bearer_key, keys.bearer_key)


def mac(key: bytes, data: bytes, size: int, purpose: bytes) -> bytes:
    """Return the authentication code of `data`; `purpose` keeps uses apart."""
    return blake2b(data, key=key, digest_size=size, person=purpose).digest()


def is_equal(left: bytes, right: bytes) -> bool:
    """Compare two codes in constant time."""
    return hmac.compare_digest(left, right)
