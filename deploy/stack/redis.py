"""Redis: a server with a sentinel, and a cluster of three nodes."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial
from pathlib import Path

from deploy.stack import processes
from deploy.stack.processes import HOST, apt, run

PORT, SENTINEL, CLUSTER = 26400, 26401, (17001, 17002, 17003)
MASTER = "shop"
URLS = (
    f"redis://{HOST}:{PORT}/0",
    f"redis+sentinel://{HOST}:{SENTINEL}/{MASTER}",
    "redis+cluster://" + ",".join(f"{HOST}:{port}" for port in CLUSTER),
)
PROGRAMS = ("redis-sentinel", "redis", *(f"redis-{port}" for port in CLUSTER))


def install(root: Path) -> None:
    """Install server and redis-cli from Debian if missing. Raises StackError."""
    if not (shutil.which("redis-server") and shutil.which("redis-cli")):
        apt("redis-server")


def start(root: Path) -> None:
    """Start all five processes, and create the cluster the first time. Raises StackError."""
    _server(root, "redis", PORT)
    _sentinel(root)
    for port in CLUSTER:
        _server(
            root, f"redis-{port}", port, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"
        )
    for port in (PORT, SENTINEL, *CLUSTER):
        processes.wait(
            f"redis on {port}", partial(_answers, port), ended=lambda: processes.exit_reason(root, *PROGRAMS)
        )
    if "cluster_known_nodes:1\n" in answer(CLUSTER[0], "cluster", "info").replace("\r", "") + "\n":
        for port in CLUSTER:  # after an interrupted creation, nodes have slots and would be refused
            answer(port, "cluster", "reset")
        nodes = [f"{HOST}:{port}" for port in CLUSTER]
        run(["redis-cli", "--cluster", "create", *nodes, "--cluster-replicas", "0", "--cluster-yes"])


def ready(root: Path) -> bool:
    """Whether all answer, the sentinel knows the master, and the cluster covers all slots."""
    return (
        answer(PORT, "ping") == "PONG"
        and str(PORT) in answer(SENTINEL, "sentinel", "get-master-addr-by-name", MASTER)
        and all("cluster_state:ok" in answer(port, "cluster", "info") for port in CLUSTER)
    )


def stop(root: Path) -> None:
    """Stop all processes, the sentinel first so that it starts no failover."""
    for name in PROGRAMS:
        processes.stop(root, name)


def _answers(port: int) -> bool:
    return answer(port, "ping") == "PONG"


def answer(port: int, *command: str) -> str:
    """The output of redis-cli; empty if the server does not answer."""
    try:
        asked = ["redis-cli", "-h", HOST, "-p", str(port), *command]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=5)  # noqa: S603
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _server(root: Path, name: str, port: int, *more: str) -> None:
    folder = root / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    command = ["redis-server", "--bind", HOST, "--port", str(port), "--dir", str(folder)]
    durable = ["--appendonly", "yes", "--appendfsync", "everysec"]
    processes.start(root, name, [*command, *durable, *more], cwd=folder)


def _sentinel(root: Path) -> None:
    folder = root / "data" / "redis-sentinel"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"sentinel-{SENTINEL}.conf"  # by port: a file with another port would be wrong
    if not file.exists():  # the sentinel rewrites its own file
        file.write_text(
            f"bind {HOST}\nport {SENTINEL}\ndir {folder}\n"
            f"sentinel monitor {MASTER} {HOST} {PORT} 1\n"
            f"sentinel down-after-milliseconds {MASTER} 1000\n"
        )
    processes.start(root, "redis-sentinel", ["redis-server", str(file), "--sentinel"], cwd=folder)
