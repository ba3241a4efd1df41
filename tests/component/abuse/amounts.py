"""Orders that cost more than a provider takes at a time (row 81)."""

from __future__ import annotations

from urllib.parse import urlsplit

from grpc import StatusCode

from shop_order.domain.status import PaymentType
from tests.component.abuse.acts import OK, Act, Check, Send, Step, act, on_order
from tests.component.abuse.calls import Answer, Scene
from tests.component.abuse.scenes import DEAR

PROVIDERS = ("alipay", "wechat")
CHANNELS = {"alipay": PaymentType.ALIPAY, "wechat": PaymentType.WECHAT, "balance": PaymentType.BALANCE}
BOUNDS = {
    "smallest_amount": "0.01",
    "smallest_fen": 1,
    "largest_amount": "100000000.00",
    "largest_fen": 10_000_000_000,
}


def of(nums: int) -> Step:
    """An order of so many goods, each of which costs the largest amount there is."""

    async def step(scene: Scene) -> None:
        await scene.place(goods=DEAR[0], nums=nums)
        assert (await scene.now())["pay_fen"] == nums * 10**10

    return step


def choosing(channel: str) -> Send:
    """Pay at the cashier."""

    async def choose(scene: Scene) -> Answer:
        link = await cashier(scene)
        return await scene.rest("POST", link, data={"payment_type": channel}, headers={"Accept": "*/*"})

    return choose


async def look(scene: Scene) -> Answer:
    """The cashier's data."""
    return await scene.rest("GET", await cashier(scene), headers={"Accept": "application/json"})


async def cashier(scene: Scene) -> str:
    """The order's link, without the address in front."""
    url = urlsplit(str((await scene.now())["pay_url"]))
    scene.bearer = ""
    return f"/{url.path}?{url.query}"


def refused(channel: str) -> Check:
    """The caller is told between which amounts the channel can be used, and nothing was opened."""
    bounds = BOUNDS | {"channel": channel}

    async def check(scene: Scene, answer: Answer) -> None:
        is_grpc = isinstance(answer.status, StatusCode)  # its metadata has texts only
        assert answer.details == ({name: str(value) for name, value in bounds.items()} if is_grpc else bounds)
        order = await scene.now()
        assert (order["status"], order["payment_sn"]) == (1, None)
        found = await scene.rest("GET", f"/orders/{scene.sn}/payment")
        assert found.reason == "PAYMENT_NOT_FOUND"

    return check


async def shown_unavailable(scene: Scene, answer: Answer) -> None:
    """No channel can be chosen, and both languages say why."""
    shown = [(one["payment_type"], one["available"], one["reason"]) for one in answer.data["channels"]]
    assert shown == [(channel, False, "AMOUNT_NOT_PAYABLE") for channel in CHANNELS]
    link = await cashier(scene)
    for language, words in (("zh-CN", "单笔支付范围"), ("en", "Amount limits per payment")):
        page = await scene.rest("GET", link, headers={"Accept": "text/html", "Accept-Language": language})
        assert page.data.count(f"{words} ¥0.01–¥100000000.00") == len(CHANNELS)
        assert all(f'value="{channel}" disabled' in page.data for channel in CHANNELS)


async def shown_available(_: Scene, answer: Answer) -> None:
    """The providers can be chosen; the wallet has not so much."""
    able = {"available": True, "reason": None, "message": None}
    by_channel = {one["payment_type"]: one for one in answer.data["channels"]}
    for channel in PROVIDERS:
        assert by_channel[channel] == {"payment_type": channel, **able}


def pay(channel: str, name: str) -> Act:
    """Pay the order through the channel, by every protocol."""
    number = int(CHANNELS[channel])
    sends = {
        **on_order("pay", payment_type=number).sends,
        **on_order("pay", payment_type=channel).only("rest").sends,
    }
    return Act(f"{channel}: {name}", sends)


ACTS: tuple[Act, ...] = (
    *(pay(channel, "above the largest").having(of(2)).then(refused(channel)) for channel in CHANNELS),
    *(
        act(f"{channel}: above it, at the cashier", rest=choosing(channel))
        .having(of(2))
        .then(refused(channel))
        for channel in CHANNELS
    ),
    act("the cashier says why", rest=look).having(of(2)).gets(OK).then(shown_unavailable),
    *(pay(channel, "the largest").having(of(1)).gets(OK) for channel in CHANNELS),
    act("the largest, at the cashier", rest=look).having(of(1)).gets(OK).then(shown_available),
)
