"""A Redis of the test's own, to be killed, frozen and started again."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

from tests.shop import free_ports


class RedisServer:
    """`with RedisServer(folder) as redis:`; its data outlives a kill, like that of any careful operator."""

    def __init__(self, folder: Path, *more: str, config: Path | None = None) -> None:
        """`config`: the file of a sentinel."""
        self.folder = folder
        self.port = free_ports(1)[0]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._more = more
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    def more(self, *options: str) -> None:
        """Add to what it is started with."""
        self._more += options

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.spawn()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def spawn(self) -> None:
        """Start it on the data it had."""
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        log = ["--logfile", str(self.folder / "redis.log")]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        kind = [str(self._config), "--sentinel"] if self._config else durable
        command = ["redis-server", *kind, *place, *log, *self._more]
        self._process = subprocess.Popen(command, cwd=self.folder)

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def says(self, *command: str) -> str:
        """What redis-cli prints."""
        asked = ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *command]
        return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False).stdout.strip()

    async def ready(self) -> None:
        """Wait until it answers in its own protocol."""
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(self._answers):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
