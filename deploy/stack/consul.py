"""Consul 1.22, built from its Go module: one server whose KV survives."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

from deploy.stack import processes
from deploy.stack.processes import HOST, run, say

PORT = 38500
PORTS = {"http": PORT, "dns": 38600, "grpc": -1, "grpc_tls": -1, "server": 38300, "serf_lan": 38301}
URLS = (f"consul://{HOST}:{PORT}",)
MODULE = "github.com/hashicorp/consul"
SOURCE = Path(__file__).with_suffix("")
BASE = f"http://{HOST}:{PORT}/v1"


def install(root: Path) -> None:
    """Build it: about six minutes on two cores the first time; Go's own cache makes it seconds after that."""
    binary = _binary(root)
    if binary.exists():
        return
    say("consul: builds, which takes some minutes")
    binary.parent.mkdir(parents=True, exist_ok=True)
    draft = binary.with_suffix(".new")
    build = ("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(draft), MODULE)
    run(["nice", "-n", "19", *build], cwd=SOURCE, env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"})
    draft.replace(binary)


def start(root: Path) -> None:
    """Start one server."""
    data = root / "data" / "consul"
    data.mkdir(parents=True, exist_ok=True)
    config = data / "consul.json"
    config.write_text(
        json.dumps(
            {
                "server": True,
                "bootstrap_expect": 1,
                "data_dir": str(data / "state"),
                "bind_addr": HOST,
                "client_addr": HOST,
                "ports": {**PORTS, "serf_wan": -1},
                "performance": {"raft_multiplier": 1},
                "disable_host_node_id": True,
                "disable_update_check": True,
                "ui_config": {"enabled": True},
            },
            indent=1,
        )
    )
    processes.start(root, "consul", [str(_binary(root)), "agent", f"-config-file={config}"], cwd=data)


def ready(root: Path) -> bool:
    """It has a leader, and answers from its KV."""
    return b":" in _get("/status/leader") and _get("/kv/?keys=true&separator=/") != b"away"


def stop(root: Path) -> None:
    """TERM; the data stays."""
    processes.stop(root, "consul")


def _binary(root: Path) -> Path:
    return root / "cache" / "consul" / "consul"


def _get(path: str) -> bytes:
    try:
        with urllib.request.urlopen(BASE + path, timeout=2) as answer:  # noqa: S310 - our own address
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return b"" if error.code == 404 else b"away"
    except OSError:
        return b"away"
