"""One blocking client: single entries by TCP and unix socket, also spinning, and batches.

A client and a server are each alone on a core, the same two cores for everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.map_rows.run import (
    HAZELCAST,
    OURS,
    RIVAL,
    VALUE_SIZES,
    WARM_UP_ROUNDS,
    Run,
    get_each,
    key_of,
    keys_in_disorder,
    opened,
    put_each,
    row_of,
)
from bench.measure import Row, interleaved, microseconds_per_call
from bench.peers.base import Calls, Endpoint
from bench.peers.grid import GridServer

SPIN_US = 100
SPINNING = "grid spinning"
TARGETS = {"tcp": 1.2, "unix": 1.5}
SPIN_TARGETS = {"tcp": 3.0, "unix": 5.0}

LARGE_BATCH, SMALL_BATCH = 1000, 100


def _endpoints(run: Run, way: str) -> dict[str, Endpoint]:
    """Return each server's endpoint of the same kind.

    Beside unix sockets: Hazelcast, which has TCP only, and Redis by TCP under a name of its own.
    """
    if way == "tcp":
        return {name: server.tcp for name, server in run.servers.items()}
    found = {name: server.unix for name, server in run.servers.items()}
    endpoints = {name: endpoint for name, endpoint in found.items() if endpoint is not None}
    if RIVAL in run.servers:
        endpoints[f"{RIVAL} tcp"] = run.servers[RIVAL].tcp
    if HAZELCAST in run.servers:
        endpoints[HAZELCAST] = run.servers[HAZELCAST].tcp
    return endpoints


def single_rows(run: Run) -> list[Row]:
    """Get and put of one entry."""
    return _singles(run, {})


def spin_rows(run: Run) -> list[Row]:
    """The same with a cluster that spins, and its clients too, instead of the plain one."""
    with run.started(GridServer(spin_us=SPIN_US)) as server:
        assert server.unix is not None
        return _singles(run, {"tcp": server.tcp, "unix": server.unix})


def _singles(run: Run, spinning: dict[str, Endpoint]) -> list[Row]:
    rows: list[Row] = []
    for way in TARGETS:
        endpoints = _endpoints(run, way)
        if way in spinning:
            endpoints[SPINNING] = spinning[way]
            del endpoints[OURS]
        with opened(endpoints) as clients:
            run.pin_client()
            _warm_up(run, clients)
            for label, value_bytes in VALUE_SIZES.items():
                for verb in ("get", "put"):
                    rows.append(_single(run, clients, verb, label, value_bytes, way))
    return rows


def _warm_up(run: Run, clients: dict[str, Calls]) -> None:
    """Let everybody do the same a few times before anything counts."""
    run.say("warming up")
    keys = keys_in_disorder(run.size.calls * WARM_UP_ROUNDS, run.size.calls)
    for calls in clients.values():
        put_each(calls, keys, calls.value_of(bytes(100)))
        get_each(calls, keys)


def _single(
    run: Run, clients: dict[str, Calls], verb: str, label: str, value_bytes: int, way: str
) -> Row:
    keys = keys_in_disorder(run.size.calls, run.size.calls)
    values = {name: calls.value_of(bytes(value_bytes)) for name, calls in clients.items()}
    for name, calls in clients.items():
        put_each(calls, map(key_of, range(run.size.calls)), values[name])

    def measure(name: str) -> Callable[[], float]:
        if verb == "get":
            return lambda: get_each(clients[name], keys)
        return lambda: put_each(clients[name], keys, values[name])

    title = f"{verb} {label}, {way}"
    ours, target = OURS, TARGETS[way]
    if SPINNING in clients:
        title = f"{title}, spin_us={SPIN_US}"
        ours, target = SPINNING, SPIN_TARGETS[way]
    run.say(title)
    times = interleaved({name: measure(name) for name in clients}, run.size.rounds)
    return row_of(title, times, ours=ours, target=target)


# -- batches --------------------------------------------------------------------------------------


def batch_rows(run: Run) -> list[Row]:
    """Many entries at once, of 100 B by TCP: in one call, and against a pipeline of single ones."""
    rows: list[Row] = []
    with opened(_endpoints(run, "tcp")) as clients:
        run.pin_client()
        for count, targets in ((LARGE_BATCH, (1.0, 1.2)), (SMALL_BATCH, (0.9, 0.9))):
            gets, puts = _batches(run, clients, count)
            rows.append(run.compare(f"get_all of {count:,}", gets, target=targets[0]))
            rows.append(run.compare(f"put_all of {count:,}", puts, target=targets[1]))
        rows += _pipeline_rows(run, clients)
    return rows


def _repeat(run: Run, count: int, call: Callable[[], object]) -> Callable[[], float]:
    """Return a measure of one call with `count` entries; small batches are repeated more often."""
    repeats = run.size.batches * (LARGE_BATCH // count)
    return lambda: microseconds_per_call(call, repeats)


def _batches(
    run: Run, clients: dict[str, Calls], count: int
) -> tuple[dict[str, Callable[[], float]], dict[str, Callable[[], float]]]:
    keys = [key_of(number) for number in range(count)]
    gets, puts = {}, {}
    for name, calls in clients.items():
        entries = dict.fromkeys(keys, calls.value_of(bytes(100)))
        calls.put_all(entries)
        gets[name] = _repeat(run, count, partial(calls.get_all, keys))
        puts[name] = _repeat(run, count, partial(calls.put_all, entries))
    return gets, puts


def _pipeline_rows(run: Run, clients: dict[str, Calls]) -> list[Row]:
    """Peers with pipelines, whose pipelines stand against `get_all` and `put_all`."""
    gets, puts = _batches(run, clients, LARGE_BATCH)
    keys = [key_of(number) for number in range(LARGE_BATCH)]
    entries = dict.fromkeys(keys, bytes(100))
    for name, calls in clients.items():
        if name == OURS:
            continue
        get, put = calls.pipelined_get, calls.pipelined_put
        if get is None or put is None:
            del gets[name], puts[name]
            continue
        gets[name] = _repeat(run, LARGE_BATCH, partial(get, keys))
        puts[name] = _repeat(run, LARGE_BATCH, partial(put, entries))
    if len(gets) == 1:
        return []
    return [
        run.compare(f"get_all of {LARGE_BATCH:,} against a pipeline", gets, target=5.0),
        run.compare(f"put_all of {LARGE_BATCH:,} against a pipeline", puts, target=5.0),
    ]
