"""Where this user's nodes have met others: a small file for each cluster.

Responsible for: keeping the addresses over restarts, so that a node finds its cluster again where
multicast is filtered and seeds have moved.

Not responsible for: whether anybody still answers there, or belongs to the cluster: these are
places to ask, as seeds are, and whoever answers proves the secret as always.

Theory of operation. A file is a hint: whatever is wrong with it, it reads as empty, and one that
cannot be written is not. All nodes of the user share it and nobody locks it: of two that write at
the same moment one wins, and the other's news come with its next change.

Used by: the network process. It blocks for a small file.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import orjson

from grid.machine_secret import state_folder
from grid.types import Address

logger = logging.getLogger("grid.remembered_peers")

PEERS_MAX = 64
"""Addresses in a file; one that answers is enough, so the newest serve."""

FILES_MAX = 32
"""Clusters of which peers are remembered."""

_TAG_DIGITS = 16
# Exact, since what it finds may be deleted.
_FILE_PATTERN = f"peers-{'[0-9a-f]' * _TAG_DIGITS}.json"
_FILE_BYTES_MAX = 1 << 20


class _Content(msgspec.Struct):
    cluster: str
    peers: list[str]


class RememberedPeers:
    """The peers of one cluster, in `folder` or else in the user's state folder.

    Loopback is never remembered: it means another machine to everybody, and clusters that live on
    it, those of tests above all, leave no files. No method raises anything.
    """

    def __init__(self, cluster: str, folder: Path | None = None) -> None:
        self._cluster = cluster
        self._folder = folder
        tag = hashlib.sha256(cluster.encode()).hexdigest()[:_TAG_DIGITS]
        self._name = f"peers-{tag}.json"

    def load(self) -> list[Address]:
        """Return the remembered addresses, newest first; none if the file is not ours."""
        try:
            # Non-blocking, lest a named pipe in its place make us wait for ever.
            descriptor = os.open(self._path(), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(_FILE_BYTES_MAX)
            content = msgspec.convert(orjson.loads(data), _Content)
        except FileNotFoundError:
            return []  # Nobody was met yet.
        except (OSError, RuntimeError, ValueError, msgspec.ValidationError) as error:
            logger.debug("remembered peers not read from %s: %s", self._name, error)
            return []
        if content.cluster != self._cluster:
            logger.debug("%s remembers the peers of %r", self._name, content.cluster)
            return []
        return _worth_keeping(content.peers)

    def remember(self, addresses: Iterable[Address]) -> None:
        """Put `addresses` in front of those remembered, newest first.

        Writes only news: the same addresses in front already, in whatever order, are none.
        """
        news = _worth_keeping(map(str, addresses))
        old = self.load()
        if set(news) == set(old[: len(news)]):
            return
        peers = _worth_keeping(map(str, [*news, *old]))
        content = {"cluster": self._cluster, "peers": [str(peer) for peer in peers]}
        try:
            path = self._path()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(path, orjson.dumps(content))
            _remove_oldest_beside(path)
        except (OSError, RuntimeError) as error:
            logger.debug("peers not remembered in %s: %s", self._name, error)

    def _path(self) -> Path:
        """Return the file; RuntimeError when this user has no home folder."""
        return (self._folder or state_folder()) / self._name


def _worth_keeping(texts: Iterable[str]) -> list[Address]:
    """Return the first `PEERS_MAX` addresses of use to another start, each once."""
    found: dict[Address, None] = {}
    for text in texts:
        with contextlib.suppress(ValueError):  # One damaged entry costs itself only.
            address = Address.parse(text)
            if not _is_local(address.host):
                found[address] = None
    return list(found)[:PEERS_MAX]


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:  # A name that somebody chose to advertise.
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _replace(path: Path, data: bytes) -> None:
    """Let the new content appear at once; after a crash of the machine it may be lost."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # Mode 0600.
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def _remove_oldest_beside(path: Path) -> None:
    """Leave the newest `FILES_MAX` files, `path` among them whatever its clock says."""
    others = [file for file in path.parent.glob(_FILE_PATTERN) if file != path]
    others.sort(key=lambda file: file.stat().st_mtime_ns, reverse=True)
    for file in others[FILES_MAX - 1 :]:
        file.unlink(missing_ok=True)
