"""Money after the end: late, twice, and in the moment the time ends (rows 61, 62 and 70), for every channel.

The provider's notice comes by HTTP, or from whoever got it in our place, as the raw body of OrderPayCallback.
The wallet tells of a debit in our inbox.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from grpc import StatusCode

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.domain.status import OrderStatus
from shop_order.domain.valueobject.parties import Role
from tests.balance import answer as by_wallet
from tests.balance import deliver, hold_answers, let_answers_go
from tests.component.abuse import notices, wechat
from tests.component.abuse.acts import Act, Expect, act
from tests.component.abuse.calls import Answer, Scene
from tests.component.abuse.judging import must_be
from tests.shop import Shop

Tell = Callable[[Scene, str, str], Awaitable[Answer]]  # channel and payment_sn
PROVIDERS = ("alipay", "wechat")
ROUNDS = 30
GOODS = 109
PATIENCE_S = 60.0  # thirty refunds on a busy machine
MONEY_FEN = 100_000_000


async def by_http(scene: Scene, channel: str, payment_sn: str) -> Answer:
    """The buyer pays after all; what the provider was answered."""
    told = (await scene.shop.provider.post(f"/{channel}/sim/{payment_sn}/pay_late")).json()
    said = {"content-type": "text/plain"} if channel == "alipay" else {}
    return Answer(told["status"], data=told["body"], headers=said, said=str(told))


async def by_callback(scene: Scene, channel: str, payment_sn: str) -> Answer:
    """The same, but the provider's notice is handed on to us."""
    path = f"/{channel}/sim/{payment_sn}/pay_late"
    paid = (await scene.shop.provider.post(path, params={"notice": 0})).json()
    fen, about = paid["amount_fen"], {"out_trade_no": payment_sn}
    if channel == "alipay":
        body = notices.said(**about, trade_no=paid["trade_no"], total_amount=f"{fen / 100:.2f}")
        return await notices.callback(scene, body)
    amount = {"total": fen, "payer_total": fen, "currency": "CNY", "payer_currency": "CNY"}
    number = paid["transaction_id"]
    return await wechat.callback(scene, wechat.paid_with(**about, transaction_id=number, amount=amount))


def told(name: str, send: Callable[[Scene, Tell], Awaitable[Answer]]) -> Act:
    """An act in which somebody tells us of money, by HTTP and by OrderPayCallback."""
    return act(name, rest=lambda scene: send(scene, by_http), grpc3=lambda scene: send(scene, by_callback))


def thanks(channel: str) -> Expect:
    """What a provider wants to hear: WeChat gets no text."""
    return Expect(StatusCode.OK, 200 if channel == "alipay" else 204)


async def open_attempt(scene: Scene, order_sn: str, channel: str) -> str:
    """An attempt that its provider knows: its number."""
    path = f"/orders/{order_sn}/pay"
    scene.bearer = scene.shop.token(scene.user)
    answer = await scene.rest("POST", path, {"payment_type": channel})
    assert answer.status == 200, answer
    if channel == "alipay":  # it knows no trade before the buyer's browser has come
        await scene.shop.provider.get(answer.data["payment_url"])
    return str(answer.data["payment_sn"])


async def back_fen(scene: Scene, channel: str, payment_sn: str) -> Sequence[int]:
    """What the provider has given back of a payment, refund by refund."""
    state = (await scene.shop.provider.get(f"/{channel}/sim/{payment_sn}")).json()
    return [one["amount_fen"] for one in state["refunds"]]


# ---- row 61: after the cancel ----


def after_the_cancel(channel: str) -> Act:
    """The buyer had the provider's page open still."""

    async def cancelled(scene: Scene) -> None:
        await scene.place()
        scene.kept["payment_sn"] = await open_attempt(scene, scene.sn, channel)
        answer = await scene.rest("POST", f"/orders/{scene.sn}/cancel")
        assert answer.status == 200

    async def pay(scene: Scene, tell: Tell) -> Answer:
        return await tell(scene, channel, scene.kept["payment_sn"])

    async def given_back(scene: Scene, _: Answer) -> None:
        """The order stays cancelled and the provider has given the money back."""
        payment_sn = scene.kept["payment_sn"]

        async def refunded() -> bool:
            return bool((await scene.now())["refund_status"] == 2)

        await scene.shop.until(refunded)
        order = await scene.now()
        (payment,) = order["payments"]
        assert (order["status"], order["payment_sn"], payment["status"]) == (5, payment_sn, 3)
        assert await back_fen(scene, channel, payment_sn) == [1]

    return told(f"{channel}: late", pay).having(cancelled).then(given_back).gets(thanks(channel))


# ---- row 62: through two channels ----


def twice(first: str, second: str) -> Act:
    """The buyer has both providers' pages open and pays on both; the answers of the second."""

    async def pay(scene: Scene, tell: Tell) -> Answer:
        await scene.place()
        attempts = {channel: await open_attempt(scene, scene.sn, channel) for channel in (first, second)}
        scene.kept |= attempts
        await tell(scene, second, attempts[second])
        return await tell(scene, first, attempts[first])  # it was closed: its money comes late

    async def one_is_given_back(scene: Scene, _: Answer) -> None:
        """The order is paid once; the other payment is refunded whole, beside the order's refund_status."""
        late_sn, kept_sn = scene.kept[first], scene.kept[second]

        async def is_back() -> bool:
            by_sn = {one["payment_sn"]: one["status"] for one in (await scene.now())["payments"]}
            return bool(by_sn[late_sn] == 3 and by_sn[kept_sn] == 2)

        await scene.shop.until(is_back)
        assert await back_fen(scene, first, late_sn) == [1]
        assert await back_fen(scene, second, kept_sn) == []
        order = await scene.now()
        assert (order["status"], order["refund_status"], order["pay_type"]) == (2, 0, second)

    return told(f"{first}, then {second}", pay).then(one_is_given_back).gets(thanks(first))


# ---- row 70: in the moment the time ends ----


async def thirty_orders(scene: Scene, channel: str) -> Mapping[str, str]:
    """By order the attempt to pay it."""
    scene.kept |= {"before": await scene.available(GOODS), "channel": channel}
    attempts = {}
    for _ in range(ROUNDS):
        order_sn = (await scene.shop.place(scene.user, goods=GOODS))["order_sn"]
        attempts[order_sn] = await open_attempt(scene, order_sn, channel)
    scene.kept["attempts"] = attempts
    return attempts


async def at_the_end(scene: Scene, tell: Callable[[str], Awaitable[None]]) -> None:
    """Tell of the attempts in the moment their time ends.

    Of one before it, and of half of them when the first order was cancelled: so neither side wins every time,
    however slow the machine is.
    """
    chance, orders = random.Random(70), scene.shop.core.store.orders
    first, *others = scene.kept["attempts"].values()

    async def one_is_cancelled() -> bool:
        found = [await orders.get(order_sn) for order_sn in scene.kept["attempts"]]
        return any(order.status == OrderStatus.CANCELLED for order in found)

    async def some(payment_sns: Sequence[str]) -> None:
        await asyncio.gather(*(soon(payment_sn, chance.random() * 0.4) for payment_sn in payment_sns))

    async def soon(payment_sn: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await tell(payment_sn)

    async def the_rest() -> None:
        await scene.shop.until(one_is_cancelled, PATIENCE_S)
        await some(others[::2])

    await tell(first)
    await asyncio.gather(scene.shop.advance(1800), some(others[1::2]), the_rest())


def race(channel: str) -> Act:
    """Thirty buyers pay in the moment their time ends; every notice is welcome."""

    async def send(scene: Scene, tell: Tell) -> Answer:
        answers: list[Answer] = []

        async def pay(payment_sn: str) -> None:
            answers.append(await tell(scene, channel, payment_sn))

        await thirty_orders(scene, channel)
        await at_the_end(scene, pay)
        for answer in answers:
            must_be(answer, thanks(channel))
        return answers[0]

    return told(f"{channel}: thirty rounds", send).then(one_winner).gets(thanks(channel))


async def race_of_debits(scene: Scene) -> Answer:
    """The wallet has debited thirty buyers, and its answers come in the moment their time ends."""
    shop = scene.shop
    await give_money(shop, scene.user)
    await hold_answers(shop)
    await thirty_orders(scene, "balance")
    await shop.until(partial(are_debited, scene), PATIENCE_S)

    async def tell(payment_sn: str) -> None:
        fen = (await shop.core.store.payments.find(payment_sn)).amount_fen
        about = {"id": f"e-{payment_sn}", "user_id": scene.user, "amount_fen": fen}
        assert await deliver(shop, by_wallet("wallet.debited", payment_sn, **about)) == [about["id"]]

    await at_the_end(scene, tell)
    await let_answers_go(shop)
    return Answer(StatusCode.OK)


async def by_a_stranger(scene: Scene) -> Answer:
    """A debit that somebody else tells of than the wallet: its address is its token."""
    await scene.place()
    payment_sn = await open_attempt(scene, scene.sn, "balance")
    scene.become(Role.SERVICE, subject="inventory")
    event = by_wallet("wallet.debited", payment_sn, user_id=scene.user, amount_fen=1)
    return await scene.grpc("shop.neighbours.EventInbox/Deliver", pb.EventBatch(cloud_events=[event]))


async def give_money(shop: Shop, user: int) -> None:
    """The user has a wallet."""
    entry = "INSERT INTO ledger (user_id, payment_sn, amount_fen, kind) VALUES (?, '', ?, 'deposit')"

    def insert(connection: Any) -> None:
        connection.execute("INSERT INTO user VALUES (?, '买家', 'user', ?)", (user, MONEY_FEN))
        connection.execute(entry, (user, MONEY_FEN))

    await shop.sandbox.users_db.run(insert)


async def of_wallet(scene: Scene, kind: str) -> Mapping[str, int]:
    """By payment what the wallet took or gave back; never twice."""
    sql = "SELECT payment_sn, abs(amount_fen) FROM ledger WHERE user_id = ? AND kind = ?"
    rows = await scene.shop.sandbox.users_db.run(lambda one: one.execute(sql, (scene.user, kind)).fetchall())
    assert len(dict(rows)) == len(rows), f"two entries of one payment: {rows}"
    return dict(rows)


async def are_debited(scene: Scene) -> bool:
    return len(await of_wallet(scene, "debit")) == ROUNDS


async def one_winner(scene: Scene, _: Answer) -> None:
    """Each order is paid and keeps its goods, or cancelled with goods and money given back."""
    sold = 0
    for order_sn, payment_sn in scene.kept["attempts"].items():
        won = await scene.shop.until(partial(settled, scene, order_sn, payment_sn), PATIENCE_S)
        sold += won == "paid"
    await scene.shop.check_doctor()
    assert await scene.available(GOODS) == scene.kept["before"] - sold
    assert 0 < sold < ROUNDS, "the race was none: one side always won"


async def settled(scene: Scene, order_sn: str, payment_sn: str) -> str:
    """paid or cancelled once nothing is on its way any more, else empty."""
    order = await scene.shop.order(order_sn, scene.user)
    channel = scene.kept["channel"]
    if channel == "balance":
        back = [fen for sn, fen in (await of_wallet(scene, "refund")).items() if sn == payment_sn]
    else:
        back = list(await back_fen(scene, channel, payment_sn))
    (payment,) = order["payments"]
    if order["status"] == 2:
        assert back == []
        return "paid"
    if order["status"] == 5 and payment["status"] == 3:
        assert back == [order["pay_fen"]]
        return "cancelled"
    return ""


AFTER_THE_CANCEL = tuple(after_the_cancel(channel) for channel in PROVIDERS)
TWICE = (twice("alipay", "wechat"), twice("wechat", "alipay"))
RACES = (
    *(race(channel) for channel in PROVIDERS),
    act("balance: thirty rounds", neighbour=race_of_debits).then(one_winner),
)
