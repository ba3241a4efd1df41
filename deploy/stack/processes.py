"""Starts and stops programs that outlive the command, each with a pid file and a log file."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
RUN = "make run-stack"
# The Debian package of each tool.
TOOLS = {"java": "default-jdk-headless", "javac": "default-jdk-headless", "mvn": "maven", "unzip": "unzip"}

POLICY = Path("/usr/sbin/policy-rc.d")
NO_SERVICES = "#!/bin/sh\n# Of `make stack`, while it installs packages.\nexit 101\n"


class StackError(Exception):
    """Something could not be installed, started or stopped; the text is one line."""


def say(text: str) -> None:
    """Report progress on standard error."""
    sys.stderr.write(f"stack: {text}\n")
    sys.stderr.flush()


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 1800,
) -> str:
    """Run a command and return its output. Raises StackError with its last lines."""
    try:
        done = subprocess.run(  # noqa: S603 - the commands are ours
            list(command),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise StackError(f"{command[0]} took longer than {timeout_s:.0f} s") from late
    if done.returncode:
        tail = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise StackError(f"{command[0]} failed: {tail}")
    return done.stdout


def start(
    root: Path,
    name: str,
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Start a program in its own session, unless it is running."""
    if running(root, name):
        return
    for folder in ("run", "log"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    with open(root / "log" / f"{name}.log", "ab", opener=_private) as log:
        process = subprocess.Popen(  # noqa: S603 - the commands are ours
            list(command),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (root / "run" / f"{name}.pid").write_text(f"{process.pid} {_start_time(process.pid)}")


def _private(path: str, flags: int) -> int:
    """Open a log file that only we can read: instances log order numbers."""
    return os.open(path, flags, 0o600)


def running(root: Path, name: str) -> int:
    """The program's pid; 0 if it is not running or the pid now belongs to another program."""
    try:
        pid, began = (root / "run" / f"{name}.pid").read_text().split()
    except (FileNotFoundError, ValueError):
        return 0
    return int(pid) if began and _start_time(int(pid)) == began else 0


def stop(root: Path, name: str, *, timeout_s: float = 30) -> None:
    """Terminate the program, and kill it after `timeout_s`; removes the pid file."""
    pid = running(root, name)
    if pid:
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + timeout_s
    while pid and running(root, name):
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
            break
        time.sleep(0.1)
    (root / "run" / f"{name}.pid").unlink(missing_ok=True)


def exit_reason(root: Path, *names: str) -> str:
    """The last output of programs that were started but are no longer running; empty if there are none."""
    exited = [name for name in names if (root / "run" / f"{name}.pid").exists() and not running(root, name)]
    return "; ".join(f"{name} exited: {log_tail(root, name)}" for name in exited)


def log_tail(root: Path, name: str) -> str:
    """The last three lines of the program's log, as one."""
    log = root / "log" / f"{name}.log"
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:]) or f"see {log}"


def wait(
    what: str, ready: Callable[[], bool], *, timeout_s: float = 90, ended: Callable[[], str] = str
) -> None:
    """Wait until `ready`. Raises StackError on timeout, or if `ended` returns a reason."""
    end = time.monotonic() + timeout_s
    while not ready():
        if why := ended():
            raise StackError(why)
        if time.monotonic() > end:
            raise StackError(f"{what} was not ready within {timeout_s:.0f} s")
        time.sleep(0.2)


def port_is_open(port: int) -> bool:
    """Whether a program listens on the port, ready or not."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def up_to_date(made: Path, *sources: Path) -> bool:
    """Whether a file exists and is newer than its sources."""
    return made.exists() and all(made.stat().st_mtime >= source.stat().st_mtime for source in sources)


@contextmanager
def draft_of(folder: Path) -> Iterator[Path]:
    """A draft folder that is renamed to `folder` once complete; an interrupted one is discarded."""
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    yield draft
    draft.rename(folder)


@contextmanager
def exclusive(what: str, *, wait: bool = True) -> Iterator[None]:
    """Hold a machine-wide lock for `what`, between threads too.

    Raises StackError instead of waiting if `wait` is false.
    """
    with Path(tempfile.gettempdir(), f"shop-stack-{what.replace(' ', '-')}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"{what} is already running: stop it first") from None
        yield


def ensure_tools(*tools: str) -> None:
    """Install missing tools. Raises StackError."""
    apt(*dict.fromkeys(TOOLS[tool] for tool in tools if shutil.which(tool) is None))


def maven(pom: Path, libraries: Path) -> None:
    """Fetch the jars of a pom, with dependencies, into a folder. Raises StackError."""
    ensure_tools("java", "mvn")
    copy = ("dependency:copy-dependencies", f"-DoutputDirectory={libraries}", "-DincludeScope=runtime")
    with exclusive("maven"):  # two at once may damage the local repository
        run(["mvn", "-q", "-B", "-f", str(pom), *copy], cwd=pom.parent)


def apt(*packages: str) -> None:
    """Install missing Debian packages without starting services. Raises StackError."""
    with exclusive("apt"):
        _apt(*packages)


def _apt(*packages: str) -> None:
    missing = [p for p in packages if not _installed(p)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise StackError(f"install these packages as root first: {' '.join(missing)}")
    if shutil.which("apt-get") is None:
        raise StackError(f"not a Debian system: install the equivalents of {' '.join(missing)}")
    say(f"apt-get install {' '.join(missing)}")
    ours = not POLICY.exists() or POLICY.read_text() == NO_SERVICES  # left by a killed run
    if ours:
        POLICY.write_text(NO_SERVICES)
        POLICY.chmod(0o755)
    try:
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        patient = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600"]
        run([*patient, "update"], env=quiet)
        run([*patient, "install", "-y", "--no-install-recommends", *missing], env=quiet)
    finally:
        if ours:
            POLICY.unlink()


def _installed(package: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    done = subprocess.run(  # noqa: S603 - the commands are ours
        ["dpkg-query", "-W", "-f", "${Status}", package],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.startswith("install ok installed")


def _start_time(pid: int) -> str:
    """The start time of a process in clock ticks; empty if there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
