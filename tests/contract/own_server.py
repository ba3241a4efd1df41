"""A MySQL or MariaDB server of a test's own, to be killed and started again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.stack import mariadb, mysql, processes
from deploy.stack.__main__ import ROOT
from deploy.stack.sql import APP
from tests.contract.servers import connected
from tests.shop import free_ports


@dataclass
class Server:
    """A program of the same make as the one that is named, on a port of its own."""

    make: str
    folder: Path
    port: int
    more: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """As the settings take it."""
        return f"mysql://{APP}@127.0.0.1:{self.port}/shop"

    def start(self) -> None:
        """Until it answers."""
        data = self.folder / "data"
        if self.make == "mariadb":
            if not data.exists():
                processes.run(mariadb.initialization(data))
            command = mariadb.command(data, self.port)
        else:
            if not data.exists():
                processes.run([*mysql.program(ROOT, data), "--initialize-insecure"])
            command = mysql.command(ROOT, data, self.port)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.more], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        module = mariadb if self.make == "mariadb" else mysql
        processes.wait(self.make, lambda: module.prepare(module.socket(self.port)))

    def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def make_of(url: str) -> str:
    """Whose server answers there: mariadb, tidb or mysql."""
    with connected(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        version = cursor.fetchone()[0].lower()
    return next((make for make in ("mariadb", "tidb") if make in version), "mysql")


@contextmanager
def own_server(make: str, *more: str) -> Iterator[Server]:
    """A running one with an empty database; nothing is left of it."""
    one = Server(make, Path(tempfile.mkdtemp(prefix="shop-server-")), free_ports(1)[0], more)
    try:
        one.start()
        yield one
    finally:
        if one.process is not None:
            one.kill()
        shutil.rmtree(one.folder, ignore_errors=True)
        for path in (mysql.socket(one.port), mariadb.socket(one.port), f"{mysql.socket(one.port)}.lock"):
            Path(path).unlink(missing_ok=True)
