"""A link is good as long as its key is listed, whatever the hour."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qs, urlsplit

import pytest

from shop_order.domain.errors import SignatureInvalid
from shop_order.pkg.signing import Signer
from shop_order.web.auth.cashier_links import CashierLinks, OpenId
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


SN, NOW_S = "261121080000000000000000001", 1_795_000_000.5


def got(key: bytes = NEW, openid: str = "o-7", expires: str = "1795000600", order_sn: str = SN) -> OpenId:
    """What the shop's page appends, in the words of the contract."""
    text = f"openid={openid}&order_sn={order_sn}&expires={expires}"
    return OpenId(openid, expires, hmac.new(key, text.encode(), hashlib.sha256).hexdigest())


def test_an_openid_counts_for_its_order_within_the_hour_by_every_listed_key() -> None:
    both = links(NEW, OLD)
    assert both.openid(SN, got(), NOW_S) == "o-7"
    assert both.openid(SN, got(OLD), NOW_S) == "o-7"
    assert links(NEW).openid(SN, got(OLD), NOW_S) == ""
    assert both.openid(SN, got(order_sn="261121080000000000000000002"), NOW_S) == ""
    assert both.openid(SN, got(expires="1795003600"), NOW_S) == "o-7"
    for expires in ("1795000000", "1795003601", "0", "-1", "", "01795000600", "1795000600 ", "１", "9" * 40):
        assert both.openid(SN, got(expires=expires), NOW_S) == "", expires
    for openid in ("", "a&b", "o 7", "字", "o" * 129, "o-7\n"):
        assert both.openid(SN, got(openid=openid), NOW_S) == "", openid
    good = got()
    for sign in ("", good.sign.upper(), good.sign[:-1], "字" * 64, "\ud800"):
        assert both.openid(SN, OpenId("o-7", good.expires, sign), NOW_S) == "", sign
