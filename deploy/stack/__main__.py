"""`python -m deploy.stack up|install|down|status|urls [ENGINE …]`: real engines on this machine."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from deploy.stack import processes
from deploy.stack.processes import RUN, StackError, exclusive, say, wait

# SHOP_STACK moves programs and data to another folder.
ROOT = Path(os.environ.get("SHOP_STACK") or Path(__file__).resolve().parents[2] / ".stack")
ENGINES = ("mariadb", "mysql", "redis", "rocketmq", "mongo", "consul", "nacos", "nginx")
OPTIONAL_ENGINES = ("tidb",)  # only if named
READY_TIMEOUT_S = 180.0  # all of them start at once
PROGRESS_INTERVAL_S = 15.0
_PORT = re.compile(r":(\d+)(?=[/?,]|$)")


class Engine(Protocol):
    """The interface of an engine's module; `root` is the folder of the whole stack."""

    URLS: tuple[str, ...]  # for the service's settings
    PROGRAMS: tuple[str, ...]  # names of the pid and log files

    def install(self, root: Path) -> None:
        """Fetch and build what is missing. Raises StackError."""

    def start(self, root: Path) -> None:
        """Start what is not running. Raises StackError."""

    def ready(self, root: Path) -> bool:
        """Whether the engine answers in its own protocol."""

    def stop(self, root: Path) -> None:
        """Stop what is running; keep the data."""


def engine(name: str) -> Engine:
    """The module of an engine. Raises StackError if unknown."""
    if name not in ENGINES + OPTIONAL_ENGINES:
        raise StackError(f"unknown engine {name}: one of {', '.join(ENGINES + OPTIONAL_ENGINES)}")
    return cast(Engine, importlib.import_module(f"deploy.stack.{name}"))


def main() -> int:
    """Run the command and return the exit code."""
    parser = argparse.ArgumentParser(prog="deploy.stack", description="Real engines on this machine.")
    parser.add_argument("command", choices=(*IN_PARALLEL, *IN_SEQUENCE))
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="default: all")
    chosen = parser.parse_args()
    default_names = ENGINES + OPTIONAL_ENGINES * (chosen.command in ("down", "status"))
    names = list(dict.fromkeys(chosen.engines or default_names))
    try:
        engines = [(name, engine(name)) for name in names]
        if chosen.command == "down" and not chosen.engines:
            _stop_shop()
        if chosen.command in IN_PARALLEL:
            _run_in_parallel(IN_PARALLEL[chosen.command], engines)
        else:
            for one in engines:
                IN_SEQUENCE[chosen.command](*one)
        if chosen.command == "up":
            _print_addresses(engines)
        if chosen.command == "status":
            _print_shop_status()
    except StackError as failed:
        say(str(failed))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def install(name: str, one: Engine) -> None:
    """Fetch and build the engine, or wait for another process that is doing so."""
    with exclusive(f"install-{name}"):
        one.install(ROOT)
    say(f"{name}: installed")


def up(name: str, one: Engine) -> None:
    """Install and start the engine, and wait until it is ready."""
    install(name, one)
    if not _is_ours_and_ready(one):
        _require_free_ports(one)
        one.start(ROOT)
        ended = partial(processes.exit_reason, ROOT, *one.PROGRAMS)
        wait(name, lambda: one.ready(ROOT), timeout_s=READY_TIMEOUT_S, ended=ended)
    say(f"{name}: ready")


def down(name: str, one: Engine) -> None:
    """Stop the engine."""
    one.stop(ROOT)
    say(f"{name}: stopped")


def status(name: str, one: Engine) -> None:
    """Print one line for the engine."""
    state = "ready" if _is_ours_and_ready(one) else "not running"
    sys.stdout.write(f"{name:9} {state:12} {' '.join(one.URLS)}\n")


def urls(name: str, one: Engine) -> None:
    """Print the URLs of a ready engine, for SHOP_TEST_ENGINES."""
    if _is_ours_and_ready(one):
        sys.stdout.write("".join(f"{url}\n" for url in one.URLS))


IN_PARALLEL = {"up": up, "install": install, "down": down}
IN_SEQUENCE = {"status": status, "urls": urls}


def _run_in_parallel(command: Callable[[str, Engine], None], engines: Sequence[tuple[str, Engine]]) -> None:
    """Run a command with one thread per engine. Raises StackError at the end if any failed."""
    failed: list[str] = []
    busy: dict[str, float] = {}

    def guarded(one: tuple[str, Engine]) -> None:
        busy[one[0]] = time.monotonic()
        try:
            command(*one)
        except (StackError, OSError) as why:
            say(f"{one[0]}: FAILED: {why}")
            failed.append(one[0])
        finally:
            del busy[one[0]]

    with _progress(busy), ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(guarded, engines))
    if failed:
        names = " ".join(sorted(failed))
        retry = f'make stack{"-down" * (command is down)} ENGINES="{names}"'
        raise StackError(f"failed: {names}; fix the cause and run {retry}; logs: {ROOT / 'log'}")


@contextmanager
def _progress(busy: dict[str, float]) -> Iterator[None]:
    """Report unfinished engines from time to time."""
    over = threading.Event()

    def report() -> None:
        while not over.wait(PROGRESS_INTERVAL_S):
            now = time.monotonic()
            say(
                "still working on "
                + ", ".join(f"{name} ({now - since:.0f} s)" for name, since in [*busy.items()])
            )

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        over.set()
        reporter.join()


def _is_ours_and_ready(one: Engine) -> bool:
    """Whether our own engine is ready; another checkout's would answer on the same ports."""
    return all(processes.running(ROOT, program) for program in one.PROGRAMS) and one.ready(ROOT)


def _require_free_ports(one: Engine) -> None:
    """Raises StackError if a program that we did not start has one of the ports."""
    if any(processes.running(ROOT, program) for program in one.PROGRAMS):
        return
    for port in sorted({int(port) for url in one.URLS for port in _PORT.findall(url)}):
        if processes.port_is_open(port):
            raise StackError(
                f"port {port} is taken by a program that this stack did not start: stop it"
                " (for another checkout: make stack-down there)"
            )


def _print_addresses(engines: Sequence[tuple[str, Engine]]) -> None:
    for name, one in engines:
        sys.stdout.write(f"{name:9} {one.URLS[0]}\n")
        sys.stdout.write("".join(f"{'':9} {url}\n" for url in one.URLS[1:]))
    sys.stdout.write(f"programs and data: {ROOT}, logs: {ROOT / 'log'}\n")


def _print_shop_status() -> None:
    """Print the state of the programs of `make run-stack`."""
    for file in sorted((ROOT / "run").glob("shop-*.pid")):
        state = "running" if processes.running(ROOT, file.stem) else "ended"
        sys.stdout.write(f"{file.stem.removeprefix('shop-'):9} {state}\n")


def _stop_shop() -> None:
    """Stop what an earlier `make run-stack` left, before its engines. Raises StackError if it is running."""
    with exclusive(RUN, wait=False):
        for file in sorted((ROOT / "run").glob("shop-*.pid")):
            processes.stop(ROOT, file.stem)


if __name__ == "__main__":
    sys.exit(main())
