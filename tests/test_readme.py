"""The README's example runs, and the commands it shows exist."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from dask.delayed import delayed

import grid
import grid.joblib
from grid.api import local_cluster

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_prints_what_its_comments_say(tmp_path: Path):
    example = EXAMPLES[0]
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
    (example,) = (text for text in EXAMPLES if "await" in text)
    names = {"asyncio": asyncio, "grid": grid, "names": ["ann", "bob"]}
    exec("async def main():\n" + textwrap.indent(example, "    "), names)
    with local_cluster(nodes=1, workers=1) as cluster:
        monkeypatch.setattr(grid, "aconnect", cluster.aclient)
        asyncio.run(names["main"]())  # type: ignore[operator]  # defined by exec
    assert sorted(capsys.readouterr().out.splitlines()) == ["ann {}", "bob {}"]


def test_the_joblib_example_prints_what_its_comment_says(monkeypatch, capsys):
    (example,) = (text for text in EXAMPLES if "import grid.joblib" in text)
    (promised,) = re.findall(r"print\(.*\)\s+# (.*)", example)
    with local_cluster(nodes=2, workers=1) as cluster:
        monkeypatch.setattr("grid.joblib.connect", cluster.client)
        exec(example, {})
    assert capsys.readouterr().out.strip() == promised


def test_the_dask_example_prints_the_total(capsys):
    (example,) = (text for text in EXAMPLES if "dask" in text)
    total = delayed(sum)([delayed(pow)(n, 2) for n in range(5)])
    with grid.local(nodes=1, workers=1) as g:
        exec(example, {"g": g, "total": total})
    assert capsys.readouterr().out.strip() == "30"


def test_the_progress_example_prints_results_in_their_order(capsys):
    (example,) = (text for text in EXAMPLES if "track" in text)
    with grid.local(nodes=1, workers=1) as g:
        exec(example, {"g": g, "analyse": str.title, "books": ["emma", "dracula"]})
    shown = capsys.readouterr().out
    assert shown.index("Emma") < shown.index("Dracula")


def test_the_test_that_it_shows_passes(tmp_path: Path):
    files = {m[1]: text for text in EXAMPLES if (m := re.match(r"# (\w+\.py)\n", text))}
    assert set(files) == {"conftest.py", "test_users.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 passed" in finished.stdout, finished.stdout


def test_every_command_it_shows_exists():
    shown = set(re.findall(r"^bin/grid (\S+)", README, flags=re.MULTILINE))
    shown |= set(re.findall(r"`bin/grid ([a-z-]+)", README))
    assert shown >= {"up", "down", "status", "keygen", "bench", "accept-loss", "wait-safe"}
    usage = subprocess.run(
        [sys.executable, "-m", "grid", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(re.search(rf"^\s+{command}\b", usage, re.MULTILINE) for command in shown)
