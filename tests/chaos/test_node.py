"""What a node is told reaches it whole."""

from __future__ import annotations

import dataclasses

import msgspec

from grid.chaos.node import NodeRequest
from grid.config import Config


def test_request_with_its_configuration_survives_the_pipe() -> None:
    config = Config()
    config = dataclasses.replace(
        config,
        cluster=dataclasses.replace(config.cluster, name="chaos", secret="x" * 43),
        node=dataclasses.replace(config.node, port=0, workers=1),
    )
    request = NodeRequest(config, ["127.0.0.1:7701"], ["/somewhere"])
    assert msgspec.json.decode(msgspec.json.encode(request), type=NodeRequest) == request
