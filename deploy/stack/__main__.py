"""`python -m deploy.stack up|down|status|urls [ENGINE …]`: install, start, wait, print what runs where."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Protocol, cast

from deploy.stack.processes import StackError, say, wait

ROOT = Path(__file__).resolve().parents[2] / ".stack"
ENGINES = ("mariadb", "mysql", "redis", "rocketmq", "mongo", "consul", "nacos")


class Engine(Protocol):
    """What each module beside this one offers; `root` is the data directory of the whole stack."""

    URLS: tuple[str, ...]  # as the service's settings take them

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
    if name not in ENGINES:
        raise StackError(f"unknown engine {name}: one of {', '.join(ENGINES)}")
    return cast(Engine, importlib.import_module(f"deploy.stack.{name}"))


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="deploy.stack", description="The real engines on this machine.")
    parser.add_argument("command", choices=("up", "down", "status", "urls"))
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="all without one")
    chosen = parser.parse_args()
    try:
        for name in chosen.engines or ENGINES:
            COMMANDS[chosen.command](name, engine(name))
    except StackError as failed:
        say(str(failed))
        return 1
    return 0


def up(name: str, one: Engine) -> None:
    """Install, start, wait."""
    say(f"{name}: installing")
    one.install(ROOT)
    one.start(ROOT)
    wait(name, lambda: one.ready(ROOT))
    say(f"{name}: ready at {', '.join(one.URLS)}")


def down(name: str, one: Engine) -> None:
    """Stop."""
    one.stop(ROOT)
    say(f"{name}: stopped")


def status(name: str, one: Engine) -> None:
    """One line an engine."""
    state = "ready" if one.ready(ROOT) else "not running"
    sys.stdout.write(f"{name:9} {state:12} {' '.join(one.URLS)}\n")


def urls(name: str, one: Engine) -> None:
    """The URLs of engines that are ready, for SHOP_TEST_ENGINES."""
    if one.ready(ROOT):
        sys.stdout.write("".join(f"{url}\n" for url in one.URLS))


COMMANDS = {"up": up, "down": down, "status": status, "urls": urls}

if __name__ == "__main__":
    sys.exit(main())
