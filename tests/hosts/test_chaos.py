"""``grid chaos`` with each node on a host, on a LAN that loses packets."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from grid.cli import main

pytestmark = pytest.mark.usefixtures("hosts_are_possible")


def test_a_small_run_on_hosts_is_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    where = ("--hosts", "--nodes", "3", "--loss", "0.02", "--seed", "4", "--ballast", "500")
    kill = ("--kill", "--restart", "--spare-first", "--writes", "300", "--kills", "1")
    code = main(["chaos", *where, *kill, "--rate", "1500", "--json", str(path)])
    document = orjson.loads(path.read_bytes())
    said = capsys.readouterr().err
    assert (code, document["verdict"]) == (0, "clean"), said
    assert (document["kills"], document["restarts"]) == (1, 1)
    assert "starting 3 hosts that lose 2.0% of the packets" in said
    assert "killed h1-1" not in said
