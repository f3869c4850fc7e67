"""What the console costs: one second's update, picture and drawing, in processor time.

The target is 2 % of one core, so 20 ms of each second. Real statuses of 1, 4 and 12 members are
decoded, taken into the model and drawn on a pseudo-terminal that somebody reads.

    python -m bench.console [--rounds 200] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import threading
import time
from pathlib import Path

import orjson
from rich.console import Console

from bench.measure import machine
from grid.console.document import decode
from grid.console.model import ConsoleModel
from grid.console.terminal import LiveConsole
from tests.console.samples import MEMBER_COUNTS, SIZES, status_dict

TARGET_MS = 20.0
READ_BYTES = 1 << 16


def drawn_ms(member_count: int, width: int, height: int, rounds: int) -> tuple[float, int]:
    """Return the median processor time of a second's work in ms, and the bytes drawn in it."""
    document = orjson.dumps(status_dict(member_count))
    master, slave = os.openpty()
    read_bytes = 0

    def drain() -> None:
        nonlocal read_bytes
        while data := os.read(master, READ_BYTES):
            if data.endswith(b"\0"):
                return
            read_bytes += len(data)

    reader = threading.Thread(target=drain)
    reader.start()
    times_ms = []
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        console = Console(
            file=stream,
            force_terminal=True,
            force_interactive=True,
            color_system="256",
            width=width,
            height=height,
            highlight=False,
        )
        live, model = LiveConsole(console), ConsoleModel("192.168.1.11:7701")
        for number in range(height):
            model.add_event("12:00:00", "INFO", f"an event of usual length, number {number}")
        live.start()
        for second in range(rounds):
            select.select([], [stream], [])  # Else a frame would be skipped, and cost nothing.
            start_s = time.thread_time()
            model.update(decode(document), float(second))
            live.refresh(model)
            times_ms.append((time.thread_time() - start_s) * 1e3)
        stream.write("\0")
        stream.flush()
        reader.join()
    os.close(master)
    return statistics.median(times_ms), read_bytes // rounds


def main() -> None:
    """Measure each size and print a line for it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for member_count in MEMBER_COUNTS:
        for width, height in SIZES:
            cost_ms, size_bytes = drawn_ms(member_count, width, height, options.rounds)
            rows.append(
                {
                    "members": member_count,
                    "screen": f"{width}x{height}",
                    "ms": round(cost_ms, 2),
                    "percent_of_a_core": round(cost_ms / 10, 2),
                    "bytes": size_bytes,
                    "ok": cost_ms <= TARGET_MS,
                }
            )
            print(
                f"{member_count:2} members, {width}x{height}: {cost_ms:5.2f} ms a second, "
                f"{cost_ms / 10:.2f} % of a core, {size_bytes:,} bytes"
            )
    if options.json:
        options.json.write_bytes(orjson.dumps({"machine": machine(), "rows": rows}))


if __name__ == "__main__":
    main()
