"""The recorder of statements: kinds, not texts; the service's, not the tests'; in other processes too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recording import recorder
from tests.recording.recorder import FOLDER, child_path, recorded, shape

SESSION = "shop_order.repository.dao.engine.mysql_session"
ASK = f"import {SESSION} as s; print(s.MysqlSession._execute.__qualname__)"
# As if it stood in the service's code.
SEND = "def send(record, sql, values): record(sql, values)"


@pytest.fixture
def service_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A function of the service that records; what was seen before this test is forgotten."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(recorder, "_seen", type(recorder._seen)())
    names: dict[str, object] = {}
    exec(compile(SEND, str(recorder.SOURCES / "shop_order" / "made_up.py"), "exec"), names)
    return names["send"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t WHERE b IN (?, ?)", "SELECT a FROM t WHERE b IN (?, ?, ?, ?)"),
        ("INSERT INTO t (a, b) VALUES (?, ?)", "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)"),
        (
            "DELETE FROM t WHERE (a = ? AND b IN (?))",
            "DELETE FROM t WHERE (a = ? AND b IN (?, ?)) OR (a = ? AND b IN (?))",
        ),
    ],
)
def test_the_length_of_a_list_makes_no_other_kind(one: str, other: str) -> None:
    assert shape(one) == shape(other)
    assert shape(one) != shape("SELECT a FROM t WHERE c IN (?, ?)")


def test_a_kind_is_kept_a_few_times_with_its_values(tmp_path: Path, service_sends: object) -> None:
    assert callable(service_sends)
    for n in range(10):
        service_sends(recorder.record, "SELECT a FROM t WHERE b = ?", (n,))
    service_sends(recorder.record, "SELECT a FROM t WHERE c = ?", (b"\x00\xff", None, "文"))
    assert list(recorded(str(tmp_path)).values()) == [
        [("SELECT a FROM t WHERE b = ?", [n]) for n in range(recorder.SAMPLES)],
        [("SELECT a FROM t WHERE c = ?", [b"\x00\xff", None, "文"])],
    ]


def test_a_process_that_was_killed_as_it_wrote_spoils_nothing(tmp_path: Path, service_sends: object) -> None:
    assert callable(service_sends)
    service_sends(recorder.record, "SELECT a FROM t WHERE b = ?", (1,))
    (tmp_path / "1.jsonl").write_text('{"sql": "INSERT INTO t (a) VALU', "utf-8")
    assert list(recorded(str(tmp_path)).values()) == [[("SELECT a FROM t WHERE b = ?", [1])]]


def test_what_a_test_sends_is_not_kept(tmp_path: Path, service_sends: object) -> None:
    recorder.record("SELECT a FROM t", ())
    assert recorded(str(tmp_path)) == {}


@pytest.mark.parametrize("on", [True, False])
def test_a_process_of_the_service_records_too(tmp_path: Path, on: bool) -> None:
    environ = {name: value for name, value in os.environ.items() if name != FOLDER}
    environ |= {"PYTHONPATH": child_path()} | ({FOLDER: str(tmp_path)} if on else {})
    asked = subprocess.run(
        [sys.executable, "-c", ASK], env=environ, capture_output=True, text=True, check=True
    )
    assert ("and_record" in asked.stdout) is on
