"""The pages of real nodes, read as scripts, load balancers and Prometheus read them."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import orjson
from prometheus_client.parser import text_string_to_metric_families

from tests.processes.nodes import ask_until, node, run_grid, write_config


def fetch(port: int, path: str, token: str | None) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_pages_follow_a_cluster_from_its_first_node_to_its_second(tmp_path: Path):
    config = write_config(tmp_path)
    token = run_grid("token", "--config", str(config)).stdout.strip()
    with node("--config", str(config), "--name", "first") as first:
        port = first.wait_until_ready()
        for path in ("/health", "/metrics", "/status", "/"):
            code, body = fetch(port, path, None)
            assert (code, b"grid token" in body, b"first" in body) == (401, True, False)
        code, body = fetch(port, "/health", token)
        assert (code, orjson.loads(body)["healthy"]) == (503, False)
        assert b"there is only one node" in body

        seed = f'[discovery]\nseeds = ["127.0.0.1:{port}"]'
        config.write_text(config.read_text().replace("[discovery]", seed))
        with node("--config", str(config), "--name", "second") as second:
            other_port = second.wait_until_ready()
            ask_until(lambda: fetch(port, "/health", token)[0] == 200)
            ask_until(lambda: fetch(other_port, "/health", token)[0] == 200)
            code, body = fetch(port, "/status", token)
            assert code == 200
            assert {m["name"] for m in orjson.loads(body)["members"]} == {"first", "second"}
            code, body = fetch(other_port, "/metrics", token)
            assert code == 200
            families = {f.name: f for f in text_string_to_metric_families(body.decode())}
            assert families["grid_healthy"].samples[0].value == 1
            resident = families["grid_network_process_resident_memory_bytes"].samples[0]
            assert resident.value > 1_000_000
            joined = families["grid_events"].samples
            assert {s.labels["kind"]: s.value for s in joined}["joined"] == 1
            assert fetch(port, "/nowhere", token)[0] == 404
