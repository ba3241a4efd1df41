"""`shop-order config history|diff|rollback` where the configuration is in Nacos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shop_order.cmd.cli import config
from shop_order.cmd.cli.config import config_app
from shop_order.configs import Loaded, load
from shop_order.configs.sources.nacos import NacosSource
from tests.contract.config_source.conftest import Place
from tests.plugins.engines import available

pytestmark = pytest.mark.engine("nacos")


@pytest.fixture
def nacos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(available("nacos")[0], tmp_path)
    place.open()
    for key, value in place.environ.items():
        monkeypatch.setenv(key, value)
    return place


def run(*arguments: str) -> Result:
    return CliRunner().invoke(config_app, list(arguments))


def numbers() -> list[str]:
    return [line.split()[0] for line in run("history").stdout.splitlines()]


def test_history_diff_and_rollback_are_those_of_nacos(nacos: Place) -> None:
    secret = "s" * 40
    nacos.say(f"order: {{pay_timeout_s: 60}}\nauth: {{link_keys: [{secret}]}}\n")
    nacos.say("order: {pay_timeout_s: 61}\n")
    nacos.say("order: {pay_timeout_s: 62}\n")
    third, second, first = numbers()
    diff = run("diff", first, third).stdout
    assert "-  pay_timeout_s: 60" in diff
    assert "+  pay_timeout_s: 62" in diff
    assert "link_keys" in diff
    assert secret not in diff
    back = run("rollback", first)
    assert back.exit_code == 0, back.output
    for _ in range(100):  # readers see it a moment later
        if load(nacos.environ).settings.order.pay_timeout_s == 60:
            break
    assert load(nacos.environ).settings.order.pay_timeout_s == 60
    assert len(numbers()) >= 4
    assert run("rollback", second).exit_code == 0


def test_freight_of_a_rollback_is_that_of_its_entry(nacos: Place) -> None:
    nacos.say("pricing: {freight_fen: 800, province_freight_fen: {新疆: 1500}}\n")
    nacos.say("pricing: {freight_fen: 900, province_freight_fen: {新疆: 1600}}\n")
    second, first = numbers()
    diff = run("diff", first, second).stdout
    assert "-    新疆: 1500" in diff
    assert "+    新疆: 1600" in diff
    assert run("rollback", first).exit_code == 0
    for _ in range(100):  # readers see it a moment later
        if load(nacos.environ).settings.pricing.freight_fen == 800:
            break
    pricing = load(nacos.environ).settings.pricing
    assert (pricing.freight_fen, pricing.province_freight_fen) == (800, {"新疆": 1500})


def test_a_rollback_to_what_can_not_be_used_publishes_nothing(nacos: Place) -> None:
    nacos.say("order: {pay_timeout_s: never}\n")
    nacos.say("order: {pay_timeout_s: 62}\n")
    result = run("rollback", numbers()[-1])
    assert result.exit_code == 2
    assert "ORDER__PAY_TIMEOUT_S" in result.stderr
    assert load(nacos.environ).settings.order.pay_timeout_s == 62
    assert run("rollback", "999999").exit_code == 2


def test_what_was_published_a_moment_ago_is_the_newest_entry(nacos: Place) -> None:
    source = NacosSource(nacos.url)
    for seconds in range(60, 80):  # readers would still be shown an earlier one, now and then
        text = f"order: {{pay_timeout_s: {seconds}}}\n"
        source.publish(text)
        assert source.history()[0].content == text


def test_a_rollback_takes_nobody_s_change_away(nacos: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    nacos.say("order: {pay_timeout_s: 60}\n")
    nacos.say("order: {pay_timeout_s: 61}\n")
    theirs = "order: {pay_timeout_s: 62}\n"

    def while_they_publish(*values: Any, **named: Any) -> Loaded:
        nacos.say(theirs)
        return load(*values, **named)

    monkeypatch.setattr(config, "load", while_they_publish)
    result = run("rollback", numbers()[-1])
    assert result.exit_code == 2
    assert "changed in the meantime" in result.stderr
    assert NacosSource(nacos.url).history()[0].content == theirs


def test_a_nacos_that_is_away_is_one_line(nacos: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_ORDER_CONFIG__URL", nacos.away()["SHOP_ORDER_CONFIG__URL"])
    for command in (["history"], ["diff", "1", "2"], ["rollback", "1"]):
        result = run(*command)
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
