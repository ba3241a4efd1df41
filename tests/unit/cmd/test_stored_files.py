"""Which files of an installation are closed to other users at a start, and which are not touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from shop_order.cmd.run.bootstrap import restrict, stored_files
from shop_order.configs import load


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("name", ["order.log", "order", "order.2.log", "order[1].log"])
def test_the_log_and_its_old_files_are_ours_whatever_its_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / "logs-elsewhere" / name
    stamp = "2026-11-30T01-02-03.000004"
    old = file.with_name(f"{file.stem}-{stamp}{file.suffix}")
    ours = {file, old, old.with_name(f"{old.name}.gz")}
    file.parent.mkdir()
    for path in (*ours, file.with_name("another.log")):
        path.touch()
    environ = {"SHOP_ORDER_DATA_DIR": str(tmp_path / "data"), "SHOP_ORDER_LOG__FILENAME": str(file)}
    found = set(stored_files(load(environ).settings))
    assert {path for path in found if path.parent == file.parent} == ours


def test_a_pipe_or_device_in_place_of_the_log_keeps_its_mode(tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.touch()
    for path in (pipe, file):
        path.chmod(0o666)
        restrict(path)
    assert (_mode(pipe), _mode(file)) == (0o666, 0o600)
