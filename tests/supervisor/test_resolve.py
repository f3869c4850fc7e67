"""Every "choose for me" of the configuration becomes a number, a name or an address."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import Any

import pytest

from grid.config import SECRET_VARIABLE, Config, with_overrides
from grid.errors import ConfigError
from grid.machine_secret import machine_secret
from grid.supervisor.resolve import STORAGE_PROCESSES_MAX, core_count, resolve_nodes
from grid.wire.security import derive_keys

SECRET = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pretend to be a machine with 12 cores."""
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("grid.supervisor.resolve.core_count", lambda: 12)


def config_with(*, secret: str = "", cluster: str = "grid", **node: Any) -> Config:
    config = Config()
    return dataclasses.replace(
        config,
        cluster=dataclasses.replace(config.cluster, secret=secret, name=cluster),
        node=dataclasses.replace(config.node, **node),
    )


def test_cores_of_this_machine_are_counted() -> None:
    assert core_count() >= 1


def test_one_node_gets_all_cores_and_the_name_of_the_host() -> None:
    (node,) = resolve_nodes(Config(), 1, module_paths=["/books"])
    assert (node.workers, node.storage_processes) == (12, STORAGE_PROCESSES_MAX)
    assert node.name == socket.gethostname()
    assert (node.cluster, node.port, node.module_paths) == ("grid", 7701, ("/books",))


@pytest.mark.parametrize(
    ("count", "workers", "storages"), [(2, 6, 4), (5, 2, 2), (12, 1, 1), (30, 1, 1)]
)
def test_several_nodes_share_the_cores(count: int, workers: int, storages: int) -> None:
    nodes = resolve_nodes(Config(), count)
    assert len(nodes) == count
    assert {(node.workers, node.storage_processes) for node in nodes} == {(workers, storages)}


def test_figures_in_the_configuration_count_for_each_node() -> None:
    nodes = resolve_nodes(config_with(workers=3, storage_processes=9), 2)
    assert [(node.workers, node.storage_processes) for node in nodes] == [(3, 9)] * 2


def test_several_nodes_have_names_and_ports_of_their_own() -> None:
    nodes = resolve_nodes(config_with(name="desk", port=8000), 3)
    assert [node.name for node in nodes] == ["desk-1", "desk-2", "desk-3"]
    assert [node.port for node in nodes] == [8000, 8001, 8002]


def test_any_free_port_stays_any_free_port() -> None:
    assert [node.port for node in resolve_nodes(config_with(port=0), 3)] == [0, 0, 0]


def test_ports_end_at_the_last_one_there_is() -> None:
    assert resolve_nodes(config_with(port=65_534), 2)[-1].port == 65_535
    with pytest.raises(ConfigError, match="3 nodes from port 65534 on would pass port 65535"):
        resolve_nodes(config_with(port=65_534), 3)


def test_keys_follow_from_secret_and_cluster_name() -> None:
    (node,) = resolve_nodes(config_with(secret=SECRET, cluster="library"), 1)
    assert node.keys == derive_keys(SECRET.encode(), "library")


def test_secret_of_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    (node,) = resolve_nodes(Config(), 1)
    assert node.keys == derive_keys(SECRET.encode(), "grid")
    assert node.bind == "0.0.0.0"


def test_without_a_secret_the_machine_has_one_of_its_own(tmp_path: Path) -> None:
    first, second = resolve_nodes(Config(), 2)
    assert first.keys == second.keys == derive_keys(machine_secret(), "grid")
    assert resolve_nodes(config_with(cluster="library"), 1)[0].keys != first.keys


def test_machine_secret_is_not_made_where_there_is_another(tmp_path: Path) -> None:
    resolve_nodes(config_with(secret=SECRET), 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("node", "bind", "advertise"),
    [
        ({}, "127.0.0.1", "127.0.0.1"),
        ({"bind": "127.0.0.9"}, "127.0.0.9", "127.0.0.9"),
        ({"advertise": "localhost"}, "127.0.0.1", "localhost"),
    ],
)
def test_without_a_secret_only_this_machine_is_served(
    node: dict[str, str], bind: str, advertise: str
) -> None:
    (settings,) = resolve_nodes(config_with(**node), 1)
    assert (settings.bind, settings.advertise) == (bind, advertise)


@pytest.mark.parametrize("bind", ["0.0.0.0", "192.0.2.7", "10.127.0.1"])
def test_without_a_secret_no_other_address_is_taken(bind: str) -> None:
    with pytest.raises(ConfigError, match=rf'\[node\] bind = "{bind}": .* run \'grid keygen\''):
        resolve_nodes(config_with(bind=bind), 1)


@pytest.mark.parametrize(
    ("node", "bind", "advertise"),
    [
        ({}, "0.0.0.0", ""),
        ({"bind": "0.0.0.0"}, "0.0.0.0", ""),
        ({"bind": "192.0.2.9"}, "192.0.2.9", "192.0.2.9"),
        ({"advertise": "desk.lan"}, "0.0.0.0", "desk.lan"),
        ({"bind": "192.0.2.9", "advertise": "desk.lan"}, "192.0.2.9", "desk.lan"),
    ],
)
def test_with_a_secret_the_network_is_served(
    node: dict[str, str], bind: str, advertise: str
) -> None:
    (settings,) = resolve_nodes(config_with(secret=SECRET, **node), 1)
    assert (settings.bind, settings.advertise) == (bind, advertise)


def test_options_of_the_sections_are_handed_on() -> None:
    config = Config()
    (node,) = resolve_nodes(config, 1)
    assert node.membership is config.membership
    assert node.discovery is config.discovery
    assert node.storage is config.storage
    assert node.executor is config.executor


def test_nodes_whose_ports_would_meet_the_multicast_port_are_refused():
    config = with_overrides(Config(), port=7699)
    with pytest.raises(ConfigError, match="multicast port 7700"):
        resolve_nodes(config, 2)
