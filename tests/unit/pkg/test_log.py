import gzip
import io
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shop_order.pkg.log import (
    LogConfig,
    Logging,
    current_request_id,
    get_logger,
    log_failing,
    mask_phone,
    set_level,
    with_fields,
)
from shop_order.pkg.log.handlers import FileTarget, LogQueue, StreamTarget, Writer
from shop_order.pkg.log.masking import mask

log = get_logger("shop_order.service.order")


@dataclass
class Address:
    name: str


class Captured:
    def __init__(self) -> None:
        self.stream = io.BytesIO()
        self.logging = Logging(LogConfig(level="debug"), self.stream)

    def lines(self) -> list[dict[str, Any]]:
        assert self.logging.flush()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def captured() -> Iterator[Captured]:
    it = Captured()
    yield it
    it.logging.close()


def test_a_line_has_the_specification_s_keys_in_order(captured: Captured) -> None:
    log.info("order placed", order_sn="1" * 27, pay_fen=1999)
    (line,) = captured.lines()
    assert list(line) == ["time", "level", "logger", "caller", "msg", "order_sn", "pay_fen"]
    assert (line["level"], line["logger"], line["msg"]) == ("info", "service.order", "order placed")
    assert line["caller"].startswith("pkg/test_log.py:")
    at = datetime.fromisoformat(line["time"])
    assert at.utcoffset() is not None
    assert len(line["time"].split(".")[1]) == len("123+00:00")
    assert abs(at.timestamp() - time.time()) < 5


def test_an_exception_brings_its_stack(captured: Captured) -> None:
    try:
        raise ValueError("for 13812345678")
    except ValueError as error:
        log.exception("failed")
        log.error("failed too", exc_info=error)
    for line in captured.lines():
        assert list(line)[5] == "stacktrace"
        assert line["stacktrace"].endswith("ValueError: for 138****5678")


def test_a_text_from_outside_can_not_begin_a_line(captured: Captured) -> None:
    log.warning('a\r\n{"level":"info"}', note="x\ny\u2028z", **{"evil\nkey": "\x00"})
    assert len(captured.lines()) == 1
    assert captured.stream.getvalue().count(b"\n") == 1


def test_values_that_json_does_not_know_are_still_written(captured: Captured) -> None:
    log.info("odd", path=Path("a"), big=1 << 70, lone="\ud800", nothing=None, many={1, 2})
    (line,) = captured.lines()
    assert line["path"] == "a"


def test_a_command_s_fields_and_raw_bytes_stay_out(captured: Captured) -> None:
    log.info("got", command=Address("Zhang San"), body=b"secret", msg="kept", at=[Path("13812345678")])
    (line,) = captured.lines()
    assert (line["command"], line["body"], line["_msg"]) == ("<Address>", "<6 bytes>", "kept")
    assert line["at"] == ["138****5678"]


def test_secrets_and_phones_are_masked_by_name_and_phones_everywhere(captured: Captured) -> None:
    log.info(
        "sent to 13812345678 and +8613812345678",
        authorization="Bearer abc",
        headers={"X-Api-Key": "abc", "accept": "json"},
        accessToken="abc",
        signer_mobile="13812345678",
        note=["call 13812345678", "id 213812345678"],
        sign="abc",
        design="kept",
        level="kept",
    )
    (line,) = captured.lines()
    assert "abc" not in json.dumps(line)
    assert "12345678" not in json.dumps({**line, "note": line["note"][0]})
    assert line["msg"] == "sent to 138****5678 and +86138****5678"
    assert line["note"][1] == "id 213812345678"
    assert (line["design"], line["_level"], line["headers"]["accept"]) == ("kept", "kept", "json")


def test_a_phone_too_short_to_keep_its_ends_is_hidden() -> None:
    assert (mask_phone("13812345678"), mask_phone("1234567")) == ("138****5678", "****")


def test_deep_values_end(captured: Captured) -> None:
    nested: dict[str, Any] = {}
    nested["again"] = nested
    log.info("deep", nested=nested)
    assert "..." in json.dumps(captured.lines()[0])


def test_fields_stay_for_the_task_that_bound_them(captured: Captured) -> None:
    with with_fields(request_id="r-1"):
        log.bind(order_sn="7").info("inside")
        assert current_request_id() == "r-1"
    log.info("outside")
    inside, outside = captured.lines()
    assert (inside["request_id"], inside["order_sn"]) == ("r-1", "7")
    assert "request_id" not in outside
    assert current_request_id() == ""


def test_the_level_changes_while_running(captured: Captured) -> None:
    set_level("error")
    log.warning("lost")
    logging.getLogger("uvicorn.error").warning("lost too")
    set_level("debug")
    log.debug("kept")
    assert [line["msg"] for line in captured.lines()] == ["kept"]
    with pytest.raises(KeyError):
        set_level("loud")


def test_the_standard_library_s_lines_come_once_and_in_the_same_shape(captured: Captured) -> None:
    logging.getLogger("uvicorn.error").warning("to %s", "13812345678")
    try:
        raise OSError("gone")
    except OSError:
        logging.getLogger("grpc._server").exception("no")
    first, last = captured.lines()
    assert first["caller"].startswith("pkg/test_log.py:")
    assert (first["level"], first["logger"], first["msg"]) == ("warn", "uvicorn.error", "to 138****5678")
    assert last["level"] == "error"
    assert "OSError: gone" in last["stacktrace"]


def test_a_library_that_brought_its_own_handler_is_not_written_twice() -> None:
    own = io.StringIO()
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.addHandler(logging.StreamHandler(own))
    uvicorn.propagate = False
    it = Captured()
    logging.getLogger("uvicorn.error").warning("once")
    assert [line["msg"] for line in it.lines()] == ["once"]
    assert own.getvalue() == ""
    it.logging.close()


def test_addresses_that_are_called_are_in_no_line(captured: Captured) -> None:
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        client.get("https://provider.example/bill?token=for-thirty-seconds")
    logging.getLogger("httpcore.http11").debug("send_request_headers.started")
    assert captured.lines() == []


def test_closing_writes_everything_to_file_and_stream(tmp_path: Path) -> None:
    stream = io.BytesIO()
    file = tmp_path / "logs" / "order.log"
    handle = Logging(LogConfig(filename=str(file)), stream)
    for number in range(3000):
        log.info("line", number=number)
    handle.close()
    written = [json.loads(line)["number"] for line in file.read_bytes().splitlines()]
    assert written == list(range(3000))
    assert file.read_bytes() == stream.getvalue()


class Stuck:
    """A disk that does not answer until it is freed."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.entered = threading.Event()
        self.got = ""

    def write(self, text: str) -> None:
        self.entered.set()
        assert self.free.wait(10)
        self.got += text

    def flush(self) -> None:
        return


def writing(queue: LogQueue, *targets: Any) -> Writer:
    writer = Writer(queue, *(StreamTarget(target) for target in targets))
    writer.start()
    return writer


def flushed(queue: LogQueue) -> bool:
    written = threading.Event()
    queue.lines.put(written)
    return written.wait(5)


def test_a_full_queue_drops_info_at_once_counts_it_and_says_so() -> None:
    disk, queue = Stuck(), LogQueue(10)
    writer = writing(queue, disk)
    queue.put("first\n", 20)
    assert disk.entered.wait(5)
    started = time.perf_counter()
    for _ in range(15):
        queue.put("info\n", 20)
    assert time.perf_counter() - started < 0.04
    assert queue.dropped == 5
    started = time.perf_counter()
    queue.put("warning\n", 30)
    assert 0.04 < time.perf_counter() - started < 1
    assert queue.dropped == 6
    disk.free.set()
    assert flushed(queue)
    queue.put("after\n", 20)
    writer.stop()
    assert disk.got.count("info\n") == 10
    assert '"dropped":6' in disk.got
    assert "after\n" in disk.got


def test_a_warning_gets_the_room_as_soon_as_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shop_order.pkg.log.handlers.FULL_WAIT_S", 30)
    disk, queue = Stuck(), LogQueue(1)
    writer = writing(queue, disk)
    queue.put("first\n", 20)
    assert disk.entered.wait(5)
    queue.put("second\n", 20)
    threading.Timer(0.01, disk.free.set).start()
    started = time.perf_counter()
    queue.put("warning\n", 30)
    assert time.perf_counter() - started < 10
    writer.stop()
    assert disk.got == "first\nsecond\nwarning\n"


def test_a_target_that_fails_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    class Full:
        def write(self, text: str) -> None:
            raise OSError("no space left")

    queue, good = LogQueue(10), io.StringIO()
    writer = writing(queue, Full(), good)
    for _ in range(2):
        queue.put("line\n", 20)
        assert flushed(queue)
    writer.stop()
    assert good.getvalue() == "line\nline\n"
    assert [target.lost for target in writer.handlers if isinstance(target, StreamTarget)] == [2, 0]
    assert capsys.readouterr().err.count("no space left") == 1


def test_whether_the_log_fails_can_be_asked() -> None:
    class Full(io.BytesIO):
        def write(self, batch: Any, /) -> int:
            raise OSError("no space left")

    handle = Logging(LogConfig(), Full())
    assert not log_failing()
    log.info("lost")
    assert handle.flush()
    assert log_failing()
    handle.close()
    assert not log_failing()


def rotating(path: Path, **kept: Any) -> FileTarget:
    target = FileTarget(path, LogConfig(**{"max_backups": 2, "max_age": 0} | kept))
    target.maxBytes = 10
    return target


def write(target: FileTarget, text: str) -> None:
    """Write a batch, and wait until old files are tidied up."""
    target.handle(logging.makeLogRecord({"msg": text, "lines": text.count("\n")}))
    with target._tidying:
        return


def test_files_rotate_by_size_are_gzipped_and_kept_by_number(tmp_path: Path) -> None:
    file = rotating(tmp_path / "order.log")
    for number in range(5):
        write(file, f"line-{number}.\n")
    file.close()
    assert (tmp_path / "order.log").read_bytes() == b"line-4.\n"
    kept = file.backups()
    assert [gzip.decompress(p.read_bytes()) for p in kept] == [b"line-2.\n", b"line-3.\n"]
    assert all(p.name.endswith(".log.gz") for p in kept)


def test_a_batch_larger_than_a_file_is_written_whole_and_leaves_no_empty_one(tmp_path: Path) -> None:
    file = rotating(tmp_path / "order.log", compress=False)
    write(file, "longer than ten bytes\n")
    write(file, "next\n")
    file.close()
    assert [p.read_bytes() for p in file.backups()] == [b"longer than ten bytes\n"]
    assert (tmp_path / "order.log").read_bytes() == b"next\n"


def test_a_restart_appends_and_drops_what_is_too_old(tmp_path: Path) -> None:
    path = tmp_path / "order.log"
    path.write_bytes(b"old\n")
    gone, kept = (tmp_path / f"order-2020-01-0{day}T00-00-00.000000.log.gz" for day in (1, 2))
    for old, days in ((gone, 2.1), (kept, 1.9)):
        old.write_bytes(b"")
        os.utime(old, (time.time() - days * 86_400,) * 2)
    file = rotating(path, max_age=2, max_backups=0, compress=False)
    write(file, "new\n")
    file.close()
    assert path.read_bytes() == b"old\nnew\n"
    assert not gone.exists()
    assert kept.exists()


def test_a_rotation_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = rotating(tmp_path / "order.log", compress=False)
    write(file, "first.\n")
    with monkeypatch.context() as broken:
        broken.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("read-only")))
        write(file, "lost..\n")
        assert file.lost == 1
    write(file, "second\n")
    file.close()
    now = (tmp_path / "order.log").read_text().splitlines()
    assert (json.loads(now[0])["dropped"], now[1]) == (1, "second")
    assert [p.read_bytes() for p in file.backups()] == [b"first.\n"]


def test_a_name_that_only_contains_a_secret_word_is_not_masked() -> None:
    masked = mask
    assert masked("signer_name", "x") == "x"
    assert masked("monkey", "x") == "x"
    assert masked("x-shop-signature", "x") == "***"
    assert masked("jwt_hs256_key", "x") == "***"
    assert masked("token", "") == ""
