"""Notices of the provider and of our payment gateway, right and wrong (rows 19 and 56 to 68)."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from urllib.parse import urlencode

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_sandbox.alipay import signing
from shop_sandbox.alipay.keys import APP_ID, SELLER_ID
from tests.component.abuse.acts import Act, Check, Send, act
from tests.component.abuse.calls import ORDER, SHOP, Answer, Scene
from tests.shop import alipay

NOTIFY = "/payments/notify/alipay"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MANY = {f"h{n}": "1" for n in range(101)}
Body = Callable[[Scene], bytes]


def trade_no(scene: Scene) -> str:
    """The provider's number of the scene's payment: no other scene has it."""
    return f"20261123220014000700{scene.user:08d}"


def said(*, sign: str = "", hides: str = "", **changes: str) -> Body:
    """Alipay's notice about the scene's attempt (one fen), signed as Alipay would unless `sign` is given.

    `hides`: this field is sent in the value of the one that is signed before it.
    """

    def body(scene: Scene) -> bytes:
        form = {
            "notify_type": "trade_status_sync",
            "notify_id": f"00222{scene.user}",
            "notify_time": "2026-11-23 10:00:00",
            "app_id": APP_ID,
            "seller_id": SELLER_ID,
            "out_trade_no": scene.kept.get("payment_sn", ""),
            "trade_no": trade_no(scene),
            "trade_status": "TRADE_SUCCESS",
            "total_amount": "0.01",
            "gmt_payment": "2026-11-23 09:59:59",
            **changes,
        }
        text, charset = signing.notice_text(form), form.get("charset", "utf-8")
        form["sign"] = sign or signing.sign(alipay(scene.shop.sandbox).keys.provider, text, charset)
        if hides:
            before = max(name for name in form if name < hides and name != "sign")
            form[before] += f"&{hides}={form.pop(hides)}"
        form["sign_type"] = "RSA2"
        return urlencode(form, encoding=signing.codec(charset)).encode()

    return body


def longer(tail: bytes) -> Body:
    """The honest notice, and more behind it."""
    return lambda scene: said()(scene) + tail


def notice(name: str, body: Body) -> Act:
    """Hand a provider's notice in, by HTTP and as the raw body of OrderPayCallback."""
    return act(name, grpc3=lambda scene: callback(scene, body), rest=lambda scene: post(scene, body))


async def post(scene: Scene, body: Body) -> Answer:
    """The notice by HTTP, without any token."""
    scene.bearer = ""
    return await scene.rest("POST", NOTIFY, content=body(scene), headers=FORM)


async def callback(scene: Scene, body: Body, headers: Mapping[str, str] = FORM) -> Answer:
    """The notice handed on over gRPC, without any token."""
    scene.bearer = ""
    request = shop_pb.OrderPayCallbackRequest(payment_type=1, raw_body=body(scene), headers=headers)
    return await scene.grpc(f"{SHOP}/OrderPayCallback", request)


def gateway(name: str, *, amount: float = 0.0, amount_fen: int = 0, sign: str = "", **fields: str) -> Act:
    """NotifyPayment about the scene's attempt, signed with the gateway's secret unless `sign` is given."""
    return act(name, grpc91=gateway_send(amount=amount, amount_fen=amount_fen, sign=sign, **fields))


def gateway_send(*, amount: float = 0.0, amount_fen: int = 0, sign: str = "", **fields: str) -> Send:
    """What `gateway` sends."""

    async def send(scene: Scene) -> Answer:
        scene.bearer = ""
        about = {
            "order_sn": scene.sn,
            "payment_sn": scene.kept.get("payment_sn", ""),
            "trade_no": trade_no(scene),
            **fields,
        }
        money = {"amount_fen": str(amount_fen)} if amount_fen else {"amount": f"{amount:.2f}"}
        request = pb.NotifyPaymentRequest(
            **about,
            amount=amount,
            amount_fen=amount_fen,
            payment_type=1,
            sign=sign or gateway_sign(scene, about | money | {"payment_type": "1"}),
        )
        return await scene.grpc(f"{ORDER}/NotifyPayment", request)

    return send


def gateway_sign(scene: Scene, fields: dict[str, str]) -> str:
    """Lower-case hex HMAC-SHA256 over `key=value`, sorted by key (contract, chapter 4)."""
    secret = scene.shop.loaded.settings.pay.gateway_secret
    assert secret is not None
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
    return hmac.new(secret.get_secret_value().encode(), text.encode(), hashlib.sha256).hexdigest()


# ---- before and after ----


async def opened(scene: Scene) -> None:
    """An order of one fen with an open attempt."""
    scene.kept["payment_sn"] = await scene.opened()
    scene.kept["alerts"] = alerts(scene)


async def paid(scene: Scene) -> None:
    """The same, paid, and told of."""
    await opened(scene)
    answer = await post(scene, said())
    assert (answer.status, answer.data) == (200, "success")
    scene.version = (await scene.now())["version"]


async def paid_through_gateway(scene: Scene) -> None:
    """The same, told by our gateway."""
    await opened(scene)
    answer = await gateway_send(amount_fen=1)(scene)
    assert not answer.reason
    scene.version = (await scene.now())["version"]


async def closed(scene: Scene) -> None:
    """An attempt the provider has closed; the order waits still."""
    await opened(scene)
    answer = await post(scene, said(trade_status="TRADE_CLOSED"))
    assert (answer.status, answer.data) == (200, "success")


async def unchanged(scene: Scene, _: Answer) -> None:
    """Paid as it was: not one event more."""
    order = await scene.now()
    assert (order["status"], order["version"], order["trade_no"]) == (2, scene.version, trade_no(scene))


async def still_pending(scene: Scene, _: Answer) -> None:
    """The attempt is open, and nobody was believed."""
    order = await scene.now()
    assert (order["status"], order["paid_at"], order["trade_no"]) == (1, None, None)


async def alerted(scene: Scene, answer: Answer) -> None:
    """Still pending, and the operator was told."""
    await still_pending(scene, answer)
    assert alerts(scene) == scene.kept["alerts"] + 1


async def is_paid(scene: Scene, _: Answer) -> None:
    """The order is paid."""
    assert (await scene.now())["status"] == 2


def alerts(scene: Scene) -> float:
    """How often the operator was told of a notice that does not agree."""
    name, about = "shop_order_alerts_total", {"name": "notice_mismatch"}
    return float(scene.shop.core.metrics.registry.get_sample_value(name, about) or 0)


# ---- row 79: what can be read in two ways ----


async def paid_in_silence(scene: Scene) -> None:
    """The buyer has paid, and the provider's own notice was lost."""
    await opened(scene)
    await scene.shop.provider_does(scene.kept["payment_sn"], "pay", notice=0)


async def asked(scene: Scene, _: Answer) -> None:
    """Nobody was believed but the provider, who was asked long before its turn, and whose notice is welcome
    when it comes again."""

    async def is_known() -> bool:
        return bool((await scene.now())["status"] == 2)

    await scene.shop.until(is_known)
    order = await scene.now()
    assert order["trade_no"] == (await scene.shop.provider_does(scene.kept["payment_sn"], "scan"))["trade_no"]
    answer = await post(scene, said(hides="trade_status"))
    assert (answer.status, answer.data) == (200, "success")


# ---- row 80: one number, two payments ----


async def another_has_the_number(scene: Scene) -> None:
    """An order that is paid under the number, and one with an open attempt."""
    await paid(scene)
    scene.bearer = scene.shop.token(scene.user)
    await opened(scene)


# ---- row 67: the database is down ----


@contextmanager
def locked_database(scene: Scene) -> Iterator[None]:
    """Somebody else holds the file's write lock: every commit of ours fails."""
    with closing(sqlite3.connect(scene.shop.core.store._db.path, isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout=10000")
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def impatient(scene: Scene) -> AsyncIterator[None]:
    """The store waits for the lock for an instant only, so that the test need not wait either."""
    writer = scene.shop.core.store._db.writer
    await writer.submit(lambda session: session.first("PRAGMA busy_timeout=20"))
    try:
        yield
    finally:
        await writer.submit(lambda session: session.first("PRAGMA busy_timeout=5000"))


def while_down(send: Send) -> Send:
    """The same, sent while the database takes no writes."""

    async def sent(scene: Scene) -> Answer:
        async with impatient(scene):
            with locked_database(scene):
                return await send(scene)

    return sent


def again(send: Send) -> Check:
    """Sent again when the database is back, it is done."""

    async def check(scene: Scene, _: Answer) -> None:
        await still_pending(scene, _)
        answer = await send(scene)
        assert not answer.reason and answer.data != "failure", answer
        await is_paid(scene, answer)

    return check
