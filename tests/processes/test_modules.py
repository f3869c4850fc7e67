"""Modules travel with the calls: real nodes whose workers have nothing of the program."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.hosts.node_process import DEADLINE_S
from tests.client.programs import write

from .nodes import node, write_config

PROGRAM = {
    "main.py": """
import sys
import grid
import shop
from shop.prices import Price, fail, raised, twice

def by_value(amount):
    from shop import rates
    return rates.RATE * amount

with grid.connect(sys.argv[1], config=sys.argv[2]) as g, g.executor() as pool:
    price = pool.submit(shop.price_of, 3).result()
    assert type(price) is Price
    print(price.amount)
    print(list(pool.map(shop.price_of, [1, 2], chunksize=2)))
    print(pool.submit(by_value, 10).result())
    print(pool.submit(twice, 1).result())
    prices = g.map("prices")
    print(prices.apply("pear", raised, 1, default=Price(0)))
    print(prices.reduce(lambda key, price: price.amount, max))
    prices.clear()
    try:
        pool.submit(fail).result()
    except KeyError as error:
        print("".join(error.__notes__))
""",
    "shop/__init__.py": "from .prices import price_of",
    "shop/rates.py": "RATE = 2",
    "shop/prices.py": """
from dataclasses import dataclass
import grid
from . import rates

@dataclass
class Price:
    amount: int

def price_of(amount):
    return Price(amount * rates.RATE)

def twice(amount):
    with grid.current().executor() as pool:
        return pool.submit(price_of, amount).result().amount * 2

def raised(price, amount):
    return Price(price.amount + amount * rates.RATE)

def fail():
    raise KeyError  # of the shop
""",
    "painting.py": """
import sys
import grid
from pictures import paint

with grid.connect(sys.argv[1], config=sys.argv[2]) as g, g.executor() as pool:
    try:
        pool.submit(paint).result()
    except grid.MissingPackageError as error:
        print(error)
""",
    "pictures.py": "print('loaded')\nimport colours\ndef paint(): return colours.RED",
    "site-packages/colours.py": "RED = 1",
    "site-packages/colours-1.2.dist-info/METADATA": "Name: colours\nVersion: 1.2\n",
}


class Cluster:
    """One node, and programs in a folder that it knows nothing of."""

    def __init__(self, port: int, config: Path, folder: Path) -> None:
        self._port = port
        self._config = config
        self.folder = folder

    def run(self, program: str) -> str:
        """Run a program to its end; return what it printed."""
        done = subprocess.run(
            [sys.executable, program, f"127.0.0.1:{self._port}", str(self._config)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": f"{self.folder / 'site-packages'}:{os.getcwd()}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    config = write_config(tmp_path_factory.mktemp("node"), secret=secrets.token_hex(32))
    with node("--config", str(config)) as running:
        yield Cluster(
            running.wait_until_ready(), config, write(tmp_path_factory.mktemp("program"), PROGRAM)
        )


def test_package_of_a_program_travels_and_each_run_has_its_own(cluster: Cluster) -> None:
    lines = cluster.run("main.py").splitlines()
    assert lines[:6] == [
        "6",
        "[Price(amount=2), Price(amount=4)]",
        "20",
        "4",
        "Price(amount=2)",
        "2",
    ]
    assert "    raise KeyError  # of the shop" in lines
    write(cluster.folder, {"shop/rates.py": "RATE = 300"})
    assert cluster.run("main.py").splitlines()[:6] == [
        "900",
        "[Price(amount=300), Price(amount=600)]",
        "3000",
        "600",
        "Price(amount=300)",
        "300",
    ]


def test_package_that_the_node_lacks_is_named_before_anything_runs(cluster: Cluster) -> None:
    loaded_here, told = cluster.run("painting.py").splitlines()
    assert loaded_here == "loaded"
    assert (
        "lacks package colours (colours 1.2 where it was submitted), imported by pictures" in told
    )
