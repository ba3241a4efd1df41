"""TiDB, built from its Go module: one process with its store inside, which shows its SQL, not its size."""

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
# Without it a CHECK is read and forgotten.
CHECKS = "SET GLOBAL tidb_enable_check_constraint = ON"


def install(root: Path) -> None:
    """Build it: some five minutes on two cores the first time; Go's own cache makes it seconds after that."""
    golang.build(root, _binary(root), MODULE, SOURCE)


def start(root: Path) -> None:
    """Start it, and make the database and its user."""
    start_on(root, NAME, PORT, STATUS_PORT, root / "data" / NAME)
    processes.wait(NAME, lambda: prepare(PORT), ended=lambda: processes.ended(root, NAME))


def start_on(root: Path, name: str, port: int, status_port: int, data: Path) -> None:
    """Start one with ports of its own."""
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
    """Make the database and the user of the service, as root; False if nobody answers yet."""
    import pymysql

    try:
        with pymysql.connect(host=HOST, port=port, user="root", connect_timeout=2) as connection:
            for statement in (CHECKS, *PREPARE):
                connection.cursor().execute(statement)
    except (pymysql.err.OperationalError, OSError):
        return False
    return True


def ready(root: Path) -> bool:
    """The service's user can ask for the database."""
    return bool(processes.running(root, NAME)) and answers(PORT)


def stop(root: Path) -> None:
    """TERM; the data stays."""
    processes.stop(root, NAME)


def _binary(root: Path) -> Path:
    return root / "cache" / NAME / "tidb-server"
