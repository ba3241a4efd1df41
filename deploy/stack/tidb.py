"""TiDB, built from its Go module: one process with an embedded store, to test SQL rather than scale."""

from __future__ import annotations

from pathlib import Path

from deploy.stack import golang, processes
from deploy.stack.processes import HOST
from deploy.stack.sql import APP, PREPARE, answers

PORT, STATUS_PORT = 24000, 24080
URLS = (f"mysql://{APP}@{HOST}:{PORT}/shop",)
MODULE = "github.com/pingcap/tidb/cmd/tidb-server"
SOURCE = Path(__file__).with_suffix("")
NAME = "tidb"
PROGRAMS = (NAME,)
# Without it CHECK constraints are ignored.
CHECKS = "SET GLOBAL tidb_enable_check_constraint = ON"


def install(root: Path) -> None:
    """Build TiDB: about five minutes on two cores the first time, seconds afterwards (Go's cache)."""
    golang.build(root, _binary(root), MODULE, SOURCE)


def start(root: Path) -> None:
    """Start TiDB, and create database and user."""
    start_on(root, NAME, PORT, STATUS_PORT, root / "data" / NAME)
    processes.wait(NAME, lambda: prepare(PORT), ended=lambda: processes.exit_reason(root, NAME))


def start_on(root: Path, name: str, port: int, status_port: int, data: Path) -> None:
    """Start a server on these ports."""
    (data / "temporary").mkdir(parents=True, exist_ok=True)
    config = data / "tidb.toml"
    config.write_text(
        f'host = "{HOST}"\nport = {port}\nstore = "unistore"\npath = "{data / "store"}"\n'
        f'socket = ""\ntemp-dir = "{data / "temporary"}"\nlease = "1s"\n'
        f'[status]\nstatus-host = "{HOST}"\nstatus-port = {status_port}\n'
        '[log]\nlevel = "warn"\n'
    )
    processes.start(root, name, [str(_binary(root)), f"--config={config}"], cwd=data)


def prepare(port: int) -> bool:
    """Create the service's database and user, as root; False if the server does not answer yet."""
    import pymysql

    try:
        with pymysql.connect(host=HOST, port=port, user="root", connect_timeout=2) as connection:
            for statement in (CHECKS, *PREPARE):
                connection.cursor().execute(statement)
    except (pymysql.err.OperationalError, OSError):
        return False
    return True


def ready(root: Path) -> bool:
    """Whether the service's user can query the database."""
    return bool(processes.running(root, NAME)) and answers(PORT)


def stop(root: Path) -> None:
    """Stop TiDB; keep the data."""
    processes.stop(root, NAME)


def _binary(root: Path) -> Path:
    return root / "cache" / NAME / "tidb-server"
