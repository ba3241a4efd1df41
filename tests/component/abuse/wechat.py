"""WeChat Pay's notices, right and wrong: the rows about notices, over HTTP and as the raw body of a call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from grpc import StatusCode

from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_order.domain.status import PaymentType
from shop_sandbox.wechat import signing
from shop_sandbox.wechat.keys import MCH_ID, OFFICIAL
from tests.component.abuse import notices
from tests.component.abuse.acts import Act, Expect, act
from tests.component.abuse.calls import SHOP, Answer, Scene
from tests.component.abuse.notices import alerted, alerts, is_paid, still_pending
from tests.shop import wechat_pay

NOTIFY = "/api/v1/payments/notify/wechat"
FAILED = {"code": "FAIL", "message": "失败"}
OK = Expect(StatusCode.OK, 204)
MISMATCH = Expect(StatusCode.FAILED_PRECONDITION, 409, "AMOUNT_MISMATCH")
OTHER_SN = "P261123134500123456789012349"


def trade_no(scene: Scene) -> str:
    """The provider's number of the scene's payment: no other scene has it."""
    return f"42000261123220{scene.user:010d}"


@dataclass(frozen=True, slots=True)
class Told:
    """A notice before it is signed; each part can be another one than WeChat would send."""

    resource: Mapping[str, Any]
    event: str = "TRANSACTION.SUCCESS"
    key: bytes = b""  # instead of the APIv3 key
    age_s: int = 0
    headers: Mapping[str, str] | None = None  # after signing
    plain: bytes = b""  # instead of the resource
    body: Callable[[bytes], bytes] = bytes  # applied before signing
    after: Callable[[bytes], bytes] = bytes  # applied after it

    def signed(self, scene: Scene) -> tuple[bytes, dict[str, str]]:
        """The body and the headers."""
        keys = wechat_pay(scene.shop.sandbox).keys
        plain = self.plain or json.dumps(self.resource, ensure_ascii=False).encode()
        sealed = signing.encrypted(self.key or keys.api_v3_key, plain, "transaction")
        envelope = {"id": f"EV-{scene.user}", "event_type": self.event, "resource": sealed}
        body = self.body(json.dumps(envelope).encode())
        signed = signing.signed_headers(keys.public, body, int(time.time()) - self.age_s)
        named = {name.lower(): value for name, value in signed.items()}
        headers = {"content-type": "application/json", **named, **(self.headers or {})}
        return self.after(body), headers


def payment(scene: Scene, **changed: Any) -> Told:
    """The notice that the scene's attempt (one fen) was paid."""
    resource = {
        "appid": OFFICIAL,
        "mchid": MCH_ID,
        "out_trade_no": scene.kept.get("payment_sn", ""),
        "transaction_id": trade_no(scene),
        "trade_type": "NATIVE",
        "trade_state": "SUCCESS",
        "success_time": "2026-11-23T10:00:00+08:00",
        "payer": {"openid": "oSandboxBuyer0000000000000007"},
        "amount": {"total": 1, "payer_total": 1, "currency": "CNY", "payer_currency": "CNY"},
    }
    return Told(resource | changed)


def refund(scene: Scene) -> Told:
    """The notice that a fen of it was refunded, which carries the state of the payment too."""
    told = payment(scene, out_refund_no="R261123134500123456789012349", refund_status="SUCCESS")
    amount = {"total": 1, "refund": 1, "payer_total": 1, "payer_refund": 1}
    return replace(told, resource={**told.resource, "amount": amount}, event="REFUND.SUCCESS")


Make = Callable[[Scene], Told]


def paid_with(**changed: Any) -> Make:
    """`payment` with these fields."""
    return partial(payment, **changed)


def sent_as(**changed: Any) -> Make:
    """`payment`, signed and sent in another way."""
    return lambda scene: replace(payment(scene), **changed)


def notice(name: str, make: Make) -> Act:
    """Hand the notice in, by HTTP and by OrderPayCallback."""
    sends = {"rest": lambda scene: post(scene, make), "grpc3": lambda scene: callback(scene, make)}
    return act(f"wechat: {name}", **sends)


async def post(scene: Scene, make: Make) -> Answer:
    """By HTTP: 204 and nothing, or WeChat's words for a failure."""
    body, headers = make(scene).signed(scene)
    answer = await scene.shop.http.post(NOTIFY, content=body, headers=headers)
    said = f"{answer.text} {dict(answer.headers)}"
    if answer.status_code == 204:
        assert answer.content == b"", said
        return Answer(204, said=said)
    assert (answer.json(), answer.headers["content-type"]) == (FAILED, "application/json"), said
    return Answer(answer.status_code, data="failure", headers={"content-type": "text/plain"}, said=said)


async def callback(scene: Scene, make: Make, **more: str) -> Answer:
    """As the raw body of a call; `more` are headers that WeChat does not send."""
    body, headers = make(scene).signed(scene)
    headers |= more
    scene.bearer = ""
    request = shop_pb.OrderPayCallbackRequest(
        payment_type=PaymentType.WECHAT, raw_body=body, headers={k.title(): v for k, v in headers.items()}
    )
    return await scene.grpc(f"{SHOP}/OrderPayCallback", request)


# ---- before and after ----


async def opened(scene: Scene) -> None:
    """An order of one fen with an open attempt through WeChat Pay."""
    await scene.place()
    answer = await scene.rest("POST", f"/orders/{scene.sn}/pay", {"payment_type": "wechat"})
    assert answer.status == 200, answer
    scene.kept |= {"payment_sn": answer.data["payment_sn"], "alerts": alerts(scene)}


async def paid(scene: Scene) -> None:
    """The same, paid, and told of."""
    await opened(scene)
    assert (await post(scene, payment)).status == 204
    scene.version = (await scene.now())["version"]


async def unchanged(scene: Scene, _: Answer) -> None:
    """Paid as it was: not one event more."""
    order = await scene.now()
    assert (order["status"], order["version"], order["trade_no"]) == (2, scene.version, trade_no(scene))


async def another_has_the_number(scene: Scene) -> None:
    """An order that is paid under the number, and one with an open attempt."""
    await paid(scene)
    await opened(scene)


async def closed(scene: Scene) -> None:
    """An attempt that WeChat has closed; the order waits still."""
    await opened(scene)
    assert (await post(scene, paid_with(trade_state="CLOSED"))).status == 204


def down(protocol: str, send: Callable[[Scene, Make], Any]) -> Act:
    """A notice while the database takes no writes, and again afterwards."""

    async def once(scene: Scene) -> Answer:
        answer: Answer = await send(scene, payment)
        return answer

    sent = {protocol: notices.while_down(once)}
    return Act(f"wechat: {protocol}", sent).having(opened).then(notices.again(once))


# ---- the rows ----


def refused(name: str, make: Make, expect: Expect | None = None, *, told: bool = False) -> Act:
    """The notice changes nothing; the operator is `told` of it."""
    found = notice(name, make).having(opened).then(alerted if told else still_pending)
    return found.gets(expect) if expect else found


def mismatches(**by_field: tuple[object, ...]) -> tuple[Act, ...]:
    """One act for each wrong value of a field; `amount` members by `amount__total` and so on."""
    acts = []
    for field, values in by_field.items():
        for value in values:
            name, _, member = field.partition("__")
            fen = {"total": 1, "currency": "CNY"}
            changed = {name: {**fen, member: value} if member else value}
            acts.append(refused(f"{field} {value!r:.20}", paid_with(**changed), MISMATCH, told=True))
    return tuple(acts)


def padded(size: int) -> Make:
    """A body of so many bytes, which is the same JSON."""
    return sent_as(body=lambda body: body.ljust(size))


def raw(name: str, make: Make, **more: str) -> Act:
    """An act that only OrderPayCallback has."""
    return act(f"wechat: {name}", grpc3=lambda scene: callback(scene, make, **more)).having(opened)


def signed_as(**headers: str) -> Make:
    """Headers in place of the true ones."""
    return sent_as(headers={f"wechatpay-{name}": value for name, value in headers.items()})


ACTS: Mapping[int, tuple[Act, ...]] = {
    56: (
        refused("no signature", signed_as(signature="")),
        refused("a probe", signed_as(signature="WECHATPAY/SIGNTEST/AAAA")),
        refused("another nonce", signed_as(nonce="another")),
        refused("an unknown key", signed_as(serial="PUB_KEY_ID_0000000009")),
        refused("an unknown certificate", signed_as(serial="5157F09EFDC096DE15EBE81A47057A7232F1B8E1")),
        refused("changed after signing", sent_as(after=lambda body: body + b" ")),
    ),
    57: (
        *(refused(f"{age_s} s old", sent_as(age_s=age_s)) for age_s in (301, 3600, -301, -86_400)),
        refused("no time", signed_as(timestamp="")),
        refused("another time", signed_as(timestamp="1796000000")),
        notice("just in time", sent_as(age_s=290)).having(opened).then(is_paid).gets(OK),
    ),
    58: (notice("again", payment).having(paid).then(unchanged).gets(OK),),
    59: mismatches(
        mchid=("1900000109", "", None),
        appid=("wx9999999999999999", ["wx0000000000000001"]),
        amount__total=(2, 0, -1, 1.0, "1", True, None, 10**30),
        amount__currency=("HKD", "", None),
    ),
    60: mismatches(out_trade_no=(OTHER_SN, "' OR '1'='1", "", 7)),
    63: (notice("closed", paid_with(trade_state="CLOSED")).having(paid).then(unchanged).gets(OK),),
    64: (
        notice("refund of an unpaid one", refund).having(opened).then(still_pending).gets(OK),
        notice("refund of a paid one", refund).having(paid).then(unchanged).gets(OK),
    ),
    65: (
        refused("a member twice", sent_as(body=lambda body: body[:-1] + b',"id":"2"}')),
        refused(
            "a member of the resource twice", sent_as(plain=b'{"mchid":"1","mchid":"1"}'), MISMATCH, told=True
        ),
        refused("no JSON", sent_as(body=lambda _: b"id=1")),
        refused("a list", sent_as(body=lambda body: b"[" + body + b"]")),
        refused("depth", sent_as(body=lambda _: b"[" * 60_000)),
    ),
    66: (
        refused("another key", sent_as(key=b"0" * 32), MISMATCH, told=True),
        refused(
            "a bit",
            sent_as(body=lambda body: body.replace(b'"nonce": "', b'"nonce": "0')),
            MISMATCH,
            told=True,
        ),
        refused(
            "other data",
            sent_as(body=lambda body: body.replace(b'"transaction"', b'"refund"')),
            MISMATCH,
            told=True,
        ),
        refused(
            "no ciphertext",
            sent_as(body=lambda body: body.replace(b"ciphertext", b"text")),
            MISMATCH,
            told=True,
        ),
    ),
    67: (down("rest", post), down("3", callback)),
    68: (
        notice("waiting after paid", paid_with(trade_state="NOTPAY")).having(paid).then(unchanged).gets(OK),
        notice("refunded after paid", paid_with(trade_state="REFUND")).having(paid).then(unchanged).gets(OK),
        notice("paid after closed", payment).having(closed).then(is_paid).gets(OK),
    ),
    74: (
        raw("one byte over 64 KiB", padded(65_537)).then(still_pending),
        raw("3 MB", padded(3_000_000)).then(still_pending),
        raw("101 headers", payment, **notices.MANY).then(still_pending),
        raw("a long header", payment, x="1" * 16_384).then(still_pending),
        raw("64 KiB", padded(65_536)).then(is_paid).gets(OK),
    ),
    79: (
        refused(
            "GBK",
            sent_as(body=lambda _: '{"id":"订单"}'.encode("gbk")),
            Expect(StatusCode.INVALID_ARGUMENT, 400, "INVALID_ARGUMENT"),
        ),
        *mismatches(
            success_time=(
                "0001-01-01T00:00:00+08:00",
                "1999-12-31T23:59:59+08:00",
                "2101-01-01T00:00:00+08:00",
                "2026-11-23 10:00:00",
                "2026-11-23T10:00:00",
                1795312800,
            ),
            amount__payer_total=(-1, 10**11, "1"),
        ),
    ),
    80: (
        notice("of another order", payment).having(another_has_the_number).then(alerted).gets(MISMATCH),
        *mismatches(transaction_id=("T" * 65, "T" * 5_000, "T\0", "T\n", " ", "", "单号", None)),
    ),
}
