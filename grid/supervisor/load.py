"""What psutil says of this machine; the samples that steer task placement."""

from __future__ import annotations

import psutil

from grid.wire.family import LoadSample


class LoadSampler:
    """Samples since the last sample."""

    def __init__(self) -> None:
        """Take the starting point: the first call of psutil's measure has no past."""
        psutil.cpu_percent(interval=None)

    def sample(self) -> LoadSample:
        """Return CPU use of the machine since the last sample, and its memory use now."""
        return LoadSample(
            cpu_percent=psutil.cpu_percent(interval=None),
            memory_percent=psutil.virtual_memory().percent,
        )
