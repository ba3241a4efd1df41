"""`python -m deploy.stack up|install|down|status|urls [ENGINE …]`: the real engines of this machine."""

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
from deploy.stack.processes import RUN, StackError, only_one, say, wait

# SHOP_STACK puts programs and data on another disk.
ROOT = Path(os.environ.get("SHOP_STACK") or Path(__file__).resolve().parents[2] / ".stack")
ENGINES = ("mariadb", "mysql", "redis", "rocketmq", "mongo", "consul", "nacos", "nginx")
ON_REQUEST = ("tidb",)  # only where it is named
READY_S = 180.0  # all of them start at once
TELL_EVERY_S = 15.0
_PORT = re.compile(r":(\d+)(?=[/?,]|$)")


class Engine(Protocol):
    """What each module beside this one offers; `root` is the data directory of the whole stack."""

    URLS: tuple[str, ...]  # as the service's settings take them
    PROGRAMS: tuple[str, ...]  # as their pid and log files are named

    def install(self, root: Path) -> None:
        """Fetch and build what is missing; quick when nothing is. Raises StackError."""

    def start(self, root: Path) -> None:
        """Start what does not run yet. Raises StackError."""

    def ready(self, root: Path) -> bool:
        """Answers in its own protocol."""

    def stop(self, root: Path) -> None:
        """Stop what runs; data stays."""


def engine(name: str) -> Engine:
    """The module of an engine. Raises StackError for an unknown one."""
    if name not in ENGINES + ON_REQUEST:
        raise StackError(f"unknown engine {name}: one of {', '.join(ENGINES + ON_REQUEST)}")
    return cast(Engine, importlib.import_module(f"deploy.stack.{name}"))


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="deploy.stack", description="The real engines on this machine.")
    parser.add_argument("command", choices=(*IN_PARALLEL, *IN_TURN))
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="all without one")
    chosen = parser.parse_args()
    all_there_are = ENGINES + ON_REQUEST * (chosen.command in ("down", "status"))
    names = list(dict.fromkeys(chosen.engines or all_there_are))
    try:
        engines = [(name, engine(name)) for name in names]
        if chosen.command == "down" and not chosen.engines:
            _shop_first()
        if chosen.command in IN_PARALLEL:
            _together(IN_PARALLEL[chosen.command], engines)
        else:
            for one in engines:
                IN_TURN[chosen.command](*one)
        if chosen.command == "up":
            _where(engines)
        if chosen.command == "status":
            _shop()
    except StackError as failed:
        say(str(failed))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def install(name: str, one: Engine) -> None:
    """Fetch and build; another process that is at it already is waited for."""
    with only_one(f"install-{name}"):
        one.install(ROOT)
    say(f"{name}: installed")


def up(name: str, one: Engine) -> None:
    """Install, start, wait until it answers."""
    install(name, one)
    if not _ours_and_ready(one):
        _ports_are_free(one)
        one.start(ROOT)
        ended = partial(processes.ended, ROOT, *one.PROGRAMS)
        wait(name, lambda: one.ready(ROOT), timeout_s=READY_S, ended=ended)
    say(f"{name}: ready")


def down(name: str, one: Engine) -> None:
    """Stop."""
    one.stop(ROOT)
    say(f"{name}: stopped")


def status(name: str, one: Engine) -> None:
    """One line an engine."""
    state = "ready" if _ours_and_ready(one) else "not running"
    sys.stdout.write(f"{name:9} {state:12} {' '.join(one.URLS)}\n")


def urls(name: str, one: Engine) -> None:
    """The URLs of engines that are ready, for SHOP_TEST_ENGINES."""
    if _ours_and_ready(one):
        sys.stdout.write("".join(f"{url}\n" for url in one.URLS))


IN_PARALLEL = {"up": up, "install": install, "down": down}
IN_TURN = {"status": status, "urls": urls}


def _together(command: Callable[[str, Engine], None], engines: Sequence[tuple[str, Engine]]) -> None:
    """One thread an engine; what failed is told when the others are done. Raises StackError."""
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

    with _telling(busy), ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(guarded, engines))
    if failed:
        names = " ".join(sorted(failed))
        again = f'make stack{"-down" * (command is down)} ENGINES="{names}"'
        raise StackError(f"failed: {names}; mend it and say {again}; logs: {ROOT / 'log'}")


@contextmanager
def _telling(busy: dict[str, float]) -> Iterator[None]:
    """Say from time to time what is still being worked at."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(TELL_EVERY_S):
            now = time.monotonic()
            say("still at " + ", ".join(f"{name} ({now - since:.0f} s)" for name, since in [*busy.items()]))

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _ours_and_ready(one: Engine) -> bool:
    """An answer alone is not enough: another checkout's engine has the same ports."""
    return all(processes.running(ROOT, program) for program in one.PROGRAMS) and one.ready(ROOT)


def _ports_are_free(one: Engine) -> None:
    """Raises StackError if a port is taken by what we did not start."""
    if any(processes.running(ROOT, program) for program in one.PROGRAMS):
        return
    for port in sorted({int(port) for url in one.URLS for port in _PORT.findall(url)}):
        if processes.port_is_open(port):
            raise StackError(
                f"port {port} is taken by a program that this stack did not start: stop it"
                " (that of another checkout: make stack-down there)"
            )


def _where(engines: Sequence[tuple[str, Engine]]) -> None:
    for name, one in engines:
        sys.stdout.write(f"{name:9} {one.URLS[0]}\n")
        sys.stdout.write("".join(f"{'':9} {url}\n" for url in one.URLS[1:]))
    sys.stdout.write(f"programs and data: {ROOT}, logs: {ROOT / 'log'}\n")


def _shop() -> None:
    """The programs of `make run-stack`."""
    for file in sorted((ROOT / "run").glob("shop-*.pid")):
        state = "running" if processes.running(ROOT, file.stem) else "ended"
        sys.stdout.write(f"{file.stem.removeprefix('shop-'):9} {state}\n")


def _shop_first() -> None:
    """What an earlier `make run-stack` left goes before its engines. Raises StackError if it runs."""
    with only_one(RUN, wait=False):
        for file in sorted((ROOT / "run").glob("shop-*.pid")):
            processes.stop(ROOT, file.stem)


if __name__ == "__main__":
    sys.exit(main())
