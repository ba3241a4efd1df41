"""A read-only root, an unknown uid, no home: nothing of ours needs the system's folder for what is temporary.

SQLite and others unlink such a file as soon as they have made it; the folder's own time still tells of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.e2e.started import environ_with
from tests.faults.processes import SANDBOX, SERVICE, Processes
from tests.shop import ADDRESS

# What Python finds where there is no such folder, and where nobody knows the user.
BARE = """
import os, pwd, tempfile

def nowhere(*given, **named):
    raise FileNotFoundError("no usable temporary directory found")

def nobody(*given):
    raise KeyError("getpwuid(): uid not found")

tempfile.gettempdir = tempfile._get_default_tempdir = nowhere
pwd.getpwuid = pwd.getpwnam = nobody
"""

WHO = """
def getuser():
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        if os.environ.get(name):
            return os.environ[name]
    raise OSError("No username set in the environment")

getpass.getuser = getuser
"""


def changed(folder: Path) -> int:
    """When something was made, or taken away, in it."""
    return folder.stat().st_mtime_ns


class Bare(Processes):
    """The service in an environment without a home, and with a folder for what is temporary that tells."""

    def __init__(self, folder: Path, **environ: str) -> None:
        super().__init__(folder, **environ)
        self.temporary = folder / "temporary"
        self.here = folder / "here"  # where it is started
        for made in (self.temporary, self.here, folder / "bare"):
            made.mkdir()
        (folder / "bare" / "sitecustomize.py").write_text(BARE)

    def _env(self, name: str) -> dict[str, str]:
        env = super()._env(name)
        if name != SERVICE:
            return env
        for unknown in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            env.pop(unknown, None)
        env["PYTHONPATH"] = os.pathsep.join([str(self.folder / "bare"), env["PYTHONPATH"]])
        return env | dict.fromkeys(("TMPDIR", "TEMP", "TMP", "SQLITE_TMPDIR"), str(self.temporary))

    def _command(self, name: str, *words: str) -> list[str]:
        command = super()._command(name, *words)
        if name != SERVICE:
            return command
        return ["/bin/sh", "-c", f'cd {self.here} && exec "$@"', "-", *command]


async def test_orders_are_taken_without_one(tmp_path: Path) -> None:
    town = Bare(tmp_path)
    before = (changed(town.temporary), changed(town.here))
    try:
        await town.start(SANDBOX, SERVICE)
        headers = {"Authorization": f"Bearer {town.token()}"}
        async with httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False, timeout=20) as http:

            async def buy(goods: int) -> int:
                body = {"items": [{"goods_id": goods, "nums": 1}], "address": ADDRESS}
                return (await http.post("/api/v1/orders", json=body)).status_code

            # Together, one of them refused: their batch is undone in part, which needs a journal of its own.
            assert set(await asyncio.gather(*map(buy, [101, 102, 103] * 8))) == {200}
            assert (await http.get("/readyz")).json()["status"] == "ready"
            listed = await http.get("/api/v1/orders", params={"page_size": 100})
            assert listed.json()["data"]["total"] == 24
        assert (await town.says("doctor"))[0] == 0
        assert (await town.says("audit", "verify"))[0] == 0
        town.process(SERVICE).send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(town.process(SERVICE).wait, 30) == 0
    finally:
        town.end()
    assert (changed(town.temporary), changed(town.here)) == before
    assert "Traceback" not in town.said(SERVICE)


OURS = "shop_order.pkg.message.rocketmq"
DRIVERS = f"asyncmy, pymysql, pymongo, redis, v2.nacos, opentelemetry.sdk, {OURS}"


def test_no_driver_needs_a_home_or_a_name(tmp_path: Path) -> None:
    """They are imported by who has chosen their engine; from Python 3.13 on some ask who we are, in vain."""
    (tmp_path / "sitecustomize.py").write_text(f"{BARE}\nimport getpass\n{WHO}")
    env = {k: v for k, v in environ_with({}).items() if k not in ("HOME", "USER", "LOGNAME")}
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    code = (
        "from shop_order.cmd.run import startup; startup.prepare();"
        f" import {DRIVERS} as library; library.library()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
