"""One rig for each payment channel: the channel before a provider that signs as the true one does."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import PaymentChannel
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.base import ChannelContext
from shop_order.pkg.money import yuan_of_fen
from tests.contract.test_alipay_answers import PAYMENT_SN, asking
from tests.contract.test_alipay_answers import signed as signed_answer
from tests.world.toy_channel import TOY, ToyChannel
from tests.world.toy_channel import sign as toy_sign
from tests.world.wechat import WechatWorld, a_trade, signed_headers
from tests.world.wechat import notice as wechat_notice
from tests.world.wechat import wechat as wechat_world

Sent = tuple[bytes, Mapping[str, str]]  # a notice: body and headers


class Rig(Protocol):
    """A channel, and what its provider sends."""

    @property
    def channel(self) -> PaymentChannel:
        """The channel to try."""

    def notice(
        self, payment: Payment, *, seller: str = "", refund_sn: str = "", forged: bool = False
    ) -> Sent:
        """A notice that the attempt was paid, or refunded; of another seller, or signed by a stranger."""

    def tell(self, payment: Payment, *, lost: bool) -> None:
        """From now on the provider knows this attempt as paid, or every answer is lost."""


@dataclass
class AlipayRig:
    """Alipay before a small gateway."""

    channel: PaymentChannel
    keys: Mapping[str, rsa.RSAPrivateKey]
    answers: dict[str, bytes]

    def notice(
        self, payment: Payment, *, seller: str = "", refund_sn: str = "", forged: bool = False
    ) -> Sent:
        fields = {
            "app_id": "1",
            "seller_id": seller or "2",
            "out_trade_no": payment.payment_sn,
            "trade_no": f"T{payment.payment_sn}",
            "trade_status": "TRADE_SUCCESS",
            "total_amount": yuan_of_fen(payment.amount_fen),
        }
        if refund_sn:
            fields |= {"refund_fee": "0.01", "out_biz_no": refund_sn}
        text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()))
        signature = self.keys["another" if forged else "its"].sign(
            text.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        signed = fields | {"sign_type": "RSA2", "sign": base64.b64encode(signature).decode()}
        return urlencode(signed).encode(), {"content-type": "application/x-www-form-urlencoded"}

    def tell(self, payment: Payment, *, lost: bool) -> None:
        node = {
            "code": "10000",
            "out_trade_no": payment.payment_sn,
            "trade_no": f"T{payment.payment_sn}",
            "trade_status": "TRADE_SUCCESS",
            "total_amount": yuan_of_fen(payment.amount_fen),
        }
        self.answers.clear()
        if not lost:
            key = self.keys["its"]
            self.answers |= {
                "trade.query": signed_answer(key, "trade_query", node),
                "trade.close": signed_answer(key, "trade_close", {"code": "40004", "sub_code": "ACQ.PAID"}),
                "trade.refund": signed_answer(key, "trade_refund", node | {"fund_change": "Y"}),
            }


@asynccontextmanager
async def alipay(folder: Path) -> AsyncIterator[Rig]:
    keys = {who: rsa.generate_private_key(public_exponent=65537, key_size=2048) for who in ("its", "another")}
    answers: dict[str, bytes] = {}
    code = {"code": "10000", "out_trade_no": PAYMENT_SN, "qr_code": "https://qr.alipay.com/bax0"}
    answers["trade.precreate"] = signed_answer(keys["its"], "trade_precreate", code)
    async with asking(keys["its"], folder, lambda method: answers.get(method, b"")) as channel:
        yield AlipayRig(channel, keys, answers)


OPENED = {
    "code_url": "weixin://wxpay/bizpayurl?pr=1",
    "prepay_id": "wx2611",
    "h5_url": "https://wx/h5?prepay_id=1",
}


@dataclass
class WechatRig:
    """WeChat Pay before a small server."""

    world: WechatWorld

    @property
    def channel(self) -> PaymentChannel:
        return self.world.channel

    def notice(
        self, payment: Payment, *, seller: str = "", refund_sn: str = "", forged: bool = False
    ) -> Sent:
        told = a_trade(payment.payment_sn) | ({"mchid": seller} if seller else {})
        if refund_sn:
            told |= {"out_refund_no": refund_sn, "refund_status": "SUCCESS"}
        body = wechat_notice(told, "REFUND.SUCCESS" if refund_sn else "TRANSACTION.SUCCESS")
        return body, signed_headers(body, by="another" if forged else "wechat")

    def tell(self, payment: Payment, *, lost: bool) -> None:
        number, about = payment.payment_sn, {"out_trade_no": payment.payment_sn, "out_refund_no": REFUND_SN}
        refund = about | {"status": "PROCESSING", "amount": {"refund": 1, "total": 1999}}
        self.world.answers.clear()
        if lost:
            self.world.signs = lambda body: {}
        else:
            self.world.answers |= {
                "/close": (400, {"code": "ORDERPAID", "message": "该订单已支付"}),
                number: (200, a_trade(number)),
                "/refunds": (200, refund),
            }


@asynccontextmanager
async def wechat(folder: Path) -> AsyncIterator[Rig]:
    async with wechat_world(folder) as world:
        world.answers |= {f"/{kind}": (200, OPENED) for kind in ("native", "jsapi", "h5", "app")}
        yield WechatRig(world)


@dataclass
class ToyRig:
    """The tests' own channel: the suite holds for more than one."""

    channel: ToyChannel

    def notice(
        self, payment: Payment, *, seller: str = "", refund_sn: str = "", forged: bool = False
    ) -> Sent:
        told = {"sn": payment.payment_sn, "fen": payment.amount_fen, "seller": seller or self.channel.seller}
        body = json.dumps(told | ({"refund_sn": refund_sn} if refund_sn else {})).encode()
        key = "another" if forged else self.channel.key
        return body, {"toy-signature": toy_sign(key, body)}

    def tell(self, payment: Payment, *, lost: bool) -> None:
        self.channel.reachable = not lost
        self.channel.paid[payment.payment_sn] = payment.amount_fen


@asynccontextmanager
async def toy(folder: Path) -> AsyncIterator[Rig]:
    context = ChannelContext("http://n/", lambda: 1.0, lambda: 0, print)
    yield ToyRig(ToyChannel("key", "us", context))


REFUND_SN = "R261121080000000000000000001"
RIGS: dict[PaymentType, Callable[[Path], AbstractAsyncContextManager[Rig]]] = {
    PaymentType.ALIPAY: alipay,
    PaymentType.WECHAT: wechat,
}
ALL_RIGS = {kind.code: rig for kind, rig in RIGS.items()} | {"toy": toy}
__all__ = ["ALL_RIGS", "RIGS", "TOY", "Rig"]
