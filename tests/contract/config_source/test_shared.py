"""Sources on another machine: away, wrong, and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shop_order.configs import ConfigError, load, reload
from shop_order.configs.sources import shared_sources
from tests.contract.config_source.conftest import Place

PUSHED_S = 10.0  # the first push after a start is the slow one


def test_while_it_is_away_the_last_good_copy_is_used(shared: Place) -> None:
    shared.say("order: {pay_timeout_s: 77}\n")
    load(shared.environ)
    loaded = load(shared.away())
    assert loaded.settings.order.pay_timeout_s == 77
    (note,) = loaded.notes
    assert "can't be reached" in note and "last good copy" in note
    assert "last good copy" in loaded.origins["order", "pay_timeout_s"]
    reloaded = reload(loaded, shared.away())
    assert (reloaded.applied, reloaded.needs_restart) == ((), ())
    assert reloaded.loaded.notes == loaded.notes


def test_a_bad_document_at_the_start_is_replaced_by_the_last_good_copy(shared: Place) -> None:
    shared.say("order: {pay_timeout_s: 77}\n")
    load(shared.environ)
    shared.say("order: {pay_timeout_s: never}\n")
    loaded = load(shared.environ)
    assert loaded.settings.order.pay_timeout_s == 77
    assert "ORDER__PAY_TIMEOUT_S" in loaded.notes[0]
    assert load(shared.environ).settings.order.pay_timeout_s == 77, "the bad one must not become the copy"


def test_a_bad_document_without_a_copy_ends_the_start(shared: Place) -> None:
    shared.say("order: {pay_timeout_s: never}\n")
    with pytest.raises(ConfigError, match="ORDER__PAY_TIMEOUT_S"):
        load(shared.environ)


def test_a_first_start_without_it_runs_on_the_other_settings_and_says_so(shared: Place) -> None:
    loaded = load(shared.away())
    assert loaded.settings.order.pay_timeout_s == 1800
    assert "no last good copy" in loaded.notes[0]
    with pytest.raises(ConfigError, match="can't be reached"):
        reload(loaded, shared.away())


def test_the_copy_can_be_read_by_its_owner_only(shared: Place, tmp_path: Path) -> None:
    shared.say("order: {pay_timeout_s: 77}\n")
    load(shared.environ)
    (copy,) = (tmp_path / "data" / "config" / "last-good").iterdir()
    assert copy.stat().st_mode & 0o077 == 0


def test_where_settings_are_kept_can_not_be_set_there(shared: Place) -> None:
    shared.say("order: {pay_timeout_s: 77}\n")
    running = load(shared.environ)
    shared.say("server: {http_port: 8081}\n")
    assert load(shared.environ).settings.server.http_port == 8081
    if shared.kind == "nacos":
        shared.say("config: {url: 'file:'}\n")
        with pytest.raises(ConfigError, match="CONFIG__URL"):
            reload(running, shared.environ)


async def test_a_change_is_told(shared: Place, tmp_path: Path) -> None:
    await asyncio.to_thread(shared.say, "order: {pay_timeout_s: 77}\n")
    config, registry = (shared.environ.get(f"SHOP_ORDER_{room}__URL") for room in ("CONFIG", "REGISTRY"))
    (source,) = shared_sources(config or "file:", registry or "none://")
    told = asyncio.Event()
    watching = asyncio.create_task(source.watch(told.set, tmp_path))
    try:
        await asyncio.sleep(1)  # what is told at the start is no change
        for seconds in (78, 79):
            told.clear()
            await asyncio.to_thread(shared.say, f"order: {{pay_timeout_s: {seconds}}}\n")
            assert await asyncio.wait_for(told.wait(), PUSHED_S)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.engine("nacos")
def test_production_does_not_start_on_defaults_alone(tmp_path: Path) -> None:
    environ = {
        "SHOP_ORDER_DATA_DIR": str(tmp_path),
        "SHOP_ORDER_APP__ENV": "production",
        "SHOP_ORDER_CONFIG__URL": "nacos://127.0.0.1:9",
    }
    with pytest.raises(ConfigError, match="no last good copy"):
        load(environ)
