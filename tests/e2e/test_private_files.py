"""Buyers' data is readable by nobody else on the machine: folders 0700, files 0600, whatever the umask is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shop_order.pkg.metrics import write_examined
from tests.e2e.started import run
from tests.faults.processes import SANDBOX, SERVICE, Processes
from tests.shop import ADDRESS

FILE, FOLDER = 0o600, 0o700


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """As a careless administrator's."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> dict[str, str]:
    """What is not closed to everybody but its owner."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode != (FOLDER if path.is_dir() else FILE) and not path.is_symlink():
            found[str(path)] = oct(mode)
    return found


async def bought(town: Processes) -> None:
    """An order with a buyer's name and address."""
    headers = {"Authorization": f"Bearer {town.token()}"}
    async with httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False) as http:
        body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}
        assert (await http.post("/api/v1/orders", json=body)).status_code == 200


async def test_what_is_stored_is_the_owners_alone(tmp_path: Path) -> None:
    town = Processes(tmp_path, LOG__FILENAME=str(tmp_path / "order" / "logs" / "order.log"))
    try:
        await town.start(SANDBOX, SERVICE)
        await bought(town)
        running = open_to_others(tmp_path / "order") | open_to_others(tmp_path / "sandbox")
        await town.stop(SERVICE)
        await town.stop(SANDBOX)
    finally:
        town.end()
    names = {path.name for path in (tmp_path / "order").rglob("*")}
    assert {"order.db", "oplog.db", "order.log", "jwt_hs256.key", "alipay_public.pem"} <= names
    assert running == {}
    assert open_to_others(tmp_path / "order") | open_to_others(tmp_path / "sandbox") == {}


async def test_what_an_older_version_left_open_is_closed_at_the_start(tmp_path: Path) -> None:
    town = Processes(tmp_path, LOG__FILENAME=str(tmp_path / "order" / "logs" / "order.log"))
    copy, script = tmp_path / "order" / "copy-of-mine.txt", tmp_path / "order" / "dev" / "script.sh"
    try:
        await town.start(SANDBOX, SERVICE)
        await bought(town)
        town.kill(SERVICE, SANDBOX)  # so that -wal and -shm stay
        copy.write_text("the user's own")
        script.write_text("#!/bin/sh")
        for path in (
            tmp_path / "order",
            *(tmp_path / "order").rglob("*"),
            *(tmp_path / "sandbox").rglob("*"),
        ):
            path.chmod(0o755 if path.is_dir() else 0o644)
        script.chmod(0o755)
        await town.start(SANDBOX, SERVICE)
        left = open_to_others(tmp_path / "order")
        assert {Path(path).name for path in open_to_others(tmp_path / "sandbox")} <= {"sandbox"}
        await bought(town)
    finally:
        town.end()
    assert left == {str(copy): "0o644", str(script): "0o700"}


@pytest.mark.parametrize(
    "words", [("migrate",), ("token", "--user", "7"), ("config", "show")], ids=lambda words: words[0]
)
async def test_commands_keep_what_they_make_to_themselves(tmp_path: Path, words: tuple[str, ...]) -> None:
    environ = {"SHOP_ORDER_DATA_DIR": str(tmp_path / "a" / "data")}
    assert (await run(tmp_path, "shop-order", *words, environ=environ)).code == 0
    assert open_to_others(tmp_path / "a") == {}


async def test_a_folder_that_holds_other_things_stays_open_and_only_our_files_are_closed(
    tmp_path: Path,
) -> None:
    """As root, with DATA_DIR=/opt, we would lock everybody out of what else is there."""
    data = tmp_path / "order"
    (data / "somebody-elses").mkdir(parents=True)
    data.chmod(0o755)
    (data / "somebody-elses").chmod(0o755)
    town = Processes(tmp_path, LOG__LEVEL="info")
    try:
        await town.start(SERVICE)
        left = open_to_others(data)
        assert set(left) == {str(data), str(data / "somebody-elses")}
        assert "data_folder_is_shared" in (tmp_path / "service.json").read_text()
    finally:
        town.end()


async def test_a_folder_of_the_users_own_keeps_its_mode_and_the_logs_in_it_are_closed(tmp_path: Path) -> None:
    logs = tmp_path / "var-log"
    logs.mkdir(mode=0o755)
    theirs = logs / "other.log"
    for file in (logs / "order.log", logs / "order-2026-11-20T10-00-00.000.log.gz", theirs):
        file.write_bytes(b"")  # an older version left its files open
        file.chmod(0o644)
    town = Processes(tmp_path, LOG__FILENAME=str(logs / "order.log"), DB__URL=f"sqlite:///{logs}/o.db")
    try:
        await town.start(SERVICE)
        found = open_to_others(logs)
    finally:
        town.end()
    assert found == {str(logs): "0o755", str(theirs): "0o644"}


def test_the_figures_for_prometheus_can_be_read_by_its_collector(tmp_path: Path) -> None:
    os.umask(0o077)
    write_examined(tmp_path / "doctor.prom", 3, {})
    assert stat.S_IMODE((tmp_path / "doctor.prom").stat().st_mode) == 0o644
