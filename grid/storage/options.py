"""The knobs of storage: unit, range and reason of each. Declarations only."""

from __future__ import annotations

import dataclasses

from grid.option import option


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """What one entry may weigh; the same on every machine."""

    key_bytes_max: int = option(
        65_536,
        help="""The longest key, encoded. Keys are compared and copied often; a key this long is
            nearly always a value in the wrong place.""",
        unit="bytes",
        low=16,
        high=1_048_576,
    )
    # The upper end is the default: a frame (wire/frame.py) has little more room than that.
    value_bytes_max: int = option(
        67_108_864,
        help="""The largest value, encoded. One value travels in one piece, and everything else on
            its connection waits behind it.""",
        unit="bytes",
        low=1024,
        high=67_108_864,
    )
    spin_us: int = option(
        0,
        help="""How long a storage process looks for the next request before it sleeps. Being woken
            costs a request some 50 us; spinning saves them and takes a whole core while requests
            come. Worth it where every storage process has a core of its own.""",
        unit="microseconds",
        low=0,
        high=10_000,
    )
