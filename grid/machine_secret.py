"""The secret of nodes that were given none: one per user and machine.

Without a configured secret a node serves loopback only, but loopback is shared with every
user of the machine. So nodes of one user share a secret of their own, made at first use and
kept in the user's state folder; nobody has to know of it.
"""

from __future__ import annotations

import os
import secrets
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
    path = state_folder() / _FILE_NAME
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = path.with_name(f"{_FILE_NAME}.{os.getpid()}")
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(secrets.token_hex(_SECRET_BYTES))
            try:
                os.link(draft, path)
            except FileExistsError:
                pass  # Another process was first; its secret counts.
            finally:
                draft.unlink()
        return path.read_bytes()
    except OSError as error:
        raise StartError(
            f"cannot keep this machine's secret in {path}: {error.strerror}; "
            "set cluster.secret (grid keygen) or XDG_STATE_HOME"
        ) from error
