"""Where hosts cannot be made one sentence says why; real ones are in ``tests/hosts``."""

from __future__ import annotations

import pytest

from grid.cli import main
from grid.hosts import netns


def test_hosts_that_cannot_be_made_are_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(netns, "unavailable", lambda: "not root")
    assert main(["chaos", "--hosts"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "grid: hosts in miniature need root, iproute2 and nftables: not root"
    )


def test_loss_without_hosts_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chaos", "--loss", "0.02"]) == 2
    assert "--loss needs --hosts" in capsys.readouterr().err
