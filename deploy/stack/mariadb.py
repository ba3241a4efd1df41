"""MariaDB from Debian, with its own port and data directory."""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy.stack import processes
from deploy.stack.sql import APP, answers, prepare

PORT = 23307
URLS = (f"mysql://{APP}@{processes.HOST}:{PORT}/shop",)
_NAME = "mariadb"
PROGRAMS = (_NAME,)


def install(root: Path) -> None:
    """Install the Debian package; the first start creates the data directory."""
    if not shutil.which("mariadbd", path="/usr/sbin:/usr/bin"):
        processes.apt("mariadb-server")


def start(root: Path) -> None:
    """Start MariaDB, and create database and user."""
    data = root / "data" / _NAME
    if not data.exists():
        with processes.draft_of(data) as draft:
            processes.run(initialization(draft))
    processes.start(root, _NAME, command(data, PORT))
    processes.wait(_NAME, lambda: prepare(socket(PORT)), ended=lambda: processes.exit_reason(root, _NAME))


def initialization(data: Path) -> list[str]:
    """The command that creates an empty data directory."""
    return [
        "mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
        "--auth-root-authentication-method=normal", "--skip-test-db",
    ]  # fmt: skip


def command(data: Path, port: int) -> list[str]:
    """The command of a durable server with a binary log, as in production."""
    return [
        "/usr/sbin/mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--port={port}",
        f"--bind-address={processes.HOST}", f"--socket={socket(port)}", f"--pid-file={data}/own.pid",
        "--skip-name-resolve", "--character-set-server=utf8mb4", "--innodb-flush-log-at-trx-commit=1",
        "--log-bin", "--sync-binlog=1", "--binlog-expire-logs-seconds=3600",
        "--log-bin-trust-function-creators=1",
    ]  # fmt: skip


def socket(port: int) -> str:
    """The socket's path; short, because the limit is 108 characters."""
    return f"/tmp/shop-{_NAME}-{port}.sock"  # noqa: S108 - the port is ours alone


def ready(root: Path) -> bool:
    """Whether the service's user can query the database."""
    return bool(processes.running(root, _NAME)) and answers(PORT)


def stop(root: Path) -> None:
    """Stop MariaDB, which flushes everything first."""
    processes.stop(root, _NAME)
