"""The simulator writes and reads GBK as the provider does: in notices, in answers, and by default."""

from __future__ import annotations

import pytest

from shop_sandbox.alipay import signing
from tests.component.sandbox.partners import Merchant

QUERY, REFUND = "alipay.trade.query", "alipay.trade.refund"


async def switched(merchant: Merchant, **wanted: str) -> int:
    """The switch's answer."""
    return (await merchant.client.post(f"{merchant.base}/sim/charset", json=wanted)).status_code


@pytest.mark.parametrize("charset", ["GBK", "gb18030", "utf-8"])
async def test_notices_are_signed_in_the_charset_they_name(merchant: Merchant, charset: str) -> None:
    assert await switched(merchant, notices=charset) == 200
    await merchant.open()
    await merchant.act("pay")
    (notice,) = merchant.notices
    assert (notice["charset"], notice["subject"], notice["buyer_logon_id"][:3]) == (charset, "订单", "*小明")
    assert signing.verify(merchant.public, signing.notice_text(notice), notice["sign"], charset)
    assert not signing.verify(merchant.public, signing.notice_text(notice) + "x", notice["sign"], charset)


async def test_a_call_is_read_and_answered_in_the_charset_of_its_address(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.act("pay")
    url = f"{merchant.base}/gateway.do"
    biz: dict[str, object] = {"out_trade_no": "P1", "refund_amount": "1.00", "refund_reason": "不要"}
    parameters = merchant.parameters(REFUND, biz)
    reply = await merchant.client.post(url, data=parameters)  # UTF-8, which the address does not say
    assert reply.headers["content-type"] == "text/html;charset=GBK"
    assert merchant.verified(reply)["sub_code"] == "isv.invalid-signature"
    charset = parameters.pop("charset")
    reply = await merchant.client.post(f"{url}?charset={charset}", data=parameters)
    assert reply.headers["content-type"] == "text/html;charset=utf-8"
    assert merchant.verified(reply)["fund_change"] == "Y"
    reply = await merchant.client.post(f"{url}?charset=utf-16", data=parameters)
    assert merchant.verified(reply)["sub_code"] == "isv.invalid-charset"


async def test_answers_can_be_switched_to_gbk(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.act("pay")
    assert await switched(merchant, answers="GBK") == 200
    assert str((await merchant.call(QUERY, out_trade_no="P1"))["buyer_logon_id"]).startswith("*小明")
    assert await switched(merchant, answers="utf-16") == 400
    assert await switched(merchant, notices="rot13") == 400
