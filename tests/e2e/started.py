"""Commands as a newcomer starts them: processes of their own, with nothing of this one's environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.recording.recorder import child_path

ROOT = Path(__file__).parents[2]
WITHIN_S = 40.0
MODULES = {"shop-order": "shop_order.cmd.main", "shop-sandbox": "shop_sandbox.main"}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


def environ_with(own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that knows no setting but `own`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SHOP_")}
    return {**kept, "PYTHONPATH": child_path(), "PYTHONUTF8": "1", **own}


async def run(
    folder: Path, command: str, *words: str, environ: Mapping[str, str], within_s: float = WITHIN_S
) -> Ran:
    """A command until it ends by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        MODULES[command],
        *words,
        cwd=folder,
        env=environ_with(environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), within_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


class Started:
    """A command, or `-c` with Python of its own, that runs until it is stopped; its output can be read."""

    def __init__(self, folder: Path, command: str, *words: str, environ: Mapping[str, str]) -> None:
        self._folder = folder
        module = ["-m", MODULES[command]] if command in MODULES else [command]
        self._arguments = [sys.executable, *module, *words]
        self._environ = environ_with(environ)
        self._said = folder / f"{command.strip('-')}.said"

    async def __aenter__(self) -> Started:
        with self._said.open("wb") as said:
            self.process = await asyncio.create_subprocess_exec(
                *self._arguments, cwd=self._folder, env=self._environ, stdout=said, stderr=said
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    def said(self) -> str:
        """All it wrote so far."""
        return self._said.read_text("utf-8")

    async def says(self, text: str, times: int = 1) -> str:
        """Wait until it has written `text` so often; all it wrote. Raises AssertionError."""
        end = time.monotonic() + WITHIN_S
        while self.said().count(text) < times:
            assert self.process.returncode is None, self.said()
            assert time.monotonic() < end, self.said()
            await asyncio.sleep(0.05)
        return self.said()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, and wait for the exit code."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), WITHIN_S)
