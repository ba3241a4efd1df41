"""Orders that cost more than a provider takes at a time (row 81)."""

from __future__ import annotations

from urllib.parse import urlsplit

from grpc import StatusCode

from tests.component.abuse.acts import Step
from tests.component.abuse.calls import Answer, Scene
from tests.component.abuse.scenes import DEAR

BOUNDS = {
    "channel": "alipay",
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


async def choose(scene: Scene) -> Answer:
    """Pay at the cashier."""
    link = await cashier(scene)
    return await scene.rest("POST", link, data={"payment_type": "alipay"}, headers={"Accept": "*/*"})


async def look(scene: Scene) -> Answer:
    """The cashier's data."""
    return await scene.rest("GET", await cashier(scene), headers={"Accept": "application/json"})


async def cashier(scene: Scene) -> str:
    """The order's link, without the address in front."""
    url = urlsplit(str((await scene.now())["pay_url"]))
    scene.bearer = ""
    return f"/{url.path}?{url.query}"


async def refused(scene: Scene, answer: Answer) -> None:
    """The caller is told between which amounts the channel can be used, and nothing was opened."""
    is_grpc = isinstance(answer.status, StatusCode)  # its metadata has texts only
    assert answer.details == ({name: str(value) for name, value in BOUNDS.items()} if is_grpc else BOUNDS)
    order = await scene.now()
    assert (order["status"], order["payment_sn"]) == (1, None)
    found = await scene.rest("GET", f"/orders/{scene.sn}/payment")
    assert found.reason == "PAYMENT_NOT_FOUND"


async def shown_unavailable(scene: Scene, answer: Answer) -> None:
    """No channel can be chosen, and both languages say why."""
    assert not any(channel["available"] for channel in answer.data["channels"])
    assert answer.data["channels"][0]["reason"] == "AMOUNT_NOT_PAYABLE"
    link = await cashier(scene)
    for language, words in (("zh-CN", "单笔支付范围"), ("en", "Amount limits per payment")):
        page = await scene.rest("GET", link, headers={"Accept": "text/html", "Accept-Language": language})
        assert f"{words} ¥0.01–¥100000000.00" in page.data
        assert 'value="alipay" disabled' in page.data


async def shown_available(_: Scene, answer: Answer) -> None:
    """The channel can be chosen."""
    assert answer.data["channels"][0] == {
        "payment_type": "alipay",
        "available": True,
        "reason": None,
        "message": None,
    }
