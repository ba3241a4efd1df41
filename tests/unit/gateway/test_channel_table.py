"""The table of payment channels, and what the recipe in CONTRIBUTING says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shop_order.configs.settings import Channel, Pay
from shop_order.domain.entity.payment import (
    BridgeParameters,
    Done,
    PaymentAction,
    QrCode,
    Redirect,
    action_of,
    stored_action,
)
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment import CHANNELS
from shop_sandbox.providers import PROVIDERS

ROOT = Path(__file__).resolve().parents[3]


def test_every_section_has_a_row_and_every_notice_route_is_its_own() -> None:
    sections = {
        name
        for name, field in Pay.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Channel)
    }
    assert sections <= {kind.code for kind in CHANNELS}
    assert all(entry.notice.payment_type is kind for kind, entry in CHANNELS.items() if entry.notice)
    assert PaymentType.NOT_CHOSEN not in CHANNELS


def test_the_simulators_gateways_are_those_of_the_sandbox() -> None:
    assert {kind.code: entry.simulator for kind, entry in CHANNELS.items() if entry.simulator} == {
        one.code: one.gateway for one in PROVIDERS
    }


def test_every_place_of_the_recipe_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    recipe = text[text.index("**A payment channel**") : text.index("**An error**")]
    paths = re.findall(r"`([\w./*]+/[\w./*]*)`", recipe)
    there = [path for path in paths if list(ROOT.glob(path)) or list((ROOT / "src/shop_order").glob(path))]
    assert len(paths) >= 9
    assert paths == there
    assert [int(number) for number in re.findall(r"`[\w./]+` \((\d)\)", recipe)] == list(range(1, 7))


@pytest.mark.parametrize(
    ("action", "stored"),
    [
        (Redirect("https://pay.example/?a=1"), "https://pay.example/?a=1"),
        (QrCode("https://qr.example/1"), "qr:https://qr.example/1"),
        (BridgeParameters({"package": "prepay_id=1", "timeStamp": "1"}), None),
        (BridgeParameters({"package": "prepay_id=1"}, payer="mark"), None),
        (Done(), ""),
    ],
)
def test_what_the_buyer_does_is_stored_as_one_text(action: PaymentAction, stored: str | None) -> None:
    text = stored_action(action)
    assert stored in (None, text)
    assert action_of(text) == action
