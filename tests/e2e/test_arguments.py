"""Commands refuse what they can't mean, and destroy nothing by a slip: exit code 2 and one line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shop_order.cmd.cli import root as main
from shop_order.cmd.cli.root import app
from shop_order.configs import load
from shop_order.repository.schema import migrate
from shop_order.script.migrations import head

NOBODY_S = "261121100000123456789012340"


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    environ = {"SHOP_ORDER_DATA_DIR": str(tmp_path), "SHOP_ORDER_APP__ENV": "test"}
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    migrate(f"sqlite:///{tmp_path}/order.db")
    return environ


def refused(*words: str) -> str:
    ran = CliRunner().invoke(app, list(words))
    assert ran.exit_code == 2, ran.output
    assert ran.exception is None or isinstance(ran.exception, SystemExit), repr(ran.exception)
    assert "Traceback" not in ran.output
    return ran.output


def revision(tmp_path: Path) -> str:
    with closing(sqlite3.connect(tmp_path / "order.db")) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("number", ["123", "", NOBODY_S, "２６", "2611' OR 1=1"])
def test_an_order_that_does_not_exist_is_not_called_broken(number: str) -> None:
    said = refused("audit", "verify", "--order", number)
    assert "broken" not in said
    assert "no such order" in said or "is not a valid order number" in said


@pytest.mark.usefixtures("environ")
def test_a_forged_number_in_the_history_can_be_verified_by_itself(tmp_path: Path) -> None:
    forged = "INSERT INTO order_event VALUES ('123', 1, 1, 'order.created', x'7b7d', x'00', x'00', 1)"
    with closing(sqlite3.connect(tmp_path / "order.db")) as connection, connection:
        connection.execute(forged)
    for words in (("audit", "verify"), ("audit", "verify", "--order", "123")):
        ran = CliRunner().invoke(app, list(words))
        assert ran.exit_code == 1, ran.output
        assert "order 123: version 1" in ran.output


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("words", [("doctor",), ("audit", "verify"), ("archive", "--older-than", "9")])
def test_a_database_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SHOP_ORDER_DB__URL", f"sqlite:///{tmp_path}/elsewhere/order.db")
    assert f"{tmp_path}/elsewhere/order.db" in refused(*words).splitlines()[-1]


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("target", ["base", "0001", "0003"])
def test_nothing_is_dropped_without_being_asked_for_by_name(tmp_path: Path, target: str) -> None:
    assert "--yes-drop-data" in refused("migrate", "--revision", target)
    assert revision(tmp_path) == head()


def test_production_drops_nothing_at_all(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load(environ)
    settings = found.settings.model_copy(
        update={"app": found.settings.app.model_copy(update={"env": "production"})}
    )
    monkeypatch.setattr(main, "load_settings", lambda: type(found)(settings, found.origins))
    assert "production never does" in refused("migrate", "--revision", "base", "--yes-drop-data")
    assert revision(tmp_path) == head()


@pytest.mark.usefixtures("environ")
def test_who_asks_for_it_by_name_goes_down_and_up_again(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["migrate", "--revision", "0003", "--yes-drop-data"]).exit_code == 0
    assert revision(tmp_path) == "0003"
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
    assert revision(tmp_path) == head()


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("target", ["9999", "", "-1", "head-1", "00", "0001:0002", "heads"])
def test_a_revision_nobody_knows_is_one_line(tmp_path: Path, target: str) -> None:
    assert "is not a known revision: base, 0001" in refused("migrate", f"--revision={target}")
    assert revision(tmp_path) == head()


@pytest.mark.usefixtures("environ")
def test_a_database_of_a_newer_version_is_one_line(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "order.db", isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9000'")
    assert "is at 9000, which this version does not know" in refused("migrate")


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize(
    "words",
    [
        ("token", "--user", "0"),
        ("token", "--user=-7"),
        ("token", "--user", str(2**70)),
        ("token", "--user", "7", "--role", "service"),
        ("token", "--user", "7", "--role", "service", "--name", "x"),
        ("token", "--user", "7", "--name", "x"),
        ("token", "--user", "7", "--act-for", "8"),
        ("token", "--role", "service", "--name", "x", "--act-for", "0"),
        ("token", "--user", "7", "--role", "root"),
        ("archive", "--older-than", "0"),
        ("archive", "--older-than=-1"),
        ("archive", "--older-than", str(10**12)),
        ("config", "rollback", "0"),
        ("config", "rollback", str(10**30)),
        ("config", "diff", "1", str(10**30)),
        ("config", "history", "--limit", "0"),
        ("stats", "show", "--start", "2026-13-01"),
        ("stats", "show", "--start", "2026-02-02", "--end", "2026-02-01"),
        ("stats", "show", "--end", "20260201"),
        ("reconcile", "--channel", "alipay", "--date", "2999-01-01"),
        ("reconcile", "--channel", "alipay", "--date", "0001-01-01"),
        ("reconcile", "--channel", "alipay", "--date", "20261121"),
        ("reconcile", "--channel", "alipay", "--date", "2026-W47-6"),
        ("reconcile", "--channel", "cash", "--date", "2026-11-21"),
        ("reconcile", "--channel", "alipay", "--date", "2026-11-21", "--file", "/"),
        ("doctor", "--metrics", "/proc/nowhere/x.prom"),
        ("openapi", "--format", "pdf"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...]) -> None:
    assert refused(*words)
