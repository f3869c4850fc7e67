"""What a task's function is called, for people who watch.

Pure. Only a worker unpickles a call, so the submitter says the name beside it. A node shows it and
believes nothing of it.

Not here: how the name of a callable is found (``client/code/calls.py``).
"""

from __future__ import annotations

import functools

NAME_MAX = 40
"""Characters of a name; of a longer one the end says most."""

_NAMES_KEPT = 256


@functools.lru_cache(maxsize=_NAMES_KEPT)
def cleaned(name: str) -> str:
    """Return a name as it may be shown: short, and printable ASCII, whatever it was."""
    short = name.replace("<locals>.", "")
    if len(short) > NAME_MAX:
        short = f"...{short[3 - NAME_MAX :]}"
    return "".join(sign if " " <= sign <= "~" else "?" for sign in short)
