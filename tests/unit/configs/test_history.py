import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shop_order.cmd.cli.config import config_app
from shop_order.configs import load
from shop_order.configs.history import UnknownEntry, content_of, entries, plan, record
from shop_order.configs.load import override_file

TABLE = """CREATE TABLE config_history (id INTEGER PRIMARY KEY, content TEXT NOT NULL,
digest TEXT NOT NULL, source TEXT NOT NULL, created_ms INTEGER NOT NULL)"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "order.db", isolation_level=None)
    connection.execute(TABLE)
    yield connection
    connection.close()


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("SHOP_ORDER_DATA_DIR", str(tmp_path))
    return {"SHOP_ORDER_DATA_DIR": str(tmp_path)}


def changed(environ: dict[str, str], **settings: str) -> dict[str, str]:
    return environ | {f"SHOP_ORDER_{key}": value for key, value in settings.items()}


def test_a_load_is_recorded_when_it_differs_and_without_secrets(
    database: sqlite3.Connection, environ: dict[str, str]
) -> None:
    first = load(environ)
    assert record(database, first, 1000)
    assert not record(database, load(environ), 2000)
    assert record(database, load(changed(environ, ORDER__PAY_TIMEOUT_S="60")), 3000)
    assert [(e.id, e.created_ms, e.source) for e in entries(database)] == [
        (2, 3000, "profile:dev+environment"),
        (1, 1000, "profile:dev+environment"),
    ]
    assert first.settings.pay.gateway_secret is not None
    assert first.settings.pay.gateway_secret.get_secret_value() not in content_of(database, 1)
    with pytest.raises(UnknownEntry):
        content_of(database, 3)


def test_history_diff_and_rollback(
    database: sqlite3.Connection, environ: dict[str, str], tmp_path: Path
) -> None:
    record(database, load(changed(environ, ORDER__PAY_TIMEOUT_S="60", LOG__LEVEL="error")), 1000)
    record(database, load(environ), 2000)
    run = CliRunner()
    history = run.invoke(config_app, ["history"])
    assert [line.split()[0] for line in history.stdout.splitlines()] == ["2", "1"]
    diff = run.invoke(config_app, ["diff", "1", "2"]).stdout
    assert "-  pay_timeout_s: 60" in diff
    assert "+  pay_timeout_s: 1800" in diff

    back = run.invoke(config_app, ["rollback", "1"], env={"SHOP_ORDER_LOG__LEVEL": "warn"})
    assert back.exit_code == 0, back.output
    assert "ORDER__PAY_TIMEOUT_S" in back.stdout
    assert "SHOP_ORDER_LOG__LEVEL" in back.stderr
    after = load(environ)
    assert after.settings.order.pay_timeout_s == 60
    assert after.settings.auth == load(environ, override="").settings.auth
    assert "***" not in override_file(str(tmp_path)).read_text()

    assert run.invoke(config_app, ["rollback", "2"]).exit_code == 0
    assert not override_file(str(tmp_path)).exists()


def test_a_secret_of_an_old_entry_is_never_written_back(
    database: sqlite3.Connection, environ: dict[str, str], tmp_path: Path
) -> None:
    secret = {"AUTH__HS256_KEY": "w" * 32, "LOG__LEVEL": "error"}
    record(database, load(changed(environ, **secret)), 1000)
    assert CliRunner().invoke(config_app, ["rollback", "1"]).exit_code == 0
    assert "hs256_key" not in override_file(str(tmp_path)).read_text()
    settings = load(environ).settings
    assert settings.log.level == "error"
    assert settings.auth.hs256_key is not None
    assert settings.auth.hs256_key.get_secret_value() != "w" * 32


def test_a_bad_override_does_not_bar_the_way_back(
    database: sqlite3.Connection, environ: dict[str, str], tmp_path: Path
) -> None:
    record(database, load(environ), 1000)
    override = override_file(str(tmp_path))
    override.parent.mkdir()
    override.write_text("order: {pay_timeout_s: never}\n")
    assert CliRunner().invoke(config_app, ["rollback", "1"]).exit_code == 0
    assert load(environ).settings.order.pay_timeout_s == 1800


@pytest.mark.parametrize("command", [["history"], ["diff", "1", "2"], ["rollback", "1"]])
def test_without_a_history_one_line_says_so(environ: dict[str, str], command: list[str]) -> None:
    result = CliRunner().invoke(config_app, command)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_show_ends_with_code_2_on_a_bad_value(environ: dict[str, str]) -> None:
    result = CliRunner().invoke(config_app, ["show"], env={"SHOP_ORDER_SERVER__HTTP_PORT": "x"})
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert CliRunner().invoke(config_app, ["show"]).exit_code == 0


def test_what_an_earlier_version_masked_too_little_is_neither_shown_nor_written_back(
    database: sqlite3.Connection, environ: dict[str, str], tmp_path: Path
) -> None:
    old = "db: {url: 'mysql://app:two words@h/db'}\nlog: {level: error}\n"
    for number in (1, 2):
        values = (number, old, "d", "profile:dev", number)
        database.execute("INSERT INTO config_history VALUES (?, ?, ?, ?, ?)", values)
    diff = CliRunner().invoke(config_app, ["diff", "1", "2"])
    assert "words" not in content_of(database, 1) + diff.output
    assert CliRunner().invoke(config_app, ["rollback", "1"]).exit_code == 0
    assert "words" not in override_file(str(tmp_path)).read_text()


@pytest.mark.parametrize("password", ["two words", "a@b", "a%40b", "a#b", "a/b", "x y@z"])
def test_no_refusal_and_no_record_holds_a_piece_of_a_password(
    database: sqlite3.Connection, environ: dict[str, str], password: str
) -> None:
    for url in (f"redis://:{password}@h:6379/0", f"mysql://app:{password}@h/db", f"consul://:{password}@h"):
        key = {"redis": "CACHE__URL", "mysql": "DB__URL", "consul": "REGISTRY__URL"}[url.split(":")[0]]
        environment = {f"SHOP_ORDER_{key}": url, "SHOP_ORDER_NEIGHBOURS__GOODS": "goods:1"}
        result = CliRunner().invoke(config_app, ["show"], env=environment)
        assert result.exit_code in (0, 2)
        assert password not in result.output, url


def test_an_entry_with_a_former_name_can_be_brought_back(
    database: sqlite3.Connection, environ: dict[str, str]
) -> None:
    record(database, load(changed(environ, CACHE__MAX_ENTRIES="7")), 1000)
    database.execute("UPDATE config_history SET content = replace(content, 'max_entries', 'most_entries')")
    assert plan(content_of(database, 1), environ).loaded.settings.cache.max_entries == 7
