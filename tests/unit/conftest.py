"""A unit test uses no network, starts no process and waits for no clock; what does is a component test."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from typing import TypeVar

import grpc.aio
import pytest

MAX_SLEEP_S = 0.05
REFUSED = {
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.sendto",
    "subprocess.Popen",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
}

T = TypeVar("T")


class Guard:
    """Notes what a test did that a unit test does not do."""

    def __init__(self) -> None:
        self.watching = False
        self.did: list[str] = []

    def audit(self, event: str, _args: object) -> None:
        if self.watching and event in REFUSED:
            self.did.append(event)
            raise AssertionError(f"a unit test does no {event}: move it to tests/component")


guard = Guard()
sys.addaudithook(guard.audit)


@pytest.fixture(autouse=True)
def no_io(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that uses the network, starts a process or sleeps, even if its code caught the refusal.

    Files are allowed below tmp_path, for the units that are about files, and SQLite for use cases.
    """
    sleep, sleep_async = time.sleep, asyncio.sleep

    def slept(delay_s: float) -> None:
        if delay_s > MAX_SLEEP_S:
            guard.did.append(f"time.sleep({delay_s})")
        sleep(delay_s)

    async def slept_async(delay_s: float, result: T | None = None) -> T | None:
        done = await sleep_async(delay_s, result)
        if delay_s > MAX_SLEEP_S:  # one that was cancelled cost nothing
            guard.did.append(f"asyncio.sleep({delay_s})")
        return done

    def unknown(host: object, *_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, f"a unit test asks no name server about {host}")

    def serve(*_args: object, **_options: object) -> None:
        guard.audit("socket.bind", ())  # grpc opens its sockets unseen

    monkeypatch.setattr(time, "sleep", slept)
    monkeypatch.setattr(asyncio, "sleep", slept_async)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(grpc.aio, "server", serve)
    guard.did.clear()
    guard.watching = True
    yield
    guard.watching = False
    assert not guard.did, f"not in a unit test: {', '.join(guard.did)}"
