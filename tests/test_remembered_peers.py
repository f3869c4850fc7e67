"""Peers outlive their node's restart, and no state of the file is an error."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from grid.remembered_peers import FILES_MAX, PEERS_MAX, RememberedPeers
from grid.types import Address

DESK, ATTIC, CELLAR = (Address(f"192.0.2.{n}", 7701) for n in (1, 2, 3))


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    """The state folder of a user who has none yet."""
    return tmp_path / "state" / "grid"


@pytest.fixture(name="peers")
def fixture_peers(folder: Path) -> RememberedPeers:
    return RememberedPeers("grid", folder)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_peers_are_remembered_newest_first(peers: RememberedPeers, folder: Path) -> None:
    peers.remember([DESK])
    peers.remember([ATTIC, CELLAR])
    peers.remember([DESK])
    assert RememberedPeers("grid", folder).load() == [DESK, ATTIC, CELLAR]


def test_file_can_be_read_by_people_and_by_its_owner_only(
    peers: RememberedPeers, folder: Path
) -> None:
    peers.remember([DESK, Address("desk.lan", 7702)])
    path = only_file(folder)
    assert len(path.name) == len("peers-.json") + 16
    assert orjson.loads(path.read_bytes()) == {
        "cluster": "grid",
        "peers": ["192.0.2.1:7701", "desk.lan:7702"],
    }
    assert [p.stat().st_mode & 0o777 for p in (folder, path)] == [0o700, 0o600]


def test_folder_is_the_users_state_folder_when_nothing_else_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    RememberedPeers("grid").remember([DESK])
    assert RememberedPeers("grid", tmp_path / "grid").load() == [DESK]


def test_clusters_have_peers_of_their_own(folder: Path) -> None:
    names = ("grid", "Grid", "../grid", "gr/id", "grid\n", "\N{SNOWMAN}")
    for number, name in enumerate(names, start=1):
        RememberedPeers(name, folder).remember([Address("192.0.2.9", number)])
    found = [RememberedPeers(name, folder).load() for name in names]
    assert found == [[Address("192.0.2.9", n)] for n in range(1, len(names) + 1)]
    assert len(list(folder.iterdir())) == len(names)


def test_only_the_newest_are_kept_and_each_once(peers: RememberedPeers) -> None:
    everybody = [Address("192.0.2.1", port) for port in range(1, 2 * PEERS_MAX)]
    peers.remember([*everybody[:PEERS_MAX], *everybody])
    assert peers.load() == everybody[:PEERS_MAX]
    peers.remember(everybody[PEERS_MAX : PEERS_MAX + 2])
    assert peers.load() == everybody[PEERS_MAX : PEERS_MAX + 2] + everybody[: PEERS_MAX - 2]


def test_peers_of_loopback_leave_no_file(peers: RememberedPeers, folder: Path) -> None:
    local = ("127.0.0.1", "127.9.8.7", "localhost", "0.0.0.0")
    peers.remember(Address(host, 7701) for host in local)
    peers.remember([])
    assert not folder.exists()
    peers.remember([Address("127.0.0.1", 7701), DESK])
    assert peers.load() == [DESK]


def test_addresses_that_cannot_be_written_as_one_are_passed_over(peers: RememberedPeers) -> None:
    peers.remember([Address("fd00::2", 7701), Address("192.0.2.7", 0), Address("", 7701), DESK])
    assert peers.load() == [DESK]


def test_file_is_written_for_news_only(peers: RememberedPeers, folder: Path) -> None:
    peers.remember([DESK, ATTIC, CELLAR])
    inode = only_file(folder).stat().st_ino
    # Another name for it, lest its inode be used again for the next file.
    os.link(only_file(folder), folder.parent / "kept")
    peers.remember([ATTIC, DESK])
    peers.remember([])
    assert only_file(folder).stat().st_ino == inode, "known, whatever their order"
    peers.remember([CELLAR])
    assert only_file(folder).stat().st_ino != inode, "another one is the newest"


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"null",
        b'{"cluster": "grid"}',
        b'{"cluster": "grid", "peers": "192.0.2.1:7701"}',
        b'{"cluster": "grid", "peers": [7701]}',
        b'{"cluster": "another", "peers": ["192.0.2.1:7701"]}',
        b"[" * 100_000,
    ],
)
def test_damaged_file_reads_as_empty_and_is_replaced(
    damage: bytes, peers: RememberedPeers, folder: Path
) -> None:
    peers.remember([DESK])
    only_file(folder).write_bytes(damage)
    assert peers.load() == []
    peers.remember([ATTIC])
    assert peers.load() == [ATTIC]


def test_damaged_entry_costs_itself_only(peers: RememberedPeers, folder: Path) -> None:
    peers.remember([DESK])
    texts = ["192.0.2.1", "192.0.2.2:7701", ":1", "a:b:1", "127.0.0.1:1", "192.0.2.3:99999"]
    only_file(folder).write_bytes(orjson.dumps({"cluster": "grid", "peers": texts}))
    assert peers.load() == [ATTIC]


def test_what_is_no_file_reads_as_empty(peers: RememberedPeers, folder: Path) -> None:
    peers.remember([DESK])
    path = only_file(folder)
    path.unlink()
    os.mkfifo(path)
    assert peers.load() == []
    path.unlink()
    path.mkdir()
    assert peers.load() == []
    peers.remember([DESK])
    assert list(folder.iterdir()) == [path], "no draft is left behind"


def test_folder_that_cannot_be_used_is_no_error(tmp_path: Path) -> None:
    # A file in the way stops even root, whom no permission stops.
    (tmp_path / "state").write_text("in the way")
    peers = RememberedPeers("grid", tmp_path / "state" / "grid")
    peers.remember([DESK])
    assert peers.load() == []


def test_user_without_a_home_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("grid.remembered_peers.state_folder", no_home)
    peers = RememberedPeers("grid")
    peers.remember([DESK])
    assert peers.load() == []


def test_clusters_of_long_ago_are_forgotten(folder: Path) -> None:
    folder.mkdir(parents=True)
    strangers = [folder / name for name in ("machine-secret", "peers-of-mine.json")]
    for stranger in strangers:
        stranger.write_text("not to be touched")
        os.utime(stranger, (0, 0))
    for number in range(FILES_MAX + 3):
        RememberedPeers(f"cluster-{number}", folder).remember([DESK])
        known = set(folder.glob(f"peers-{'?' * 16}.json"))
        for path in known:  # One day passes.
            time_s = path.stat().st_mtime - 86_400
            os.utime(path, (time_s, time_s))
    remembered = [RememberedPeers(f"cluster-{n}", folder).load() for n in range(FILES_MAX + 3)]
    assert remembered == [[]] * 3 + [[DESK]] * FILES_MAX
    assert all(stranger.exists() for stranger in strangers)


def test_file_just_written_stays_whatever_the_clock_says(folder: Path) -> None:
    for number in range(FILES_MAX):
        RememberedPeers(f"cluster-{number}", folder).remember([DESK])
    for path in folder.iterdir():
        in_the_future_s = path.stat().st_mtime + 86_400
        os.utime(path, (in_the_future_s, in_the_future_s))
    peers = RememberedPeers("newest", folder)
    peers.remember([DESK])
    assert peers.load() == [DESK]
    assert len(list(folder.iterdir())) == FILES_MAX
