"""A disk that fills up, or a kill, costs lines; it never joins half of one to the next."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from shop_order.pkg.log import LogConfig, get_logger, start_logging
from shop_order.pkg.log.rotation import RotatingFile
from shop_order.pkg.log.whole_lines import WholeLines
from shop_order.pkg.log.writer import LogWriter

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
    assert WholeLines(disk.write).write(b"one line\nanother line\n") == 22
    assert disk.got == b"one line\nanother line\n"


@pytest.mark.parametrize("room", range(30))
def test_after_a_full_disk_the_next_line_is_one_of_its_own(room: int) -> None:
    disk = Disk(room)
    lines = WholeLines(disk.write)
    before = b'{"n":1}\n{"n":2}\n{"n":3}\n'
    if room < len(before):
        with pytest.raises(OSError, match="No space"):
            lines.write(before)
        with pytest.raises(OSError, match="No space"):  # still full
            lines.write(b'{"n":9}\n')
    else:
        lines.write(before)
    disk.room = 1000
    lines.write(b'{"n":4}\n')
    assert disk.got.endswith(b'\n{"n":4}\n') or disk.got == b'{"n":4}\n'
    assert b"\n\n" not in disk.got


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Disk], None]:
    """Lets what is opened to be appended to from now on write as far as a disk has room."""

    def begin(disk: Disk) -> None:
        class Through(io.FileIO):
            def write(self, data: Any) -> int:
                return super().write(data[: disk.write(data)])

        def opened(file: int | Path, how: str = "r", **_: object) -> BinaryIO:
            return cast(BinaryIO, Through(file, how))

        monkeypatch.setattr("shop_order.pkg.log.rotation.open", opened, raising=False)

    return begin


def test_the_half_line_is_taken_back_from_the_file(tmp_path: Path, failing: Callable[[Disk], None]) -> None:
    disk = Disk(20)
    (tmp_path / "order.log").write_bytes(b"")
    failing(disk)
    file = RotatingFile(tmp_path / "order.log", 1000, 2, 0, compress=False)
    with pytest.raises(OSError, match="No space"):
        file.write(b'{"n":1}\n{"n":2}\n{"n":3}\n')
    disk.room = 1000
    file.write(b'{"n":4}\n')
    file.close()
    assert (tmp_path / "order.log").read_bytes() == b'{"n":1}\n{"n":2}\n{"n":4}\n'


def test_a_file_that_ends_in_half_a_line_gets_the_next_one_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "order.log"
    path.write_bytes(b'{"n":1}\n{"n":2,"k')
    for number in (3, 4):
        file = RotatingFile(path, 1000, 2, 0, compress=False)
        file.write(b'{"n":%d}\n' % number)
        file.close()
    assert path.read_bytes() == b'{"n":1}\n{"n":2,"k\n{"n":3}\n{"n":4}\n'


def test_standard_output_on_a_full_disk_loses_lines_and_joins_none() -> None:
    disk = Disk(30, part=1000)
    handle = start_logging(LogConfig(), io.BufferedWriter(disk))
    log = get_logger("test")
    log.info("does not fit, since it is longer than the room there is")
    assert handle.flush()
    assert handle.writer.failing
    disk.room = 100_000
    log.info("fits")
    assert handle.flush()
    assert not handle.writer.failing
    handle.close()
    half, lost, whole = disk.got.splitlines()
    assert len(half) == 30
    assert json.loads(lost)["dropped"] == 1
    assert json.loads(whole)["msg"] == "fits"


def test_each_time_the_log_begins_to_fail_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    disk = Disk(0, part=1000)
    writer = LogWriter([WholeLines(disk.write)], max_lines=10)
    for room in (0, 0, 1000, 0):
        disk.room = room
        writer.put(b"line\n", 20)
        assert writer.flush()
        assert writer.failing is not bool(room)
    writer.close()
    assert capsys.readouterr().err.count("can't be written") == 2


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_reads_a_log_be_it_new_rotated_zipped_or_of_an_older_version(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        older = tmp_path / "logs" / "order-2020-01-01T00-00-00.000000.log.gz"
        older.parent.mkdir()
        older.write_bytes(gzip.compress(b"old\n"))
        file = RotatingFile(tmp_path / "logs" / "order.log", 10, 0, 0, compress=True)
        for _ in range(3):
            file.write(b"line....\n")
            assert file._tidying is not None
            file._tidying.join()
        file.close()
        new = RotatingFile(tmp_path / "new" / "order.log", 10, 0, 0, compress=True)
        new.close()
    finally:
        os.umask(before)
    found = [tmp_path / "logs" / "order.log", *file.backups(), tmp_path / "new" / "order.log"]
    assert len(found) == 5
    assert {mode(path) for path in found} == {0o600}
    assert mode(tmp_path / "new") == 0o700
    assert mode(tmp_path / "logs") == 0o755  # somebody made it for more than us
