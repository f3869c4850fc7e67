"""The README's example runs, and the commands it shows exist."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import grid
from grid.api import local_cluster

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_prints_what_its_comments_say(tmp_path: Path):
    example, _ = EXAMPLES
    promised = re.findall(r"print\(.*\)\s+# (.*)", example)
    finished = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.stderr == ""
    assert finished.stdout.splitlines() == promised
    assert len([line for line in example.splitlines() if line.strip()]) <= 10


def test_the_asyncio_example_stores_and_iterates(monkeypatch, capsys):
    _, example = EXAMPLES
    names = {"asyncio": asyncio, "grid": grid, "names": ["ann", "bob"]}
    exec("async def main():\n" + textwrap.indent(example, "    "), names)
    with local_cluster(nodes=1, workers=1) as cluster:
        monkeypatch.setattr(grid, "aconnect", cluster.aclient)
        asyncio.run(names["main"]())  # type: ignore[operator]  # defined by exec
    assert sorted(capsys.readouterr().out.splitlines()) == ["ann {}", "bob {}"]


def test_every_command_it_shows_exists():
    shown = set(re.findall(r"^bin/grid (\S+)", README, flags=re.MULTILINE))
    shown |= set(re.findall(r"`bin/grid ([a-z-]+)", README))
    assert shown >= {"up", "down", "status", "keygen", "bench", "accept-loss", "wait-safe"}
    usage = subprocess.run(
        [sys.executable, "-m", "grid", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(re.search(rf"^\s+{command}\b", usage, re.MULTILINE) for command in shown)
