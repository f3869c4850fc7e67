"""``python -m grid``: the command line."""

from __future__ import annotations

import gc
import sys

# Importing leaves no garbage, and looking for it takes a tenth of the time a node needs to start.
gc.disable()

from grid.cli import main  # noqa: E402  # after gc.disable()

# What is there now stays: no process of the family need look at it again, or copy its pages.
gc.freeze()
gc.enable()

if __name__ == "__main__":
    sys.exit(main())
