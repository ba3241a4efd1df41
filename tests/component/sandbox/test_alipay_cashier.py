"""The cashier's page in a browser that runs no scripts."""

from urllib.parse import parse_qsl, urlsplit

from shop_sandbox.alipay import signing
from tests.component.sandbox.partners import Merchant


async def test_the_page_shows_the_state_and_needs_nothing_from_outside(merchant: Merchant) -> None:
    page = await merchant.open(subject='<script>alert("1")')
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "¥19.99" in page.text
    assert "src=" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for button in ("pay", "pay_late", "pay_twice", "forge_amount", "forge_sign"):
        assert f'action="/alipay/cashier/P1/{button}"' in page.text
    assert "notify_again" not in page.text, "there is no notice to send again yet"


async def test_paying_sends_the_browser_back_with_signed_parameters(merchant: Merchant) -> None:
    await merchant.open()
    reply = await merchant.client.post(f"{merchant.base}/cashier/P1/pay")
    assert reply.status_code == 303
    parts = urlsplit(reply.headers["location"])
    returned = dict(parse_qsl(parts.query))
    assert (parts.netloc, parts.path, returned.pop("x")) == ("127.0.0.1:1", "/back", "1")
    assert (returned["out_trade_no"], returned["total_amount"]) == ("P1", "19.99")
    assert signing.verify(merchant.public, signing.notice_text(returned), returned["sign"])
    assert len(merchant.notices) == 1


async def test_the_page_afterwards_shows_the_notice_and_refuses_a_second_payment(merchant: Merchant) -> None:
    await merchant.open()
    await merchant.client.post(f"{merchant.base}/cashier/P1/pay")
    page = await merchant.client.get(f"{merchant.base}/cashier/P1")
    assert "付款成功" in page.text
    assert "<td>success</td>" in page.text
    again = await merchant.client.post(f"{merchant.base}/cashier/P1/pay")
    assert (again.status_code, "ACQ.TRADE_HAS_SUCCESS" in again.text) == (409, True)
    other = await merchant.client.post(f"{merchant.base}/cashier/P1/notify_again")
    assert (other.status_code, other.headers["location"]) == (303, "/alipay/cashier/P1")


async def test_a_phone_gets_a_page_it_can_leave_without_paying(merchant: Merchant) -> None:
    shop = "http://127.0.0.1:1/back?a=1&b=2"
    biz: dict[str, object] = {
        "out_trade_no": "P1",
        "total_amount": "19.99",
        "subject": "订单",
        "product_code": "QUICK_WAP_PAY",
        "quit_url": shop,
    }
    call = merchant.parameters("alipay.trade.wap.pay", biz, notify_url=merchant.notify_url, return_url=shop)
    page = await merchant.client.get(f"{merchant.base}/gateway.do", params=call)
    assert page.status_code == 200
    assert 'href="http://127.0.0.1:1/back?a=1&amp;b=2">退出支付' in page.text
    assert (await merchant.state())["method"] == "alipay.trade.wap.pay"
    returned = await merchant.client.post(f"{merchant.base}/cashier/P1/pay")
    assert "method=alipay.trade.wap.pay.return" in returned.headers["location"]
    assert "退出支付" not in (await merchant.client.get(f"{merchant.base}/cashier/P1")).text


async def test_unknown_sessions_and_actions_are_not_found(merchant: Merchant) -> None:
    assert (await merchant.client.get(f"{merchant.base}/cashier/P9")).status_code == 404
    assert (await merchant.client.post(f"{merchant.base}/cashier/P9/pay")).status_code == 404
    assert (await merchant.act("pay", "P9")).status_code == 404
    await merchant.open()
    assert (await merchant.act("steal")).status_code == 404
