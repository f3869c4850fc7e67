"""cluster.toml: what is accepted, and the one sentence that names what is not."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from grid.config import (
    SECRET_VARIABLE,
    Config,
    keygen,
    load,
    parse,
    render_default,
    resolve_secret,
    with_overrides,
)
from grid.errors import ConfigError
from grid.option import specs_of

ROOT = Path(__file__).resolve().parent.parent
SECRET = "correct horse battery staple"


def sentence(text: str) -> str:
    """Return what the user is told about a cluster.toml; it is always one line."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "cluster.toml")
    assert str(caught.value).isprintable()
    return str(caught.value)


def with_secret_file(path: Path) -> Config:
    config = Config()
    return dataclasses.replace(
        config, cluster=dataclasses.replace(config.cluster, secret_file=str(path))
    )


class TestDefaults:
    def test_cluster_toml_at_the_top_is_the_rendered_default(self):
        text = (ROOT / "cluster.toml").read_text()
        assert text == render_default(), "cluster.toml must be what config.render_default() returns"

    def test_rendered_default_means_the_defaults(self):
        assert parse(render_default(), "cluster.toml") == Config() == load(None)

    def test_empty_file_means_the_defaults(self):
        assert parse("", "cluster.toml") == Config()

    def test_rendered_default_has_every_key_and_no_other(self):
        tables = tomllib.loads(render_default())
        sections = {
            field.name: getattr(Config(), field.name) for field in dataclasses.fields(Config)
        }
        assert {name: list(table) for name, table in tables.items()} == {
            name: list(specs_of(type(options))) for name, options in sections.items()
        }

    def test_every_option_has_help_and_every_number_a_range(self):
        for field in dataclasses.fields(Config):
            for spec in specs_of(type(getattr(Config(), field.name))).values():
                assert spec.help.endswith("."), spec.name
                if isinstance(spec.default, int | float) and not isinstance(spec.default, bool):
                    assert spec.low is not None, spec.name
                    assert spec.high is not None, spec.name

    def test_seconds_and_bytes_are_in_the_name(self):
        for field in dataclasses.fields(Config):
            for spec in specs_of(type(getattr(Config(), field.name))).values():
                assert (spec.unit == "seconds") == spec.name.endswith("_s"), spec.name
                assert (spec.unit == "bytes") == ("_bytes_" in spec.name), spec.name


class TestParse:
    def test_given_keys_replace_defaults(self):
        text = '[node]\nport = 0\n[discovery]\nseeds = ["db:7701"]\n[membership]\nlate_s = 5\n'
        config = parse(text, "cluster.toml")
        assert config.node.port == 0
        assert config.discovery.seeds == ("db:7701",)
        assert config.membership.late_s == 5.0
        assert isinstance(config.membership.late_s, float)
        assert config.storage == Config().storage

    def test_unknown_key_is_named_with_its_near_miss(self):
        assert sentence("[node]\nprot = 7701") == (
            'cluster.toml: [node] prot = 7701: unknown key; did you mean "port"? (allowed: name,'
            " bind, advertise, port, storage_processes, workers)"
        )

    @pytest.mark.parametrize("key", ["Storage_Processes", "storage-processes", "STORAGE_PROCESS"])
    def test_case_and_dashes_are_near_misses(self, key: str):
        assert 'did you mean "storage_processes"?' in sentence(f"[node]\n{key} = 2")

    def test_key_of_another_section_is_sent_there(self):
        assert "unknown key; it belongs to [discovery]" in sentence("[node]\nseeds = []")

    def test_key_outside_every_section_is_sent_into_one(self):
        assert sentence("port = 1") == (
            "cluster.toml: port = 1: stands outside every section; it belongs below [node]"
        )
        assert "allowed: cluster, node" in sentence("zzz = 1")

    def test_unknown_section_is_named_with_its_near_miss(self):
        assert sentence("[nod]").startswith(
            "cluster.toml: [nod]: unknown section; did you mean [node]? (allowed: cluster, node,"
        )
        assert "did you mean" not in sentence("[zzz]")

    @pytest.mark.parametrize("text", ["node = 3", "[[node]]\nport = 1"])
    def test_section_of_another_shape_is_refused(self, text: str):
        assert "node: must be a section" in sentence(text)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[node]\nport = 99999", "port = 99999: must be a whole number from 0 to 65535"),
            ("[node]\nport = true", "port = true: must be a whole number"),
            ("[node]\nport = 7701.0", "port = 7701.0: must be a whole number"),
            ('[node]\nport = "7701"', 'port = "7701": must be a whole number'),
            ("[node]\nport = 2020-01-01", "port = 2020-01-01: must be a whole number"),
            ("[node.port]\nx = 1", "port = {...}: must be a whole number"),
            ("[membership]\nsuspicion_max_s = inf", "suspicion_max_s = inf: must be a number from"),
            ("[membership]\nsuspicion_max_s = nan", "suspicion_max_s = nan: must be a number from"),
            ("[membership]\nsuspicion_max_s = 0.1", "a number from 0.5 to 600 seconds"),
            ("[discovery]\nmulticast = 1", "multicast = 1: must be true or false"),
            ('[discovery]\nseeds = "db:1"', 'seeds = "db:1": must be a list'),
            ('[discovery]\nseeds = ["db"]', '; "db" is not'),
            ('[discovery]\nmulticast_group = "10.0.0.1"', "must be an IPv4 multicast address"),
            ('[discovery]\nmulticast_group = "ff02::1"', "must be an IPv4 multicast address"),
            ('[discovery]\nmulticast_group = "all"', "must be an IPv4 multicast address"),
            ('[node]\nbind = "localhost"', "must be an IPv4 address"),
            ('[node]\nadvertise = "a b"', "must be an IPv4 address or a host name"),
            ('[node]\nname = "a\\tb"', 'name = "a\\u0009b": must not contain control'),
            (f'[node]\nname = "{"x" * 64}"', "must be text of at most 63 characters"),
            ('[cluster]\nname = ""', "must be text from 1 to 63 characters"),
            ("[storage]\nvalue_bytes_max = 67108865", "from 1024 to 67108864 bytes"),
        ],
    )
    def test_wrong_value_is_told_with_what_is_allowed(self, text: str, told: str):
        message = sentence(text)
        assert message.startswith("cluster.toml: [")
        assert told in message
        assert "(default " in message

    def test_port_of_the_beacons_is_not_for_nodes(self):
        assert sentence("[node]\nport = 7700") == (
            "cluster.toml: [node] port = 7700: must differ from [discovery] multicast_port"
        )
        text = "[node]\nport = 7700\n[discovery]\nmulticast = false"
        assert parse(text, "cluster.toml").node.port == 7700

    def test_invalid_toml_is_told_with_its_line(self):
        message = sentence("[node]\nport 7701\n")
        assert message.startswith("cluster.toml: is not valid TOML: ")
        assert "line 2" in message

    @pytest.mark.parametrize("text", ["x = " + "9" * 5000, "x = " + "[" * 100_000])
    def test_absurd_toml_is_told_in_a_sentence(self, text: str):
        assert sentence(text).startswith("cluster.toml: is not valid TOML: ")

    @pytest.mark.parametrize(
        "text",
        [
            '[cluster]\nsecret = "hunter2"',
            '[cluster]\nsecrte = "hunter2"',
            '[cluster]\nSECRET = "hunter2"',
            '[node]\nsecret = "hunter2"',
            'secret = "hunter2"',
            "[cluster]\nsecret = ['hunter2']",
        ],
    )
    def test_no_message_gives_the_secret_away(self, text: str):
        assert "hunter2" not in sentence(text)

    def test_key_with_a_line_end_stays_in_the_sentence(self):
        assert '"a\\u000Ab" = 1: unknown key' in sentence('[node]\n"a\\nb" = 1')

    @given(st.dictionaries(st.text(), st.integers() | st.text() | st.floats() | st.booleans()))
    def test_any_section_is_accepted_or_refused_in_a_sentence(self, table: dict[str, Any]):
        # Through tomlkit, so that every text arrives quoted as it must be.
        text = tomlkit.dumps({"node": table})
        told = "accepted"
        try:
            parse(text, "cluster.toml")
        except ConfigError as error:
            told = str(error)
        assert told.isprintable()


class TestLoad:
    def test_missing_file_is_told(self, tmp_path: Path):
        with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: no such file"):
            load(tmp_path / "absent.toml")

    def test_folder_is_told(self, tmp_path: Path):
        with pytest.raises(ConfigError, match="cannot be read: is a directory"):
            load(tmp_path)

    def test_file_that_is_no_text_is_told(self, tmp_path: Path):
        path = tmp_path / "cluster.toml"
        path.write_bytes(b"[node]\nname = '\xff'")
        with pytest.raises(ConfigError, match="is not UTF-8 text"):
            load(path)

    def test_message_names_the_file(self, tmp_path: Path):
        path = tmp_path / "mine.toml"
        path.write_text("[node]\nprot = 1")
        with pytest.raises(ConfigError, match=r"mine\.toml: \[node\] prot = 1"):
            load(path)

    def test_byte_order_mark_and_windows_line_ends_are_fine(self, tmp_path: Path):
        path = tmp_path / "cluster.toml"
        path.write_bytes(b"\xef\xbb\xbf[node]\r\nport = 1\r\n")
        assert load(path).node.port == 1

    def test_secret_file_is_looked_for_beside_the_file(self, tmp_path: Path):
        path = tmp_path / "cluster.toml"
        path.write_text('[cluster]\nsecret_file = "key"')
        assert load(path).cluster.secret_file == str(tmp_path / "key")
        path.write_text('[cluster]\nsecret_file = "/etc/key"')
        assert load(path).cluster.secret_file == "/etc/key"


class TestOverrides:
    def test_given_flags_replace_values_and_others_stay(self):
        config = parse("[node]\nport = 1\nworkers = 3", "cluster.toml")
        result = with_overrides(config, port=0, name="left", seeds=["db:1"], multicast=False)
        assert (result.node.port, result.node.name, result.node.workers) == (0, "left", 3)
        assert result.discovery.seeds == ("db:1",)
        assert not result.discovery.multicast
        assert with_overrides(config) == config

    @pytest.mark.parametrize(
        ("flags", "told"),
        [
            ({"port": 65536}, "--port = 65536: must be a whole number from 0 to 65535"),
            ({"storage_processes": -1}, "--storage-processes = -1: must be a whole number"),
            ({"workers": True}, "--workers = true: must be"),
            ({"name": "a\n"}, '--name = "a\\u000A": must not contain'),
            ({"seeds": ["db"]}, "--seeds = "),
            ({"multicast_group": "1.2.3.4"}, '--multicast-group = "1.2.3.4": must be an IPv4'),
            ({"port": 7700}, "--port = 7700: must differ from [discovery] multicast_port"),
        ],
    )
    def test_wrong_flag_is_named(self, flags: dict[str, Any], told: str):
        with pytest.raises(ConfigError) as caught:
            with_overrides(Config(), **flags)
        assert str(caught.value).startswith(told)


class TestResolveSecret:
    @pytest.fixture(autouse=True)
    def _no_secret_around(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(SECRET_VARIABLE, raising=False)

    def test_without_any_there_is_none(self):
        assert resolve_secret(Config()) is None

    def test_secret_of_the_file_wins_over_the_environment(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv(SECRET_VARIABLE, "x" * 20)
        assert resolve_secret(Config()) == b"x" * 20
        config = parse(f'[cluster]\nsecret = "{SECRET}"', "cluster.toml")
        assert resolve_secret(config) == SECRET.encode()

    def test_secret_file_is_read_without_its_line_end(self, tmp_path: Path):
        path = tmp_path / "key"
        path.write_text(f"{SECRET}\n")
        path.chmod(0o600)
        assert resolve_secret(with_secret_file(path)) == SECRET.encode()

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
    def test_secret_file_open_to_others_is_refused(self, tmp_path: Path, mode: int):
        path = tmp_path / "key"
        path.write_text(SECRET)
        path.chmod(mode)
        with pytest.raises(ConfigError, match=f"mode 0{mode:o}.; run: chmod 600 {path}"):
            resolve_secret(with_secret_file(path))

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "has 0 characters but needs at least 16"),
            (b"short", "has 5 characters but needs at least 16"),
            (b"x" * 1025, "one line of 16 to 1024 visible characters"),
            (b"two lines, long\nenough", "one line of 16 to 1024 visible characters"),
            (b"\xff" * 20, "is not UTF-8 text"),
        ],
    )
    def test_secret_file_without_a_good_secret_is_refused(
        self, tmp_path: Path, content: bytes, told: str
    ):
        path = tmp_path / "key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ConfigError, match=told):
            resolve_secret(with_secret_file(path))

    def test_secret_file_that_is_absent_or_no_file_is_told(self, tmp_path: Path):
        with pytest.raises(ConfigError, match="cannot be read: no such file"):
            resolve_secret(with_secret_file(tmp_path / "absent"))
        with pytest.raises(ConfigError, match="cannot be read: is a directory"):
            resolve_secret(with_secret_file(tmp_path))
        os.mkfifo(tmp_path / "pipe", 0o600)
        with pytest.raises(ConfigError, match="is not a regular file"):
            resolve_secret(with_secret_file(tmp_path / "pipe"))

    def test_short_secret_of_the_environment_is_refused(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv(SECRET_VARIABLE, "hunter2")
        with pytest.raises(ConfigError, match="GRID_SECRET: the secret has 7") as caught:
            resolve_secret(Config())
        assert "hunter2" not in str(caught.value)


class TestKeygen:
    def test_absent_file_is_made_complete_and_private(self, tmp_path: Path):
        path = tmp_path / "cluster.toml"
        keygen(path)
        secret = load(path).cluster.secret
        assert len(secret) == 43
        assert path.read_text() == render_default().replace('secret = ""', f'secret = "{secret}"')
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("line_end", ["\n", "\r\n"])
    def test_comments_and_layout_survive(self, tmp_path: Path, line_end: str):
        path = tmp_path / "cluster.toml"
        lines = [
            "# mine",
            "[cluster]",
            '  secret   = ""  # ours',
            "",
            "[node] # here",
            "port=1",
            "",
        ]
        path.write_bytes(line_end.join(lines).encode())
        path.chmod(0o644)
        keygen(path)
        secret = load(path).cluster.secret
        lines[2] = f'  secret   = "{secret}"  # ours'
        assert path.read_bytes() == line_end.join(lines).encode()
        assert path.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        "text", ["", "[node]\nport = 1\n", "[cluster]\n", 'cluster.name = "a"\n']
    )
    def test_missing_key_is_added(self, tmp_path: Path, text: str):
        path = tmp_path / "cluster.toml"
        path.write_text(text)
        before = parse(text, "before")
        keygen(path)
        after = load(path)
        assert len(after.cluster.secret) == 43
        assert (after.node, after.cluster.name) == (before.node, before.cluster.name)

    def test_secret_in_use_is_replaced_only_by_force(self, tmp_path: Path):
        path = tmp_path / "cluster.toml"
        keygen(path)
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=r"secret is set already.*--force"):
            keygen(path)
        assert path.read_bytes() == before
        keygen(path, force=True)
        assert path.read_bytes() != before

    def test_two_secrets_differ(self, tmp_path: Path):
        for name in "ab":
            keygen(tmp_path / name)
        assert load(tmp_path / "a").cluster.secret != load(tmp_path / "b").cluster.secret

    def test_symbolic_link_stays_one(self, tmp_path: Path):
        target = tmp_path / "real.toml"
        target.write_text("")
        link = tmp_path / "link.toml"
        link.symlink_to(target)
        keygen(link)
        assert link.is_symlink()
        assert load(target).cluster.secret

    @pytest.mark.parametrize("text", ["[cluster", "cluster = 3"])
    def test_file_that_is_wrong_is_left_alone(self, tmp_path: Path, text: str):
        path = tmp_path / "cluster.toml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"cluster\.toml: "):
            keygen(path)
        assert path.read_text() == text
        assert list(tmp_path.iterdir()) == [path]

    def test_absent_folder_is_told(self, tmp_path: Path):
        with pytest.raises(ConfigError, match="cannot be written: no such file"):
            keygen(tmp_path / "absent" / "cluster.toml")
