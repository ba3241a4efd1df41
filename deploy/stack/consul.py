"""Consul 1.22, built from its Go module: one server with a persistent KV store."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from deploy.stack import golang, processes
from deploy.stack.processes import HOST

PORT = 28500
DNS_PORT, SERVER_PORT, SERF_PORT = 28600, 28300, 28301
URLS = (f"consul://{HOST}:{PORT}",)
PROGRAMS = ("consul",)
MODULE = "github.com/hashicorp/consul"
SOURCE = Path(__file__).with_suffix("")
UNREACHABLE = b"unreachable"


def install(root: Path) -> None:
    """Build Consul: about six minutes on two cores the first time, seconds afterwards (Go's cache)."""
    golang.build(root, _binary(root), MODULE, SOURCE)


def start(root: Path) -> None:
    """Start one server."""
    ports = {"http": PORT, "dns": DNS_PORT, "server": SERVER_PORT, "serf_lan": SERF_PORT}
    start_on(root, "consul", ports, root / "data" / "consul")


def start_on(root: Path, name: str, ports: Mapping[str, int], data: Path) -> None:
    """Start a server on these ports, with quick elections and short sessions for tests."""
    data.mkdir(parents=True, exist_ok=True)
    config = {
        "server": True,
        "bootstrap_expect": 1,
        "data_dir": str(data / "state"),
        "bind_addr": HOST,
        "client_addr": HOST,
        "ports": {"grpc": -1, "grpc_tls": -1, "serf_wan": -1, **ports},
        "performance": {"raft_multiplier": 1},
        "session_ttl_min": "1s",
        "disable_host_node_id": True,
        "disable_update_check": True,
        "ui_config": {"enabled": True},
        # Counters since the start, at /v1/agent/metrics?format=prometheus.
        "telemetry": {"prometheus_retention_time": "24h", "disable_hostname": True},
    }
    file = data / "consul.json"
    file.write_text(json.dumps(config, indent=1))
    processes.start(root, name, [str(_binary(root)), "agent", f"-config-file={file}"], cwd=data)


def ready(root: Path) -> bool:
    """Whether it has a leader and the KV store answers."""
    return ready_on(PORT)


def ready_on(port: int) -> bool:
    """The same for a server on this port."""
    base = f"http://{HOST}:{port}/v1"
    return b":" in _get(f"{base}/status/leader") and _get(f"{base}/kv/?keys=true&separator=/") != UNREACHABLE


def stop(root: Path) -> None:
    """Stop Consul; keep the data."""
    processes.stop(root, "consul")


def _binary(root: Path) -> Path:
    return root / "cache" / "consul" / "consul"


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return b"" if error.code == 404 else UNREACHABLE
    except OSError:
        return UNREACHABLE
