"""Our WeChat Pay channel and WeChat Pay's own code: it verifies what we sign, and we verify what it signs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shop_order.domain.entity.payment import BridgeParameters
from shop_order.domain.errors import AmountMismatch, DependencyDown, InvalidArgument, SignatureInvalid
from shop_order.domain.ports import OpenRequest, Payer, RefundResult, TradeState
from shop_order.gateway.payment.wechat import WechatPay
from shop_order.gateway.payment.wechat.channel import KINDS
from shop_sandbox.server import Sandbox
from shop_sandbox.wechat.keys import MCH_ID, OFFICIAL
from tests.providers.accounts import WechatAccount
from tests.providers.awkward import awkward_text
from tests.providers.conftest import Ask
from tests.providers.library import Refused
from tests.providers.partners import Recorder, Reply, Sent
from tests.providers.wechat_merchant import MODES
from tests.world.provider import a_refund, an_attempt

in_each_mode = pytest.mark.parametrize("mode", MODES)
PAYMENT = an_attempt("P261121080000000000000000001")
REFUND_SN = "R261121080000000000000000001"
TRADE = {
    "appid": OFFICIAL,
    "mchid": MCH_ID,
    "out_trade_no": PAYMENT.payment_sn,
    "transaction_id": "4200001234202612010000000001",
    "trade_type": "NATIVE",
    "trade_state": "SUCCESS",
    "bank_type": "OTHERS",
    "success_time": "2026-12-01T08:00:00+08:00",
    "payer": {"openid": "oBuyer1"},
    "amount": {"total": 1999, "payer_total": 1999, "currency": "CNY", "payer_currency": "CNY"},
}
REFUND = {
    "mchid": MCH_ID,
    "out_trade_no": PAYMENT.payment_sn,
    "transaction_id": TRADE["transaction_id"],
    "out_refund_no": REFUND_SN,
    "refund_id": "50000000382019052709732678859",
    "refund_status": "SUCCESS",
    "success_time": "2026-12-01T08:00:00+08:00",
    "user_received_account": "招商银行信用卡0403",
    "amount": {"total": 1999, "refund": 500, "payer_total": 1999, "payer_refund": 500},
}
OTHER = {"certificates": "public_key", "public_key": "certificates"}
JSON = {"content-type": "application/json; charset=utf-8"}


@pytest.fixture(scope="session")
def account(keys_dir: Path) -> WechatAccount:
    return WechatAccount(keys_dir)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def both(ask: Ask, account: WechatAccount, gateway: Recorder) -> AsyncIterator[Mapping[str, WechatPay]]:
    """A channel for each mode, after it fetched the certificates."""
    pem = account.pem("platform_cert")
    certificate = await ask("wechat.encrypt", api_v3_key=account.api_v3_key, text=pem)
    listed = {"serial_no": account.serial("platform_cert"), "encrypt_certificate": certificate}
    gateway.replies["/v3/certificates"] = await signed(ask, account, "certificates", {"data": [listed]})
    gateway.reply = await signed(ask, account, "certificates", TRADE)
    found = {mode: account.channel(gateway.url, mode) for mode in MODES}
    for channel in found.values():
        assert (await channel.query(PAYMENT.payment_sn)).state is TradeState.PAID
    yield found
    for channel in found.values():
        await channel.aclose()


@pytest.fixture
def channels(both: Mapping[str, WechatPay], gateway: Recorder) -> Mapping[str, WechatPay]:
    """The same; their gateway is down until the test says what it answers."""
    gateway.reply = Reply(status=503)
    return both


async def signed(ask: Ask, account: WechatAccount, mode: str, content: Any, status: int = 200) -> Reply:
    """An answer that the library signed."""
    body = json.dumps(content, ensure_ascii=False)
    made = await ask("wechat.sign", **account.signer(mode), body=body)
    return Reply(body.encode(), {**made["headers"], **JSON}, status)


def shown(text: str) -> str:
    """What WeChat takes of a text: no characters of four bytes in UTF-8."""
    return "".join(one for one in text if one <= "\uffff")


# ---- what we sign ----


async def checked(ask: Ask, account: WechatAccount, sent: Sent) -> dict[str, Any]:
    """The content of a request that the library's text and the merchant's key verify."""
    scheme, _, told = sent.headers["authorization"].partition(" ")
    authorization = dict(re.findall(r'(\w+)="([^"]*)"', told))
    about = {"authorization": authorization, "public_key": account.merchant_public}
    body = sent.body.decode()
    valid = await ask("wechat.check_request", method=sent.method, path=sent.target, body=body, **about)
    assert valid == {"scheme": scheme, "valid": True}
    assert (authorization["mchid"], authorization["serial_no"]) == (MCH_ID, account.serial("merchant_cert"))
    for changed in ({"path": sent.target + "x"}, {"body": body + " "}, {"method": "PUT"}):
        other = {"method": sent.method, "path": sent.target, "body": body, **changed}
        assert not (await ask("wechat.check_request", **other, **about))["valid"]
    content: dict[str, Any] = json.loads(body) if body else {}
    return content


@awkward_text
@pytest.mark.parametrize("kind", KINDS)
async def test_the_library_verifies_how_we_open(
    ask: Ask,
    account: WechatAccount,
    channels: Mapping[str, WechatPay],
    gateway: Recorder,
    kind: str,
    text: str,
) -> None:
    payment = an_attempt(PAYMENT.payment_sn, trade_type=kind)
    wanted = OpenRequest(payment, text, 600_000, payer=Payer("oBuyer1", "127.0.0.1"))
    gateway.sent.clear()
    with pytest.raises(DependencyDown):
        await channels["public_key"].open(wanted)
    content = await checked(ask, account, gateway.last())
    assert gateway.last().target == f"/v3/pay/transactions/{KINDS[kind].path}"
    described = shown(text).replace("`", "'")  # backticks separate the values of its bill
    assert described.startswith(content["description"]) or content["description"] == payment.order_sn
    assert 0 < len(content["description"].encode()) <= 127


@awkward_text
async def test_the_library_verifies_the_calls_we_make(
    ask: Ask, account: WechatAccount, channels: Mapping[str, WechatPay], gateway: Recorder, text: str
) -> None:
    channel, refund = channels["public_key"], replace(a_refund(PAYMENT, REFUND_SN, 500), reason=text)
    order = f"/v3/pay/transactions/out-trade-no/{PAYMENT.payment_sn}"
    refunds = "/v3/refund/domestic/refunds"
    calls: Mapping[str, Callable[[], Awaitable[Any]]] = {
        f"GET {order}?mchid={MCH_ID}": lambda: channel.query(PAYMENT.payment_sn),
        f"POST {order}/close": lambda: channel.close(PAYMENT.payment_sn),
        f"POST {refunds}": lambda: channel.refund(PAYMENT, refund),
        f"GET {refunds}/{REFUND_SN}": lambda: channel.query_refund(refund),
    }
    for target, call in calls.items():
        gateway.sent.clear()
        await call()
        sent = gateway.sent[0]
        content = await checked(ask, account, sent)
        assert f"{sent.method} {sent.target}" == target
        assert shown(text).startswith(content.get("reason", ""))


@pytest.mark.parametrize("kind", ["jsapi", "mini", "app"])
async def test_the_library_signs_for_the_buyers_app_as_we_do(
    ask: Ask, account: WechatAccount, channels: Mapping[str, WechatPay], gateway: Recorder, kind: str
) -> None:
    prepay_id = "wx201410272009395522657a690389285100"
    gateway.reply = await signed(ask, account, "public_key", {"prepay_id": prepay_id})
    payment = an_attempt(PAYMENT.payment_sn, trade_type=kind)
    action = await channels["public_key"].open(OpenRequest(payment, "x", 600_000, payer=Payer("oBuyer1")))
    assert isinstance(action, BridgeParameters)
    ours = {name.lower(): value for name, value in action.values.items()}
    names = ("timestamp", "noncestr", "sign" if kind == "app" else "paysign")
    told = dict(zip(("timestamp", "nonce_str", "signature"), map(ours.__getitem__, names), strict=True))
    wanted = {"appid": ours["appid"], "mchid": MCH_ID}
    about = {"kind": kind, "request": wanted, "public_key": account.merchant_public}
    made = await ask("wechat.check_pay_sign", ours={**told, "prepay_id": prepay_id}, **about)
    assert made["valid"]
    # The library's own parameters have the same names, and the same values where it draws none.
    drawn = {"timestamp", "noncestr", "sign", "paysign"}
    theirs = {name.lower(): value for name, value in made["parameters"].items()}
    assert {name: value for name, value in ours.items() if name not in drawn} == {
        name: value for name, value in theirs.items() if name not in drawn
    }
    assert set(action.values) == set(made["parameters"])
    for name in ("timestamp", "nonce_str", "prepay_id"):
        changed = {**told, "prepay_id": prepay_id} | {name: "1234567890"}
        assert not (await ask("wechat.check_pay_sign", ours=changed, **about))["valid"]


# ---- what WeChat signs and encrypts ----


@awkward_text
@in_each_mode
async def test_we_read_an_answer_that_the_library_signed(
    ask: Ask,
    account: WechatAccount,
    channels: Mapping[str, WechatPay],
    gateway: Recorder,
    mode: str,
    text: str,
) -> None:
    gateway.reply = await signed(ask, account, mode, {**TRADE, "attach": text})
    trade = await channels[mode].query(PAYMENT.payment_sn)
    assert (trade.state, trade.amount_fen) == (TradeState.PAID, 1999)
    gateway.reply = replace_body(gateway.reply, b"1999", b"1998")
    assert (await channels[mode].query(PAYMENT.payment_sn)).state is TradeState.UNKNOWN


def replace_body(reply: Reply, old: bytes, new: bytes) -> Reply:
    """The same with another body."""
    assert old in reply.body
    return Reply(reply.body.replace(old, new), reply.headers, reply.status)


@in_each_mode
async def test_we_believe_a_refusal_and_a_refund_only_with_the_librarys_signature(
    ask: Ask, account: WechatAccount, channels: Mapping[str, WechatPay], gateway: Recorder, mode: str
) -> None:
    channel, refund = channels[mode], a_refund(PAYMENT, REFUND_SN, 500)
    gateway.reply = await signed(ask, account, mode, {"code": "ORDER_NOT_EXIST", "message": "无"}, 404)
    assert (await channel.query(PAYMENT.payment_sn)).state is TradeState.ABSENT
    gateway.reply = Reply(gateway.reply.body, JSON, 404)
    assert (await channel.query(PAYMENT.payment_sn)).state is TradeState.UNKNOWN
    gateway.reply = await signed(ask, account, mode, {**REFUND, "status": "SUCCESS"})
    assert await channel.refund(PAYMENT, refund) is RefundResult.SUCCEEDED
    gateway.reply = replace_body(gateway.reply, b"SUCCESS", b"CLOSED")
    assert await channel.refund(PAYMENT, refund) is RefundResult.UNKNOWN


async def notice(
    ask: Ask, account: WechatAccount, mode: str, content: Mapping[str, Any], associated: str = "", **more: Any
) -> Sent:
    """A notice that the library encrypted and signed."""
    kind = "refund" if "out_refund_no" in content else "transaction"
    about = {
        "id": "EV-2018022511223320873",
        "create_time": "2026-12-01T08:00:00+08:00",
        "resource_type": "encrypt-resource",
        "event_type": f"{kind.upper()}.SUCCESS",
        "summary": "成功",
    }
    made = await ask(
        "wechat.notice",
        notice=about,
        text=json.dumps(content, ensure_ascii=False),
        associated_data=associated,
        original_type=kind,
        **{"api_v3_key": account.api_v3_key, **account.signer(mode), **more},
    )
    headers = {name.lower(): value for name, value in made["headers"].items()}
    return Sent("POST", "/notify", headers, made["body"].encode())


@awkward_text
@in_each_mode
@pytest.mark.parametrize("associated", ["", "transaction", "附加 a+b"])
async def test_we_read_a_notice_that_the_library_made(
    ask: Ask,
    account: WechatAccount,
    channels: Mapping[str, WechatPay],
    mode: str,
    text: str,
    associated: str,
) -> None:
    channel = channels[mode]
    sent = await notice(ask, account, mode, {**TRADE, "attach": text}, associated)
    found = channel.verify(sent.body, sent.headers)
    assert (found.payment_sn, found.is_refund) == (PAYMENT.payment_sn, False)
    assert (found.trade.state, found.trade.amount_fen) == (TradeState.PAID, 1999)
    sent = await notice(ask, account, mode, {**REFUND, "user_received_account": text}, associated)
    found = channel.verify(sent.body, sent.headers)
    assert (found.is_refund, found.out_refund_no) == (True, REFUND_SN)


def changed(sent: Sent) -> Mapping[str, Sent]:
    """The notice with one thing changed."""
    told = json.loads(sent.body)
    body = {f"body: {name}": {**told, name: "x"} for name in told if name != "resource"}
    sealed = told["resource"]
    other = {
        "ciphertext": "A" + sealed["ciphertext"][1:] if sealed["ciphertext"][0] != "A" else "B",
        "nonce": sealed["nonce"][::-1],
        "associated_data": sealed["associated_data"] + "x",
        "algorithm": "AEAD_AES_128_GCM",
    }
    body |= {f"resource: {name}": {**told, "resource": {**sealed, name: other[name]}} for name in other}
    found = {name: replace(sent, body=json.dumps(one).encode()) for name, one in body.items()}
    for name in ("timestamp", "nonce", "signature", "serial"):
        value = [*sent.headers[f"wechatpay-{name}"]]
        at = -10 if name == "signature" else -2  # a base64 text ends with bits that mean nothing
        value[at] = "8" if value[at] != "8" else "9"
        headers = {**sent.headers, f"wechatpay-{name}": "".join(value)}
        found[f"header: {name}"] = replace(sent, headers=headers)
    return found | {
        "a blank more": replace(sent, body=sent.body + b" "),
        "other spelling": replace(sent, body=json.dumps(told, indent=1).encode()),
        "as it was": sent,
    }


@in_each_mode
async def test_we_and_the_library_accept_and_refuse_the_same_notices(
    ask: Ask,
    account: WechatAccount,
    channels: Mapping[str, WechatPay],
    sandbox: Sandbox,
    mode: str,
) -> None:
    channel = channels[mode]
    base = f"http://127.0.0.1:{sandbox.http_port}/wechat"
    known = account.of_library(base, mode) | {"fetched": "0"}
    if mode == "public_key":  # we also know the certificates, for the time of a change
        known["combined"] = "yes"
    stranger = {"api_v3_key": "0" * 32}
    sent = await notice(ask, account, mode, {**TRADE, "attach": "耳机 a+b"}, "transaction")
    notices = {
        **changed(sent),
        "another key": await notice(ask, account, mode, TRADE, **stranger),
        "in the other mode": await notice(ask, account, OTHER[mode], TRADE),
        "signed as another": await notice(
            ask, account, mode, TRADE, **account.signer(mode) | merchants(account)
        ),
    }
    theirs, ours = {}, {}
    for name, one in notices.items():
        ours[name] = accepted(channel, one)
        told = {key: value for key, value in one.headers.items() if key.startswith("wechatpay-")}
        about = {"account": known, "headers": told, "body": one.body.decode(), "kind": "payment"}
        try:
            await ask("wechat.read_notice", **about)
            theirs[name] = True
        except Refused:
            theirs[name] = False
    assert ours == theirs
    both = {"in the other mode"} if mode == "public_key" else set()
    assert {name for name, taken in ours.items() if taken} == {"as it was"} | both


def merchants(account: WechatAccount) -> dict[str, str]:
    """A key that is not WeChat's."""
    return {"private_key": account.pem("merchant_private"), "public_key": account.merchant_public}


def accepted(channel: WechatPay, sent: Sent) -> bool:
    """Whether our channel takes the notice for WeChat's."""
    try:
        channel.verify(sent.body, sent.headers)
    except (SignatureInvalid, InvalidArgument, AmountMismatch):
        return False
    return True


@in_each_mode
@pytest.mark.parametrize(("ago_s", "taken"), [(0, True), (290, True), (310, False), (-310, False)])
async def test_we_refuse_an_old_notice_as_the_library_refuses_an_old_answer(
    ask: Ask, account: WechatAccount, channels: Mapping[str, WechatPay], mode: str, ago_s: int, taken: bool
) -> None:
    channel = channels[mode]
    sent = await notice(ask, account, mode, TRADE, timestamp=int(time.time()) - ago_s)
    assert accepted(channel, sent) == taken
