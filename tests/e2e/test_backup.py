"""A copy of the SQLite database, made while the service runs, is whole, private, and starts a Shop."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shop_order import version
from shop_order.cmd.cli.root import app
from shop_order.repository.schema import migrate
from shop_sandbox.main import app as sandbox_app
from tests.e2e.started import ROOT
from tests.shop import Shop


def backup(to: Path, environ: dict[str, str]) -> Result:
    return CliRunner().invoke(app, ["backup", str(to)], env=environ)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "order" / "order.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def environ(database: Path) -> dict[str, str]:
    return {"SHOP_ORDER_DATA_DIR": str(database.parent), "SHOP_ORDER_APP__ENV": "test"}


async def test_a_running_service_is_copied_and_the_copy_takes_its_place(tmp_path: Path) -> None:
    to = tmp_path / "copies" / "order.db"
    to.parent.mkdir()
    old = os.umask(0)
    try:
        async with Shop(tmp_path) as shop:
            await shop.place()
            ran = backup(to, shop.environ)
            assert ran.exit_code == 0, ran.output
            assert "1 orders, checked" in ran.stdout
    finally:
        os.umask(old)
    assert to.stat().st_mode & 0o777 == 0o600
    assert os.listdir(to.parent) == ["order.db"], "one file, and no draft"
    again = tmp_path / "again"
    (again / "order").mkdir(parents=True)
    (again / "order" / "order.db").write_bytes(to.read_bytes())
    async with Shop(again) as shop:
        assert (await shop.http.get("/readyz")).status_code == 200


def test_a_database_at_rest_is_copied_too(tmp_path: Path, environ: dict[str, str]) -> None:
    assert backup(tmp_path / "copy.db", environ).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("SELECT count(*) FROM order_info").fetchone() == (0,)
        names = {
            row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        }
    assert "order_event_no_update" in names


def test_nothing_is_written_over(tmp_path: Path, environ: dict[str, str], database: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for to in (there, tmp_path / "link", tmp_path, database, Path(""), Path("/")):
        refused = backup(to, environ)
        assert refused.exit_code == 2
        assert len(refused.stderr.splitlines()) == 1
        assert "already exists" in refused.stderr
    assert there.read_text() == "mine"


def test_a_stop_leaves_no_half_copy(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, database: Path
) -> None:
    def told_to_stop(source: Path, draft: Path) -> int:
        assert source == database and draft.exists()
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    monkeypatch.setattr("shop_order.cmd.cli.backup._copy", told_to_stop)
    before = signal.getsignal(signal.SIGTERM)
    assert backup(tmp_path / "copy.db", environ).exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert os.listdir(tmp_path) == ["order"]


@pytest.mark.parametrize("to", ["none/copy.db", "there/copy.db", "x" * 300])
def test_where_nothing_can_be_written_is_one_line(tmp_path: Path, environ: dict[str, str], to: str) -> None:
    (tmp_path / "there").write_text("mine")
    refused = backup(tmp_path / to, environ)
    assert refused.exit_code == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "can't be written" in refused.stderr


def test_what_is_no_whole_order_database_leaves_no_copy(
    tmp_path: Path, environ: dict[str, str], database: Path
) -> None:
    whole = database.read_bytes()
    for damaged in (b"", b"no database at all" * 1000, whole[: len(whole) // 2], None):
        database.unlink(missing_ok=True)
        if damaged is not None:
            database.write_bytes(damaged)
        refused = backup(tmp_path / "copy.db", environ)
        assert refused.exit_code == 2, damaged
        assert len(refused.stderr.splitlines()) == 1
        assert sorted(os.listdir(tmp_path)) == ["order"]


def test_of_mysql_it_says_who_copies_it(tmp_path: Path) -> None:
    environ = {
        "SHOP_ORDER_DATA_DIR": str(tmp_path),
        "SHOP_ORDER_DB__URL": "mysql://app:geheim@db.shop:3307/shop",
    }
    refused = backup(tmp_path / "a copy.sql", environ)
    assert refused.exit_code == 2
    assert "(umask 077; mysqldump -h db.shop -P 3307 -u app -p --single-transaction" in refused.stderr
    assert f"> '{tmp_path}/a copy.sql')" in refused.stderr
    assert "geheim" not in refused.output


def test_there_is_one_version() -> None:
    pyproject = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert pyproject and version() == pyproject[1]
    for command, name in ((app, "shop-order"), (sandbox_app, "shop-sandbox")):
        said = CliRunner().invoke(command, ["--version"])
        assert (said.exit_code, said.stdout) == (0, f"{name} {version()}\n")
    places = {
        "deploy/Dockerfile": r'shop-order:([\d.]+\d)|image\.version="([^"]+)"',
        "deploy/compose.yaml": r"shop-order:([\d.]+)",
        "deploy/k8s/kustomization.yaml": r"newTag: (\S+)",
    }
    for file, pattern in places.items():
        found = {
            one
            for match in re.findall(pattern, (ROOT / file).read_text())
            for one in ([match] if isinstance(match, str) else match)
            if one
        }
        assert found == {version()}, file


async def test_a_running_service_says_its_version(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        document = (await shop.http.get("/api/v1/openapi.json")).json()
        assert document["info"]["version"] == version()
        assert f'shop_order_build_info{{version="{version()}"}} 1.0' in (await shop.http.get("/metrics")).text
