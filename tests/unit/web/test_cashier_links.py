"""A link is good as long as its key is listed, whatever the hour."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from shop_order.domain.errors import SignatureInvalid
from shop_order.pkg.signing import Signer
from shop_order.web.auth.cashier_links import CashierLinks
from tests.unit.domain.orders import place

OLD, NEW = b"o" * 32, b"n" * 32


def links(*keys: bytes) -> CashierLinks:
    return CashierLinks(Signer(keys), public_url=lambda: "https://shop.example")


def test_a_link_of_an_earlier_key_is_good_until_the_key_is_taken_away() -> None:
    order = place()
    url = urlsplit(links(OLD).of(order))
    query = parse_qs(url.query)
    parts = (order.order_sn, query["e"][0], query["s"][0])
    assert url.path.endswith(order.order_sn)
    links(NEW, OLD).check(*parts)
    with pytest.raises(SignatureInvalid):
        links(NEW).check(*parts)
