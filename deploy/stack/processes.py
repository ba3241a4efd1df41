"""Programs that outlive the command that started them: one pid file and one log file each."""

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
# Debian's package that brings a tool, where there is none yet.
TOOLS = {"java": "default-jdk-headless", "javac": "default-jdk-headless", "mvn": "maven", "unzip": "unzip"}

POLICY = Path("/usr/sbin/policy-rc.d")
NO_SERVICES = "#!/bin/sh\n# Of `make stack`, while it installs packages.\nexit 101\n"


class StackError(Exception):
    """Something could not be installed, started or stopped; the text is one clear line."""


def say(text: str) -> None:
    """Progress, for the person who waits."""
    sys.stderr.write(f"stack: {text}\n")
    sys.stderr.flush()


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 1800,
) -> str:
    """The output of a command that must succeed. Raises StackError with its last lines."""
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
    """Start a program in a session of its own, unless it runs already."""
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
    (root / "run" / f"{name}.pid").write_text(f"{process.pid} {_started(process.pid)}")


def _private(path: str, flags: int) -> int:
    """What an instance says names buyers' orders: nobody else reads it."""
    return os.open(path, flags, 0o600)


def running(root: Path, name: str) -> int:
    """Its pid, 0 if it does not run. A pid that another program has by now does not count."""
    try:
        pid, began = (root / "run" / f"{name}.pid").read_text().split()
    except (FileNotFoundError, ValueError):
        return 0
    return int(pid) if began and _started(int(pid)) == began else 0


def stop(root: Path, name: str, *, timeout_s: float = 30) -> None:
    """TERM, then KILL after `timeout_s`; one that ended by itself is forgotten."""
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


def ended(root: Path, *names: str) -> str:
    """What those that were started and do not run any more said last; empty if there are none."""
    gone = [name for name in names if (root / "run" / f"{name}.pid").exists() and not running(root, name)]
    return "; ".join(f"{name} ended by itself: {said_last(root, name)}" for name in gone)


def said_last(root: Path, name: str) -> str:
    """The last three lines of its log, as one."""
    log = root / "log" / f"{name}.log"
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:]) or f"see {log}"


def wait(
    what: str, ready: Callable[[], bool], *, timeout_s: float = 90, ended: Callable[[], str] = str
) -> None:
    """Ask until it is ready, or until `ended` says why it never will be. Raises StackError."""
    end = time.monotonic() + timeout_s
    while not ready():
        if why := ended():
            raise StackError(why)
        if time.monotonic() > end:
            raise StackError(f"{what} was not ready within {timeout_s:.0f} s")
        time.sleep(0.2)


def port_is_open(port: int) -> bool:
    """Whether somebody listens; an open port is not a ready server yet."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def newer(made: Path, *sources: Path) -> bool:
    """Whether it is there, and was made after all it is made of."""
    return made.exists() and all(made.stat().st_mtime >= source.stat().st_mtime for source in sources)


@contextmanager
def draft_of(folder: Path) -> Iterator[Path]:
    """An empty folder that takes its place when it is complete: one that was cut short counts for nothing."""
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    yield draft
    draft.rename(folder)


@contextmanager
def only_one(what: str, *, wait: bool = True) -> Iterator[None]:
    """Let others on this machine, threads too, wait until we are done with `what`.

    Raises StackError instead of waiting where we may not.
    """
    with Path(tempfile.gettempdir(), f"shop-stack-{what.replace(' ', '-')}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"{what} is running already: stop it first") from None
        yield


def need(*tools: str) -> None:
    """Bring the tools that are missing. Raises StackError."""
    apt(*dict.fromkeys(TOOLS[tool] for tool in tools if shutil.which(tool) is None))


def maven(pom: Path, libraries: Path) -> None:
    """Put the jars that a pom names, and theirs, into a folder. Raises StackError."""
    need("java", "mvn")
    copy = ("dependency:copy-dependencies", f"-DoutputDirectory={libraries}", "-DincludeScope=runtime")
    with only_one("maven"):  # two at once may spoil its repository
        run(["mvn", "-q", "-B", "-f", str(pom), *copy], cwd=pom.parent)


def apt(*packages: str) -> None:
    """Install Debian packages that are missing, without starting them as services. Raises StackError."""
    with only_one("apt"):
        _apt(*packages)


def _apt(*packages: str) -> None:
    missing = [p for p in packages if not _installed(p)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise StackError(f"install these packages as root first: {' '.join(missing)}")
    if shutil.which("apt-get") is None:
        raise StackError(f"this is no Debian: install what there is of {' '.join(missing)}")
    say(f"apt-get install {' '.join(missing)}")
    ours = not POLICY.exists() or POLICY.read_text() == NO_SERVICES  # a killed one of us left it
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


def _started(pid: int) -> str:
    """When a process began, in clock ticks; empty if there is none (or only its corpse)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
