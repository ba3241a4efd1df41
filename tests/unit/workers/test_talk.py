"""What goes between a parent and its workers."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import cast

import pytest

from shop_order.cmd.workers.process import Lines, Worker
from shop_order.cmd.workers.talk import ORPHANED, line_of, read
from shop_order.configs import load
from shop_order.configs.handover import from_text, to_text
from shop_order.pkg.log.logger import outlet

CHILD = """
import socket, sys, time
from shop_order.cmd.workers.talk import ToParent
end = ToParent(socket.socket(fileno=int(sys.argv[1])))
end.listen(lambda heard, *said: heard(*said), lambda word, value: end.say("heard", [word, value]))
time.sleep(60)
"""


class Killed:
    """A process that counts how often it is killed."""

    times = 0

    def kill(self) -> None:
        self.times += 1


def test_a_line_says_what_was_said() -> None:
    line = line_of("missing", ["商品", "a\nb"])
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert read(line) == ("missing", ["商品", "a\nb"])


def test_the_settings_are_the_same_on_the_other_side_secrets_too(tmp_path: Path) -> None:
    environ = {
        "SHOP_ORDER_DATA_DIR": str(tmp_path),
        "SHOP_ORDER_SERVER__CORS_ORIGINS": "https://a.example,https://b.example",
        "SHOP_ORDER_PAY__CALLBACK_ALLOW": "10.0.0.0/8",
        "SHOP_ORDER_PAY__ALIPAY__APP_ID": "2021000000000009",
    }
    settings = load(environ).settings
    handed = from_text(read(line_of("settings", to_text(settings)))[1])
    assert handed == settings
    assert handed.auth.link_keys[0].get_secret_value() == settings.auth.link_keys[0].get_secret_value() != ""


def test_a_worker_whose_parent_is_gone_ends_though_it_is_busy() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        ours.sendall(line_of("ping", ["goods"]))
        ours.settimeout(20)
        with ours.makefile("rb") as said:
            assert read(said.readline()) == ("heard", ["ping", ["goods"]])
    assert child.wait(20) == ORPHANED


async def test_a_worker_that_was_killed_in_the_middle_of_a_line_has_said_what_came_before() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(line_of("ready") + line_of("missing", ["goods"])[:-4])
    reader.feed_eof()
    process = Killed()
    worker = Worker(1, cast(Process, process), (reader, cast(asyncio.StreamWriter, None)), Lines())
    assert [said async for said in worker.said()] == [("ready", None)]
    assert process.times == 1


async def test_lines_are_handed_on_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    class Sink:
        def put(self, line: bytes, level: int) -> None:
            written.append(line)

    monkeypatch.setattr(outlet, "sink", Sink())
    lines = Lines()
    for piece in (b'{"a":', b"1}\n{", b'"b":2}\n{"c":3}\n{"cut', b""):
        lines.data_received(piece)
    assert written == [b'{"a":1}\n', b'{"b":2}\n', b'{"c":3}\n']
    lines.connection_lost(None)
    assert written[-1] == b'{"cut\n'
    assert lines.ended.is_set()
