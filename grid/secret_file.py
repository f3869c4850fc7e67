"""The files that hold a secret: read with suspicion, written in one step, for the owner only.

Responsible for: reading cluster.toml and the secret file, with one sentence when that fails;
putting a secret into the text of a cluster.toml without disturbing it; replacing the file; seeing
whether git may publish it.

Not responsible for: what a good secret is, or which of several counts (``config.py``).

Theory of operation. What is checked is the open file, never its path, so that nothing can be
swapped in between. A file is replaced by renaming a complete new one over it, made 0600 before it
holds anything.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import tomlkit
import tomlkit.exceptions

from grid.errors import ConfigError

_SECRET_FILE_BYTES_MAX = 65_536
_GIT_DEADLINE_S = 5.0


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, line ends as they are.

    Raises: ConfigError, naming the file.
    """
    try:
        # Some editors begin a file with an invisible mark, which TOML does not know.
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (at byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {_reason(error)}") from None


def read_secret(path: Path, where: str) -> str:
    """Return what a secret file holds, without the white space around it.

    Raises: ConfigError, beginning with `where`, also if anybody but the owner may use the file.
    """
    try:
        # Non-blocking, lest a named pipe in its place make us wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{where}: is not a regular file")
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(
                    f"{where}: may be used by others (mode {stat.S_IMODE(mode):04o});"
                    f" run: chmod 600 {path}"
                )
            return file.read(_SECRET_FILE_BYTES_MAX).decode().strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {_reason(error)}") from None


def with_secret(text: str, secret: str) -> str | None:
    """Return the text of a cluster.toml with ``[cluster] secret`` set, all else untouched.

    Returns: None if the text is beyond what tomlkit can edit.
    """
    try:
        document = tomlkit.parse(text)
        if "cluster" not in document:
            document["cluster"] = tomlkit.table()
        # tomlkit types what it returns as a union of everything TOML knows.
        cluster: Any = document["cluster"]
        cluster["secret"] = secret
        return tomlkit.dumps(document)
    except tomlkit.exceptions.TOMLKitError:
        return None


def replace_file(target: Path, text: str, name: str) -> None:
    """Write a file in one step, readable by its owner only; `name` is how messages call it.

    Raises: ConfigError; the old file is then as it was.
    """
    try:
        # In the same folder, since only within one file system a rename is a single step.
        descriptor, temporary_name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise ConfigError(f"{name}: cannot be written: {_reason(error)}") from None
    temporary = Path(temporary_name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            _keep_owner(file.fileno(), target)
        temporary.replace(target)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be written: {_reason(error)}") from None
    finally:
        # After the rename this name is gone; after a failure the leftover goes.
        temporary.unlink(missing_ok=True)


def may_be_committed(path: Path) -> bool:
    """Whether the file lies in a git work tree and nothing keeps it out of a commit."""
    try:
        ended = subprocess.run(
            ["git", "-C", path.parent, "check-ignore", "--quiet", path.name],
            capture_output=True,
            timeout=_GIT_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False  # Without git there is no commit.
    return ended.returncode == 1  # 0: it is ignored and not tracked. 128: there is no work tree.


def _keep_owner(descriptor: int, target: Path) -> None:
    # Under sudo the new file would belong to root, and then nobody else could start a node from
    # it. Keeping the owner is an attempt only: most users may not give files away.
    if target.exists():
        status = target.stat()
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, status.st_uid, status.st_gid)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
