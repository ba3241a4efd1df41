"""What rows need before, do in more than one request, or look at afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_order.domain.valueobject.parties import Role
from shop_order.pkg.ids import is_order_sn
from shop_sandbox.goods import Article
from tests.component.abuse.acts import Act, Check, Send, Step, act, checkout, order
from tests.component.abuse.calls import ORDER, SHOP, Answer, Scene, address
from tests.shop import Shop

DEAR = (40_001, 40_002)
MANY = tuple(range(20_001, 20_102))
_new_goods: Iterator[int] = count(50_001)
FULL_USER = 4_242


async def stock_up(shop: Shop) -> None:
    """Goods beside the seed: two beyond price, 101 ordinary ones, and enough of 109 and 110."""
    goods, inventory = shop.sandbox.goods, shop.sandbox.inventory
    new = {id: Article(id, "无价之宝", "", 10**10) for id in DEAR}
    new |= {id: Article(id, f"商品 {id}", "", 100) for id in MANY}
    await asyncio.gather(
        *(goods.add(article) for article in new.values()),
        *(inventory.set_stock(id, 100_000) for id in (109, 110, *new)),
    )


# ---- before ----


def as_role(role: Role, *, subject: str | None = None, act_for: int | None = None) -> Step:
    """Call with this role."""

    async def step(scene: Scene) -> None:
        scene.become(role, subject=subject, act_for=act_for)

    return step


def strangers(make: Step) -> Step:
    """Somebody else's order."""

    async def step(scene: Scene) -> None:
        await make(scene)
        scene.become_stranger()

    return step


def then_as(make: Step, role: Role) -> Step:
    """An order, and then another role."""

    async def step(scene: Scene) -> None:
        await make(scene)
        scene.become(role)

    return step


def cart(*lines: tuple[int, int], unchecked: bool = False) -> Step:
    """Lines in the cart."""

    async def step(scene: Scene) -> None:
        await scene.fill_cart(*lines)
        if unchecked:
            await scene.rest("PUT", "/cart/checked", {"checked": False})

    return step


async def full_cart(scene: Scene) -> None:
    """A cart of a hundred lines."""
    await asyncio.gather(*(scene.fill_cart((goods, 1)) for goods in MANY[:100]))


async def taken_off_sale(scene: Scene) -> None:
    """Goods in the cart that are off sale now."""
    goods = scene.kept["goods"] = next(_new_goods)
    await scene.shop.sandbox.goods.add(Article(goods, "昨日之物", "", 100))
    await scene.fill_cart((goods, 1))
    await scene.shop.sandbox.goods.set_on_sale(goods, False)


async def many_orders(scene: Scene) -> None:
    """More orders than a page holds."""
    scene.user = FULL_USER
    scene.bearer = scene.shop.token(FULL_USER)
    if (await scene.rest("GET", "/orders")).data["total"] <= 100:
        await asyncio.gather(*(scene.place() for _ in range(101)))


def used_key(first: Act) -> Step:
    """The key was used by `first`."""

    async def step(scene: Scene) -> None:
        answer = await first.sends["rest"](scene)
        assert answer.status == 200, answer

    return step


async def cancelled(scene: Scene) -> None:
    """A cancelled order, as it was right after."""
    await scene.cancel()
    scene.version = (await scene.now())["version"]
    await scene.shop.check_doctor()
    scene.kept["stock"] = await scene.available(110)


# ---- more than one request ----


def paying_key(*, trade_type: str = "") -> Act:
    """Pay with the key of an earlier payment."""
    body = {"payment_type": "alipay", "trade_type": trade_type}
    key = "pay-once"

    def fields(scene: Scene) -> dict[str, object]:
        return {"order_sn": scene.sn, "payment_type": 1, "trade_type": trade_type, "idempotency_key": key}

    return act(
        "pay with a used key",
        grpc91=lambda scene: scene.grpc(f"{ORDER}/PayOrder", pb.PayOrderRequest(**fields(scene))),  # type: ignore[arg-type]
        grpc3=lambda scene: scene.grpc(f"{SHOP}/PayOrder", shop_pb.OrderPayRequest(**fields(scene))),  # type: ignore[arg-type]
        rest=lambda scene: scene.rest(
            "POST", f"/orders/{scene.sn}/pay", body, headers={"Idempotency-Key": key}
        ),
    )


async def paid_with_key(scene: Scene) -> None:
    """An attempt that was opened with the key."""
    await scene.place()
    answer = await paying_key().sends["rest"](scene)
    assert answer.status == 200, answer


def at_once(name: str, *sends: Send, times: int = 4) -> Act:
    """The same command in flight several times; all must be answered with one order."""

    async def send(scene: Scene) -> Answer:
        await scene.fill_cart((110, 1))
        scene.kept["all"] = answers = await asyncio.gather(*(one(scene) for one in sends * times))
        return next((answer for answer in answers if answer.reason), answers[0])

    return Act(name, {"rest" if answers_http(name) else "9.1": send})


def answers_http(name: str) -> bool:
    """Whether the act's first answer is an HTTP one."""
    return "REST" in name


async def one_order(scene: Scene, _: Answer) -> None:
    """One order exists, everybody was given it, and its stock was taken once."""
    given = {
        answer.data["order_sn"] if isinstance(answer.data, dict) else answer.data.order_sn
        for answer in scene.kept["all"]
    }
    found = (await scene.rest("GET", "/orders")).data
    assert given == {one["order_sn"] for one in found["items"]}
    assert found["total"] == 1
    replayed = [a for a in scene.kept["all"] if a.headers.get("idempotency-replayed") == "true"]
    assert len(replayed) == len(scene.kept["all"]) - 1


KEYED = {name: order((110, 1), key="in-flight").sends[name] for name in ("9.1", "rest")}
KEYED_CHECKOUT = checkout(key="in-flight").sends["3"]


def until_limited(send: Send, *, first: str) -> Send:
    """Ask until the limit; `first` is the reason of the answers before it, whose first one is returned."""

    async def sent(scene: Scene) -> Answer:
        answers = [await send(scene) for _ in range(10)]
        scene.kept["last"] = answers[-1]
        reasons = [answer.reason for answer in answers]
        allowed = reasons.index("RATE_LIMITED")
        assert set(reasons[:allowed]) == {first}
        return answers[0] if first else answers[-1]

    return sent


async def limited(scene: Scene, _: Answer) -> None:
    """The last answer says when to come again."""
    last = scene.kept["last"]
    assert last.reason == "RATE_LIMITED"
    assert last.retry_s and 0 < last.retry_s <= 2


async def victim(scene: Scene) -> None:
    """Somebody's order, whose number the scene's buyer knows."""
    await scene.place()
    scene.become_stranger()
    scene.kept["guesses"] = neighbours_of(scene.sn)


def neighbours_of(order_sn: str) -> Iterator[str]:
    """Well-formed numbers after this one."""
    for number in count(int(order_sn[:26]) + 1):
        yield from (sn for digit in "0123456789" if is_order_sn(sn := f"{number}{digit}"))


# ---- looking afterwards ----


def nums_are(nums: int) -> Check:
    """The order has one line of so many."""

    async def check(scene: Scene, answer: Answer) -> None:
        if isinstance(answer.data, dict):
            assert [item["nums"] for item in answer.data["items"]] == [nums]
        else:
            assert [item.quantity for item in answer.data.items] == [nums]

    return check


def stored(**texts: str) -> Check:
    """The order has these texts, as they were sent."""

    async def check(scene: Scene, answer: Answer) -> None:
        data = answer.data
        scene.sn = data["order_sn"] if isinstance(data, dict) else data.order_sn
        order = await scene.now()
        assert {name: (order["address"] | order)[name] for name in texts} == texts

    return check


async def a_hundred(_: Scene, answer: Answer) -> None:
    """A full page, and the page size that was really used."""
    data = answer.data
    found = data["items"] if isinstance(data, dict) else getattr(data, "orders", None) or data.data
    assert len(found) == 100
    assert not isinstance(data, dict) or data["page_size"] == 100


async def page_one(_: Scene, answer: Answer) -> None:
    """The default is the first page of twenty."""
    data = answer.data
    found = getattr(data, "orders", None) or data.data
    assert len(found) == 20


async def once_only(scene: Scene, _: Answer) -> None:
    """Cancelled as before, and the stock came back once."""
    order = await scene.now()
    assert (order["status"], order["version"]) == (5, scene.version)
    await scene.shop.check_doctor()
    assert await scene.available(110) == scene.kept["stock"]


def names_goods(*goods: int) -> Check:
    """The refusal says which goods."""

    async def check(_: Scene, answer: Answer) -> None:
        assert answer.details["goods_ids"] == ",".join(map(str, goods))
        assert all(str(id) in answer.said for id in goods)

    return check


async def nothing_in_cart(scene: Scene, _: Answer) -> None:
    """The cart is as empty as before."""
    assert (await scene.rest("GET", "/cart")).data["items"] == []


def varint(number: int) -> bytes:
    """As protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def order_bytes(quantity: int, *, extra: bytes = b"") -> bytes:
    """A CreateOrderRequest of goods 110 with this varint as its quantity, and other bytes after it."""
    item = b"\x08" + varint(110) + b"\x10" + varint(quantity)
    to = pb.CreateOrderRequest(address=pb.AddressInfo(**address())).SerializeToString()
    return b"\x12" + varint(len(item)) + item + to + extra
