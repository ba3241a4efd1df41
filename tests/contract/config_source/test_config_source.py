"""What every source of settings must do."""

from __future__ import annotations

import pytest

from shop_order.configs import ConfigError, load, reload
from tests.contract.config_source.conftest import Place


def test_a_setting_is_taken_over_and_says_where_it_came_from(place: Place) -> None:
    place.say("order: {pay_timeout_s: 77}\nlimit: {user_rate: 5}\n")
    loaded = load(place.environ)
    assert (loaded.settings.order.pay_timeout_s, loaded.settings.limit.user_rate) == (77, 5)
    assert loaded.origins["order", "pay_timeout_s"].startswith(place.kind)
    assert place.kind in loaded.source.split("+")
    assert not loaded.notes


def test_the_environment_wins_over_it(place: Place) -> None:
    place.say("order: {pay_timeout_s: 77}\n")
    loaded = load(place.environ | {"SHOP_ORDER_ORDER__PAY_TIMEOUT_S": "78"})
    assert loaded.settings.order.pay_timeout_s == 78


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("limit: {user_rate: fast}\n", "LIMIT__USER_RATE"),
        ("limit: {user_rates: 5}\n", "unknown setting LIMIT__USER_RATES"),
        ("nonsense: {x: 1}\n", "unknown setting NONSENSE__X"),
        ("pricing: {freight_fen: -800}\n", "PRICING__FREIGHT_FEN"),
        ("pricing: {freight_fen: eight yuan}\n", "PRICING__FREIGHT_FEN"),
        ("pricing: {province_freight_fen: {新僵: 1500}}\n", "PRICING__PROVINCE_FREIGHT_FEN"),
    ],
)
def test_what_can_not_be_used_is_refused_with_one_line_and_the_old_settings_stay(
    place: Place, document: str, says: str
) -> None:
    place.say("limit: {user_rate: 5}\n")
    running = load(place.environ)
    place.say(document)
    with pytest.raises(ConfigError, match=says) as refused:
        reload(running, place.environ)
    assert "\n" not in str(refused.value)
    assert running.settings.limit.user_rate == 5


def test_rules_of_pricing_are_taken_up_together(place: Place) -> None:
    place.say("pricing: {freight_fen: 800}\n")
    running = load(place.environ)
    place.say("pricing: {freight_fen: 500, province_freight_fen: {新疆: 1500}}\n")
    reloaded = reload(running, place.environ)
    assert set(reloaded.applied) == {"PRICING__FREIGHT_FEN", "PRICING__PROVINCE_FREIGHT_FEN"}
    assert not reloaded.needs_restart
    pricing = reloaded.loaded.settings.pricing
    assert (pricing.freight_fen, pricing.province_freight_fen) == (500, {"新疆": 1500})
    assert (running.settings.pricing.freight_fen, running.settings.pricing.province_freight_fen) == (800, {})


def test_a_reload_takes_what_it_can_and_names_what_waits_for_a_restart(place: Place) -> None:
    place.say("limit: {user_rate: 5}\nserver: {http_port: 8081}\n")
    running = load(place.environ)
    place.say("limit: {user_rate: 6}\nserver: {http_port: 8082}\nlog: {level: warn}\n")
    reloaded = reload(running, place.environ)
    assert set(reloaded.applied) == {"LIMIT__USER_RATE", "LOG__LEVEL"}
    assert reloaded.needs_restart == ("SERVER__HTTP_PORT",)
    assert reloaded.loaded.settings.limit.user_rate == 6
    assert reloaded.loaded.settings.server.http_port == 8081
    assert running.settings.limit.user_rate == 5, "who holds the old whole sees nothing half changed"
