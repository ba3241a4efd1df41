"""The table of payment channels, and what the recipe in CONTRIBUTING says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shop_order.configs.settings import CHANNEL_NAMES
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

ROOT = Path(__file__).resolve().parents[3]


def test_every_row_has_settings_and_its_own_notice_route() -> None:
    assert {kind.code for kind in CHANNELS} == set(CHANNEL_NAMES)
    assert all(entry.notice and entry.notice.payment_type is kind for kind, entry in CHANNELS.items())
    assert PaymentType.NOT_CHOSEN not in CHANNELS


def test_every_place_of_the_recipe_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    recipe = text[text.index("**A payment channel**") : text.index("**An engine**")]
    paths = re.findall(r"`([\w./*]+/[\w./*]*)`", recipe)
    there = [path for path in paths if list(ROOT.glob(path)) or list((ROOT / "src/shop_order").glob(path))]
    assert len(paths) >= 9
    assert paths == there
    assert [int(number) for number in re.findall(r"\((?:place )?(\d)\)", recipe)] == list(range(1, 7))


@pytest.mark.parametrize(
    ("action", "stored"),
    [
        (Redirect("https://pay.example/?a=1"), "https://pay.example/?a=1"),
        (QrCode("https://qr.example/1"), "qr:https://qr.example/1"),
        (BridgeParameters({"package": "prepay_id=1", "timeStamp": "1"}), None),
        (Done(), ""),
    ],
)
def test_what_the_buyer_does_is_stored_as_one_text(action: PaymentAction, stored: str | None) -> None:
    text = stored_action(action)
    assert stored in (None, text)
    assert action_of(text) == action
