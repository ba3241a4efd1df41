"""A stop counts from the first instruction of a command: it ends with 0, says no traceback, leaves nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from shop_order.repository.schema import migrate
from tests.e2e.started import MODULES, environ_with
from tests.faults.processes import SANDBOX, SERVICE, Processes
from tests.shop import Shop

WITHIN_S = 20.0
# As number 1 of a container: what nobody heeds does nothing.
DEAF = "trap '' TERM INT HUP; exec \"$@\""


def environ_of(command: str, folder: Path) -> Mapping[str, str]:
    """What a command needs to run alone."""
    shop = Shop(folder)
    if command == "shop-order":
        nobody = "rocketmq://127.0.0.1:9"  # the relay waits for a broker; `serve` needs none for its start
        return {**shop.environ, "SHOP_ORDER_MESSAGE__URL": nobody, "SHOP_ORDER_MESSAGE__RELAY_PORT": "0"}
    return {
        **shop.environ,
        "SHOP_SANDBOX_GRPC_PORT": str(shop.ports["sandbox_grpc"]),
        "SHOP_SANDBOX_HTTP_PORT": str(shop.ports["sandbox_http"]),
        "SHOP_SANDBOX_DATA_DIR": str(folder / "sandbox"),
        "SHOP_SANDBOX_KEYS_DIR": str(folder / "order" / "dev"),
    }


class Deaf:
    """A command that was started with all signals ignored, in a session of its own."""

    def __init__(self, folder: Path, command: str, *words: str) -> None:
        self._said = folder / "said"
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", DEAF, "-", sys.executable, "-m", MODULES[command], *words],
                cwd=folder,
                env=environ_with(environ_of(command, folder)),
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def heeds(self, number: int) -> bool:
        """Whether it has a handler of its own by now."""
        if Path(f"/proc/{self.process.pid}/cmdline").read_bytes().startswith(b"/bin/sh"):
            return False  # not yet the command itself
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
        return False

    def until(self, true: Callable[[], bool]) -> None:
        """Wait without a pause: the moments that matter are short."""
        end = time.monotonic() + WITHIN_S
        while not true():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise AssertionError(self._said.read_text())

    def ends(self) -> int:
        """Its exit code; nobody of its session is left, and it said no traceback."""
        try:
            code = self.process.wait(WITHIN_S)
        finally:
            left = others_of(self.process.pid)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
        assert left == []
        assert "Traceback" not in self._said.read_text()
        return code


def others_of(session: int) -> list[int]:
    """Processes of the session other than the one that leads it."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return [pid for pid in found if pid != session]


COMMANDS = [
    ("shop-order", "serve"),
    ("shop-order", "relay"),
    ("shop-sandbox", "serve"),
    ("shop-sandbox", "demo"),
]


@pytest.mark.parametrize(
    ("number", "after_s"),
    [
        (signal.SIGTERM, 0.0),
        (signal.SIGTERM, 0.3),
        (signal.SIGINT, 0.0),
        *(
            pytest.param(number, after_s, marks=pytest.mark.long)
            for number, after_s in (
                *((signal.SIGTERM, after_s) for after_s in (0.02, 0.1, 0.6, 1.2)),
                (signal.SIGINT, 0.2),
            )
        ),
    ],
)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_stop_is_heeded_whenever_it_comes(
    tmp_path: Path, command: tuple[str, str], number: signal.Signals, after_s: float
) -> None:
    if command[1] == "relay":
        migrate(f"sqlite:///{tmp_path / 'order' / 'order.db'}")
    deaf = Deaf(tmp_path, *command)
    deaf.until(lambda: deaf.heeds(number))
    time.sleep(after_s)  # wherever its start is by then
    deaf.process.send_signal(number)
    assert deaf.ends() == 0


def test_signals_are_heeded_before_anything_is_imported(tmp_path: Path) -> None:
    """Python itself takes some milliseconds before our first instruction; our imports come after it."""
    loud = "import sys; sys.addaudithook(lambda e, a: e == 'import' and print(a[0], file=sys.stderr))"
    for command in ("shop-order", "shop-sandbox"):
        code = f"{loud}; sys.argv = ['x', 'serve']; import runpy; runpy.run_module('{MODULES[command]}')"
        traced = code.replace("runpy.run_module(", "runpy.run_module(run_name='__main__', mod_name=")
        hook = "import signal; real = signal.signal; signal.signal = lambda *a: (print('HEEDED', flush=True,"
        script = f"{hook} file=__import__('sys').stderr), real(*a))[1]\n{traced}"
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={**environ_with(environ_of(command, tmp_path)), "SHOP_ORDER_NO_SUCH_SETTING": "1"}
            | ({"SHOP_SANDBOX_NO_SUCH_SETTING": "1"} if command == "shop-sandbox" else {}),
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        before = done.stderr.partition("HEEDED")[0].split()
        assert "HEEDED" in done.stderr, done.stderr
        assert {"typer", "asyncio", "pydantic", "yaml"}.isdisjoint(before)


def test_a_command_that_is_interrupted_while_it_is_imported_says_nothing(tmp_path: Path) -> None:
    interrupt = "a[0] == 'typer' and os.kill(os.getpid(), signal.SIGINT)"
    code = f"""
import os, runpy, signal, sys
sys.argv = ["shop-order", "doctor"]
sys.addaudithook(lambda e, a: e == "import" and {interrupt})
runpy.run_module("{MODULES["shop-order"]}", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environ_with({}),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")


def test_a_stop_while_old_tables_are_mended_leaves_them_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "order" / "order.db"
    migrate(f"sqlite:///{file}", "0001")
    deaf = Deaf(tmp_path, "shop-order", "serve")
    children = Path(f"/proc/{deaf.process.pid}/task/{deaf.process.pid}/children")
    deaf.until(lambda: bool(children.read_text().split()))
    deaf.process.terminate()
    assert deaf.ends() == 0
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]


async def test_a_reload_that_was_asked_for_too_early_does_not_end_it(tmp_path: Path) -> None:
    deaf = Deaf(tmp_path, "shop-order", "serve")
    await asyncio.to_thread(deaf.until, lambda: deaf.heeds(signal.SIGHUP))
    for _ in range(20):
        deaf.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.05)
    assert deaf.process.poll() is None
    deaf.process.terminate()
    assert await asyncio.to_thread(deaf.ends) == 0


async def test_two_stops_are_one(tmp_path: Path) -> None:
    town = Processes(tmp_path)
    try:
        await town.start(SANDBOX, SERVICE)
        for name in (SERVICE, SANDBOX):
            process = town.process(name)
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                await asyncio.sleep(0.005)
            assert process.returncode == 0
            assert "Traceback" not in town.said(name)
    finally:
        town.end()


def test_the_story_leaves_no_shop_behind(tmp_path: Path) -> None:
    deaf = Deaf(tmp_path, "shop-sandbox", "story")
    children = Path(f"/proc/{deaf.process.pid}/task/{deaf.process.pid}/children")
    deaf.until(lambda: bool(children.read_text().split()))
    (child,) = map(int, children.read_text().split())
    deaf.process.terminate()
    assert deaf.ends() == 128 + signal.SIGTERM
    assert not Path(f"/proc/{child}").exists()
