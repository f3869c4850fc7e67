"""cluster.toml, flags and environment to frozen options, and back to a commented file.

Responsible for: reading and checking the configuration; naming file, key, value and what is
allowed in one sentence when something is wrong; the text of the default cluster.toml; the secret:
finding it (`resolve_secret`) and making it (`keygen`).

Not responsible for: which options exist (``*/options.py``, and the two classes below), the rules
of a single value (``option.py``), the files underneath (``secret_file.py``), flags and exit codes
(``cli.py``).

Theory of operation. `Config` is a tree of options dataclasses; its fields are the sections of the
file and their fields the keys. Everything else is derived from the declarations. The first mistake
found is reported, since one sentence gets read and ten do not.

Departures and omissions. There is no include, no profile and no environment variable per option.
The secret of the file wins over `secret_file`, which wins over the environment: what is written
down beside the rest is what counts.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import secrets
import textwrap
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grid.client.options import ClientOptions
from grid.errors import ConfigError
from grid.executor.options import ExecutorOptions
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.option import OptionError, check_host, check_ipv4, literal, option, specs_of
from grid.replication.options import ReplicationOptions
from grid.secret_file import read_secret, read_text, replace_file, with_secret
from grid.storage.options import StorageOptions

SECRET_VARIABLE = "GRID_SECRET"
SECRET_CHARACTERS_MIN = 16
"""Below this a secret can be found by trying; `keygen` makes one of 43 characters."""
SECRET_CHARACTERS_MAX = 1024
NAME_CHARACTERS_MAX = 63
"""As long as one label of a host name (RFC 1035), which is what a node is called by default."""
_SECRET_BYTES = 32
_TEXT_COLUMNS = 96


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What makes the machines one cluster; the same on every machine."""

    name: str = option(
        "grid",
        help="""Nodes join only clusters of their own name, so that several clusters can share a
            network.""",
        low=1,
        high=NAME_CHARACTERS_MAX,
    )
    secret: str = option(
        "",
        help="""What every machine of the cluster knows and nobody else does; "grid keygen" writes
            one here. Without any secret a node serves only its own machine.""",
        low=SECRET_CHARACTERS_MIN,
        high=SECRET_CHARACTERS_MAX,
        hidden=True,
    )
    secret_file: str = option(
        "",
        help="""A file that holds the secret, used if secret is empty; relative to the folder of
            this file, readable by its owner only. If both are empty, the environment variable
            GRID_SECRET is used.""",
        high=4096,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """This machine's node; free to differ between machines."""

    name: str = option(
        "",
        help="""What people see this node called. Empty: the host name.""",
        high=NAME_CHARACTERS_MAX,
    )
    bind: str = option(
        "",
        help="""The address to listen on. Empty: every interface if there is a secret, else
            127.0.0.1.""",
        check=check_ipv4,
    )
    advertise: str = option(
        "",
        help="""The address or host name under which others reach this node. Empty: its first
            address on the local network.""",
        check=check_host,
    )
    port: int = option(
        7701,
        help="""The port of everything, TCP and UDP. 0: any free one.""",
        low=0,
        high=65535,
    )
    storage_processes: int = option(
        0,
        help="""How many processes hold data. 0: as many as there are cores, at most 4.""",
        low=0,
        high=64,
    )
    workers: int = option(
        0,
        help="""How many processes run tasks. 0: as many as there are cores.""",
        low=0,
        high=1024,
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All options of one node; the fields are the sections of cluster.toml, in their order."""

    cluster: ClusterOptions = dataclasses.field(default_factory=ClusterOptions)
    node: NodeOptions = dataclasses.field(default_factory=NodeOptions)
    discovery: DiscoveryOptions = dataclasses.field(default_factory=DiscoveryOptions)
    membership: MembershipOptions = dataclasses.field(default_factory=MembershipOptions)
    storage: StorageOptions = dataclasses.field(default_factory=StorageOptions)
    replication: ReplicationOptions = dataclasses.field(default_factory=ReplicationOptions)
    executor: ExecutorOptions = dataclasses.field(default_factory=ExecutorOptions)
    client: ClientOptions = dataclasses.field(default_factory=ClientOptions)


# The values are classes of eight unrelated types; what they share is that `specs_of` reads them.
_SECTIONS: dict[str, Any] = {
    field.name: field.default_factory for field in dataclasses.fields(Config)
}


def load(path: Path | None) -> Config:
    """Read a configuration file; None stands for all defaults.

    A relative `secret_file` is made absolute here, since only here the file's folder is known.
    Raises: ConfigError, with one sentence that names the file.
    """
    if path is None:
        return Config()
    config = parse(read_text(path), str(path))
    if not config.cluster.secret_file:
        return config
    secret_path = path.absolute().parent / Path(config.cluster.secret_file).expanduser()
    cluster = dataclasses.replace(config.cluster, secret_file=str(secret_path))
    return dataclasses.replace(config, cluster=cluster)


def parse(text: str, source_name: str) -> Config:
    """Turn the text of a cluster.toml into options; `source_name` is how messages call it.

    Raises: ConfigError for the first mistake: file, key, value, what is allowed.
    """
    tables = _tables(text, source_name)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise _stray_key(name, table, source_name)
        if name not in _SECTIONS:
            suggestion = _did_you_mean(name, _SECTIONS, "[{}]")
            raise ConfigError(
                f"{source_name}: [{_key(name)}]: unknown section;{suggestion}"
                f" (allowed: {', '.join(_SECTIONS)})"
            )
    config = Config(
        **{name: _section(name, tables.get(name, {}), source_name) for name in _SECTIONS}
    )
    _refuse_clash(config, f"{source_name}: [node] port")
    return config


def render_default() -> str:
    """Return the complete commented cluster.toml, every key at its default."""
    paragraphs = [
        "# cluster.toml: the settings of a grid cluster.\n"
        "#\n"
        "# Every option is here with its default; a key or section left out means the same.\n"
        "# Give each machine a copy: only [node] and [client] may differ between machines."
    ]
    for section, options_class in _SECTIONS.items():
        purpose = (options_class.__doc__ or "").splitlines()[0]
        paragraphs.append(f"[{section}]\n# {purpose}")
        for name, spec in specs_of(options_class).items():
            default = literal(spec.default)
            rule = f"{spec.allowed()}; default {default}."
            comment = [
                *textwrap.wrap(spec.help, _TEXT_COLUMNS),
                *textwrap.wrap(rule[0].upper() + rule[1:], _TEXT_COLUMNS),
            ]
            lines = [f"# {line}" for line in comment]
            paragraphs.append("\n".join([*lines, f"{name} = {default}"]))
    return "\n\n".join(paragraphs) + "\n"


def with_overrides(
    config: Config,
    *,
    port: int | None = None,
    name: str | None = None,
    workers: int | None = None,
    storage_processes: int | None = None,
    bind: str | None = None,
    advertise: str | None = None,
    seeds: Sequence[str] | None = None,
    multicast: bool | None = None,
    multicast_group: str | None = None,
    multicast_port: int | None = None,
) -> Config:
    """Return the configuration with the given flags applied; None leaves a value alone.

    The same rules hold as in the file. There is no flag for the secret: everybody on the machine
    can read the arguments of a process.
    Raises: ConfigError, naming the flag.
    """
    sections: dict[str, dict[str, object]] = {
        "node": {
            "port": port,
            "name": name,
            "workers": workers,
            "storage_processes": storage_processes,
            "bind": bind,
            "advertise": advertise,
        },
        "discovery": {
            "seeds": seeds,
            "multicast": multicast,
            "multicast_group": multicast_group,
            "multicast_port": multicast_port,
        },
    }
    changed: dict[str, Any] = {}
    for section, values in sections.items():
        specs = specs_of(_SECTIONS[section])
        accepted: dict[str, Any] = {}
        for key, value in values.items():
            if value is None:
                continue
            try:
                accepted[key] = specs[key].accept(value)
            except OptionError as error:
                shown = specs[key].shown(value)
                raise ConfigError(f"{_flag(key)} = {shown}: {error}") from None
        changed[section] = dataclasses.replace(getattr(config, section), **accepted)
    result = dataclasses.replace(config, **changed)
    # Without a flag that could have caused it, a clash was reported when the file was read.
    _refuse_clash(result, _flag("port"))
    return result


def resolve_secret(config: Config) -> bytes | None:
    """Return the cluster's secret, or None if there is none: then serve this machine only.

    Raises: ConfigError if the secret is too short, or its file unreadable or readable by others.
    """
    if config.cluster.secret:
        return _checked_secret(config.cluster.secret, "[cluster] secret")
    if config.cluster.secret_file:
        path = Path(config.cluster.secret_file).expanduser()
        where = f"[cluster] secret_file = {literal(str(path))}"
        return _checked_secret(read_secret(path, where), where)
    secret = os.environ.get(SECRET_VARIABLE, "").strip()
    return _checked_secret(secret, f"environment variable {SECRET_VARIABLE}") if secret else None


def keygen(path: Path, *, force: bool = False) -> None:
    """Write a new secret into a file's ``[cluster] secret``; comments and layout stay as they are.

    A missing file is made from the default one. The file ends up readable by its owner only, and is
    replaced in one step: at no moment does it lack anything.
    Raises: ConfigError if there is a secret already (unless forced), or the file cannot be edited.
    """
    # Through a symbolic link the file itself is meant; replacing the link would orphan it.
    target = Path(os.path.realpath(path))
    text = read_text(path) if os.path.exists(target) else render_default()
    expected = _tables(text, str(path))
    cluster = expected.setdefault("cluster", {})
    if not isinstance(cluster, dict):
        raise _stray_key("cluster", cluster, str(path))
    if cluster.get("secret") and not force:
        raise ConfigError(
            f"{path}: [cluster] secret is set already, and a new one shuts out every machine that"
            " has the old one; give --force to replace it"
        )
    secret = cluster["secret"] = secrets.token_urlsafe(_SECRET_BYTES)
    edited = with_secret(text, secret)
    if edited is None or _tables(edited, str(path)) != expected:
        raise ConfigError(f"{path}: cannot be edited safely; write the secret into it by hand")
    replace_file(target, edited, str(path))


def _section(section: str, table: Mapping[str, object], source_name: str) -> Any:
    specs = specs_of(_SECTIONS[section])
    values: dict[str, Any] = {}
    for key, value in table.items():
        spec = specs.get(key)
        if spec is None:
            raise _unknown_key(section, key, value, source_name)
        try:
            values[key] = spec.accept(value)
        except OptionError as error:
            shown = spec.shown(value)
            message = f"{source_name}: [{section}] {key} = {shown}: {error}"
            raise ConfigError(f"{message} (default {literal(spec.default)})") from None
    return _SECTIONS[section](**values)


def _unknown_key(section: str, key: str, value: object, source_name: str) -> ConfigError:
    own_keys = specs_of(_SECTIONS[section])
    elsewhere = [other for other in _SECTIONS if key in specs_of(_SECTIONS[other])]
    suggestion = f" it belongs to [{elsewhere[0]}]" if elsewhere else ""
    suggestion = suggestion or _did_you_mean(key, own_keys, '"{}"')
    return ConfigError(
        f"{source_name}: [{section}] {_key(key)} = {_shown(key, value)}: unknown key;{suggestion}"
        f" (allowed: {', '.join(own_keys)})"
    )


def _stray_key(name: str, value: object, source_name: str) -> ConfigError:
    if name in _SECTIONS:
        return ConfigError(f"{source_name}: {name}: must be a section, begun by one line [{name}]")
    owners = [section for section in _SECTIONS if name in specs_of(_SECTIONS[section])]
    hint = f"it belongs below [{owners[0]}]" if owners else f"allowed: {', '.join(_SECTIONS)}"
    return ConfigError(
        f"{source_name}: {_key(name)} = {_shown(name, value)}: stands outside every section; {hint}"
    )


def _key(name: str) -> str:
    # A quoted key may hold anything, line ends included; one sentence must stay one line.
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) else literal(name)


def _shown(key: str, value: object) -> str:
    # A misspelt or misplaced `secret` must not print the secret either.
    is_secret = "secret" in key.lower() or difflib.get_close_matches(key.lower(), ["secret"])
    return "(not shown)" if is_secret else literal(value)


def _did_you_mean(name: str, allowed: Iterable[str], form: str) -> str:
    # The cutoff is difflib's own; case and dashes are the commonest near misses of all.
    near = difflib.get_close_matches(name.lower().replace("-", "_"), list(allowed), n=1)
    return f" did you mean {form.format(near[0])}?" if near else ""


def _refuse_clash(config: Config, where: str) -> None:
    # Both are UDP ports of this machine, and the kernel would give each datagram to either socket.
    port = config.node.port
    if config.discovery.multicast and port == config.discovery.multicast_port:
        raise ConfigError(f"{where} = {port}: must differ from [discovery] multicast_port")


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


def _tables(text: str, source_name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source_name}: is not valid TOML: {error}") from None
    except (ValueError, RecursionError):
        # Numbers of thousands of digits and brackets nested as deep get past the parser's own care.
        raise ConfigError(
            f"{source_name}: is not valid TOML: a number too long or brackets nested too deep"
        ) from None


def _checked_secret(secret: str, where: str) -> bytes:
    spec = specs_of(ClusterOptions)["secret"]
    try:
        # Empty means "no secret" in cluster.toml alone; a secret file must hold one.
        spec.accept(secret or "\x00")
    except OptionError:
        pass
    else:
        return secret.encode()
    if len(secret) < SECRET_CHARACTERS_MIN:
        raise ConfigError(
            f"{where}: the secret has {len(secret)} characters but needs at least"
            f' {SECRET_CHARACTERS_MIN}; "grid keygen" makes a good one'
        )
    raise ConfigError(
        f"{where}: the secret must be one line of {SECRET_CHARACTERS_MIN} to"
        f" {SECRET_CHARACTERS_MAX} visible characters"
    )
