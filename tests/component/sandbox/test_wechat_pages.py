"""WeChat Pay's pages in a browser: no button that leads nowhere, in no state; two languages; no outside."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

import httpx
import pytest

from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.wechat_merchant import NATIVE, WechatMerchant

BROWSER = {"accept": "text/html,application/xhtml+xml;q=0.9", "accept-language": "en-US,en;q=0.9,zh;q=0.1"}
BUTTON = re.compile(r'action="/wechat/cashier/\w+/(\w+)"')
EVER = [
    "pay",
    "pay_late",
    "pay_twice",
    "start_paying",
    "fail_paying",
    "notify_again",
    "old_notice",
    "forge_amount",
    "forge_sign",
    "probe",
    "refund_stay",
    "refund_closed",
    "refund_abnormal",
    "refund_lost",
    "end_refund_success",
    "end_refund_closed",
    "end_refund_abnormal",
    "refund_notice",
]
State = Callable[[WechatMerchant, Clock, str], Awaitable[object]]


async def fresh(wechat: WechatMerchant, clock: Clock, trade: str) -> None:
    """The buyer only looks."""


async def paying(wechat: WechatMerchant, clock: Clock, trade: str) -> None:
    await wechat.act("start_paying", trade)


async def paid(wechat: WechatMerchant, clock: Clock, trade: str) -> None:
    await wechat.act("pay", trade)


async def silent(wechat: WechatMerchant, clock: Clock, trade: str) -> None:
    await wechat.act("pay", trade, "?notice=0")


async def waiting(wechat: WechatMerchant, clock: Clock, trade: str) -> None:
    await wechat.client.post(f"{wechat.base}/cashier/{trade}/pay_late")


async def expired(wechat: WechatMerchant, clock: Clock, trade: str) -> None:
    clock.ahead_ms += 7 * 86_400_000


async def closed(wechat: WechatMerchant, clock: Clock, trade: str) -> None:
    await wechat.close(trade)


async def refunding(wechat: WechatMerchant, clock: Clock, trade: str) -> None:
    await wechat.act("pay", trade)
    await wechat.act("refund_stay", trade)
    await wechat.refund(500, f"R{trade}", trade)


async def refunded(wechat: WechatMerchant, clock: Clock, trade: str) -> None:
    await wechat.act("pay", trade)
    await wechat.refund(1999, f"R{trade}", trade)
    while await wechat.refund_state(f"R{trade}") != "SUCCESS":  # noqa: ASYNC110 - the simulator tells nobody
        await asyncio.sleep(0.01)


STATES = (fresh, paying, paid, silent, waiting, expired, closed, refunding, refunded)


async def seen(wechat: WechatMerchant, path: str, method: str = "GET") -> httpx.Response:
    """What a browser ends up with."""
    url = urljoin(wechat.base, path)
    answer = await wechat.client.request(method, url, headers=BROWSER)
    while answer.is_redirect:
        answer = await wechat.client.get(urljoin(url, answer.headers["location"]), headers=BROWSER)
    return answer


def is_page(answer: httpx.Response, status: int = 200) -> bool:
    """A page of ours with a way on, in the reader's language."""
    assert answer.status_code == status, (answer.url, answer.text[:300])
    assert '<html lang="en">' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return 'href="/wechat/sim"' in answer.text


@pytest.mark.parametrize("state", STATES)
async def test_a_button_that_is_offered_works_and_another_leads_back(
    wechat: WechatMerchant, clock: Clock, state: State
) -> None:
    for number, action in enumerate((*EVER, "steal")):
        trade = f"P{number:06d}"
        await wechat.open(trade, attach=f"{number:027d}")
        await state(wechat, clock, trade)
        path = f"/wechat/cashier/{trade}"
        offered = BUTTON.findall((await seen(wechat, path)).text)
        assert set(offered) <= set(EVER)
        answer = await seen(wechat, f"{path}/{action}", "POST")
        works = action in offered or (action, state) in {
            ("pay_late", waiting),  # asking again to wait changes nothing
            *(
                ("refund_" + fate, state) for fate in ("stay", "closed", "abnormal", "lost")
            ),  # of a later refund
        }
        assert is_page(answer, 200 if works else 409), action
        assert is_page(await seen(wechat, f"{path}/{action}")), "who reloads it"


async def test_what_is_offered_fits_the_state(wechat: WechatMerchant, clock: Clock) -> None:
    wanted: dict[State, tuple[set[str], set[str]]] = {
        fresh: ({"pay", "pay_late", "start_paying"}, {"notify_again", "refund_stay", "refund_notice"}),
        paid: ({"notify_again", "old_notice", "refund_stay"}, {"pay", "pay_late", "end_refund_success"}),
        waiting: ({"pay"}, {"pay_late"}),
        closed: ({"pay_late"}, {"pay", "start_paying"}),
        refunding: ({"end_refund_success", "refund_closed"}, {"pay"}),
        refunded: ({"refund_notice"}, {"refund_stay", "end_refund_success"}),
    }
    for number, (state, (some, none)) in enumerate(wanted.items()):
        trade = f"P{number:06d}"
        await wechat.open(trade)
        await state(wechat, clock, trade)
        offered = set(BUTTON.findall((await seen(wechat, f"/wechat/cashier/{trade}")).text))
        assert some <= offered, state
        assert not none & offered, state


async def test_texts_of_a_trade_are_shown_as_text(wechat: WechatMerchant) -> None:
    await wechat.call("POST", NATIVE, wechat.order(description='<script>alert("1")'))
    page = await seen(wechat, "/wechat/cashier/P000001")
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "src=" not in page.text
    listed = await seen(wechat, "/wechat/sim")
    assert "<script" not in listed.text
    assert 'href="/wechat/cashier/P000001"' in listed.text


async def test_what_is_not_there_has_a_way_on(wechat: WechatMerchant) -> None:
    assert "There are no trades yet" in (await seen(wechat, "/wechat/sim")).text
    assert is_page(await seen(wechat, "/wechat/browser"))
    for path, method, status in (
        ("/wechat/cashier/P000009", "GET", 404),
        ("/wechat/cashier/P000009/pay", "POST", 404),
        ("/wechat/sim/P000009", "GET", 404),
        ("/wechat/scan?code_url=x", "GET", 404),
        ("/wechat/h5?prepay_id=x", "GET", 404),
        ("/wechat/openid", "GET", 400),
    ):
        assert is_page(await seen(wechat, path, method), status), path
    await wechat.open()
    assert (await wechat.act("steal")).status_code == 404
    assert (await wechat.act("pay", "P000009")).status_code == 404
    (listed,) = (await wechat.client.get(f"{wechat.base}/sim")).json()
    assert listed.keys() == {"out_trade_no", "order_ref", "amount_fen"}
