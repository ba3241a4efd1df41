"""A disk that fills up, or a kill, costs lines; it never joins half of one to the next."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from shop_order.pkg.log import LogConfig, Logging, get_logger, log_failing
from shop_order.pkg.log.handlers import LogQueue, StreamTarget, WholeLines
from tests.unit.pkg.test_log import flushed, rotating, write, writing

FULL = OSError(errno.ENOSPC, "No space left on device")


class Disk(io.RawIOBase):
    """Takes `room` bytes, then says that it is full; every write takes a part only."""

    def __init__(self, room: int, part: int = 7) -> None:
        self.room, self.part, self.got = room, part, b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self.room:
            raise FULL
        took = bytes(data[: min(self.part, self.room)])
        self.got += took
        self.room -= len(took)
        return len(took)


def test_what_is_taken_in_parts_is_written_whole() -> None:
    disk = Disk(1000)
    WholeLines(cast(BinaryIO, disk)).write("one line\nanother line\n")
    assert disk.got == b"one line\nanother line\n"


@pytest.mark.parametrize("room", range(30))
def test_after_a_full_disk_the_next_line_is_one_of_its_own(room: int) -> None:
    disk = Disk(room)
    lines = WholeLines(cast(BinaryIO, disk))
    before = '{"n":1}\n{"n":2}\n{"n":3}\n'
    if room < len(before):
        with pytest.raises(OSError, match="No space"):
            lines.write(before)
        with pytest.raises(OSError, match="No space"):  # still full
            lines.write('{"n":9}\n')
    else:
        lines.write(before)
    disk.room = 1000
    lines.write('{"n":4}\n')
    assert disk.got.endswith(b'\n{"n":4}\n') or disk.got == b'{"n":4}\n'
    assert b"\n\n" not in disk.got


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Disk], None]:
    """Lets what is opened to be appended to from now on write as far as a disk has room."""

    def begin(disk: Disk) -> None:
        class Through(io.FileIO):
            def write(self, data: Any) -> int:
                return super().write(data[: disk.write(data)])

        def opened(file: Path, how: str = "r", *, opener: Any, **_: object) -> BinaryIO:
            return cast(BinaryIO, Through(file, how.replace("b", ""), opener=opener))

        monkeypatch.setattr("shop_order.pkg.log.handlers.open", opened, raising=False)

    return begin


def test_the_half_line_is_taken_back_from_the_file(tmp_path: Path, failing: Callable[[Disk], None]) -> None:
    disk = Disk(20)
    (tmp_path / "order.log").write_bytes(b"")
    failing(disk)
    file = rotating(tmp_path / "order.log", compress=False)
    file.maxBytes = 1000
    write(file, '{"n":1}\n{"n":2}\n{"n":3}\n')
    disk.room = 1000
    write(file, '{"n":4}\n')
    file.close()
    first, second, lost, last = (tmp_path / "order.log").read_text().splitlines()
    assert (first, second, last) == ('{"n":1}', '{"n":2}', '{"n":4}')
    assert json.loads(lost)["dropped"] == 3


def test_a_file_that_ends_in_half_a_line_gets_the_next_one_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "order.log"
    path.write_bytes(b'{"n":1}\n{"n":2,"k')
    for number in (3, 4):
        file = rotating(path, compress=False)
        file.maxBytes = 1000
        write(file, f'{{"n":{number}}}\n')
        file.close()
    assert path.read_bytes() == b'{"n":1}\n{"n":2,"k\n{"n":3}\n{"n":4}\n'


def test_standard_output_on_a_full_disk_loses_lines_and_joins_none() -> None:
    disk = Disk(30, part=1000)
    handle = Logging(LogConfig(), io.BufferedWriter(disk))
    log = get_logger("test")
    log.info("does not fit, since it is longer than the room there is")
    assert handle.flush()
    assert log_failing()
    disk.room = 100_000
    log.info("fits")
    assert handle.flush()
    assert not log_failing()
    handle.close()
    half, lost, whole = disk.got.splitlines()
    assert len(half) == 30
    assert json.loads(lost)["dropped"] == 1
    assert json.loads(whole)["msg"] == "fits"


def test_each_time_the_log_begins_to_fail_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    disk, queue = Disk(0, part=1000), LogQueue(10)
    writer = writing(queue, WholeLines(cast(BinaryIO, disk)))
    (target,) = writer.handlers
    assert isinstance(target, StreamTarget)
    for room in (0, 0, 1000, 0):
        disk.room = room
        queue.put("line\n", 20)
        assert flushed(queue)
        assert bool(target.lost) is not bool(room)
    writer.stop()
    assert capsys.readouterr().err.count("can't be written") == 2


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_reads_a_log_be_it_new_rotated_or_zipped(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        (tmp_path / "logs").mkdir()
        file = rotating(tmp_path / "logs" / "order.log", max_backups=0)
        for _ in range(3):
            write(file, "line....\n")
        file.close()
        new = rotating(tmp_path / "new" / "order.log")
        new.close()
    finally:
        os.umask(before)
    found = [tmp_path / "logs" / "order.log", *file.backups(), tmp_path / "new" / "order.log"]
    assert len(found) == 4
    assert {mode(path) for path in found} == {0o600}
    assert mode(tmp_path / "new") == 0o700
    assert mode(tmp_path / "logs") == 0o755  # somebody made it for more than us
