"""The secret of nodes that were given none: one per user and machine.

Without a configured secret a node serves loopback only, but loopback is shared with every
user of the machine. So nodes of one user share a secret of their own, made at first use and
kept in the user's state folder; nobody has to know of it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from grid.errors import StartError

_FILE_NAME = "machine-secret"
_SECRET_BYTES = 32


def state_folder() -> Path:
    """Return the user's state folder for grid (XDG base directories)."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "grid"


def machine_secret() -> bytes:
    """Return this user's secret for this machine, made at first use.

    Several processes may ask at the same first moment: the file appears complete, once.
    Raises: StartError when the folder cannot be used.
    """
    path = Path("~/.local/state/grid", _FILE_NAME)
    try:
        path = state_folder() / _FILE_NAME
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(path)
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            secret = file.read()
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home folder.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StartError(
            f"cannot keep this machine's secret in {path}: {reason}; "
            "set cluster.secret (grid keygen) or XDG_STATE_HOME"
        ) from error
    if about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise StartError(f"{path} may be used by others; remove it, and a new one is made")
    if len(secret) < _SECRET_BYTES:
        raise StartError(f"{path} is damaged; remove it, and a new one is made")
    return secret


def _create(path: Path) -> None:
    """Let the file appear complete; if another process is first, its secret counts."""
    fd, draft = tempfile.mkstemp(prefix=_FILE_NAME, dir=path.parent)  # Mode 0600.
    try:
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_hex(_SECRET_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
