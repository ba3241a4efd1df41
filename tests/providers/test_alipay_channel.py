"""Our Alipay channel and Alipay's own code: it verifies what we sign, and we verify what it signs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from shop_order.domain.entity.payment import BridgeParameters, Redirect
from shop_order.domain.errors import DependencyDown, InvalidArgument, SignatureInvalid
from shop_order.domain.ports import OpenRequest, RefundResult, TradeState
from shop_order.gateway.payment.alipay import Alipay
from shop_order.gateway.payment.alipay.certificates import number_of, root_number
from shop_order.gateway.payment.alipay.channel import MAX_SUBJECT, METHODS, ORDER_STRING, SUBJECT_MARKS
from shop_sandbox.alipay.keys import APP_ID, SELLER_ID, ensure_keys
from shop_sandbox.payments.keys import new_key
from tests.providers.accounts import AlipayAccount
from tests.providers.alipay_merchant import MODES
from tests.providers.awkward import OF_AUTHORITIES, TEXTS, awkward_in_each_charset, awkward_text
from tests.providers.conftest import Ask
from tests.providers.library import Refused
from tests.providers.partners import Recorder, Reply, Sent
from tests.world.provider import a_refund, an_attempt

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
PAYMENT = an_attempt("P261121080000000000000000001")
REFUND_SN = "R261121080000000000000000001"
NOTICE = {
    "notify_id": "2026120100222",
    "notify_type": "trade_status_sync",
    "notify_time": "2026-12-01 08:00:00",
    "app_id": APP_ID,
    "auth_app_id": APP_ID,
    "seller_id": SELLER_ID,
    "version": "1.0",
    "out_trade_no": PAYMENT.payment_sn,
    "trade_no": "2026120122001",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "19.99",
    "gmt_payment": "2026-12-01 08:00:00",
    "buyer_logon_id": "*小明 buy***@example.com",
}


@pytest.fixture(scope="session")
def account(keys_dir: Path) -> AlipayAccount:
    return AlipayAccount(keys_dir)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def both(account: AlipayAccount, gateway: Recorder) -> AsyncIterator[Mapping[str, Alipay]]:
    """A channel for each mode; their gateway keeps what it is sent."""
    found = {mode: account.channel(f"{gateway.url}/gateway.do", mode) for mode in MODES}
    yield found
    for channel in found.values():
        await channel.aclose()


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def channel(both: Mapping[str, Alipay], mode: str, gateway: Recorder) -> Alipay:
    """The gateway is down until the test says what it answers."""
    gateway.reply = Reply(status=503)
    return both[mode]


# ---- what we sign ----


async def request(ask: Ask, account: AlipayAccount, mode: str, form: str) -> dict[str, Any]:
    """The fields of a request that the library finds signed by the merchant; its content is decoded."""
    about = {"kind": "request", "charset": "utf-8", **account.signer(mode, "app")}
    told = await ask("alipay.check", form=form, **about)
    assert told["valid"], form
    for changed in (form.replace("19.99", "19.98"), form + "&extra=1"):
        assert changed == form or not (await ask("alipay.check", form=changed, **about))["valid"]
    fields: dict[str, Any] = told["fields"]
    serials = (fields.get("app_cert_sn"), fields.get("alipay_root_cert_sn"))
    if mode == "certificates":
        own = await ask("alipay.serial", cert=account.certificates["app_cert"])
        assert serials == (own, await ask("alipay.root_serial", **account.certificates))
    else:
        assert serials == (None, None)
    return fields | {"biz_content": json.loads(fields["biz_content"])}


@awkward_text
@pytest.mark.parametrize("trade_type", METHODS)
async def test_the_library_verifies_how_we_open(
    ask: Ask,
    account: AlipayAccount,
    channel: Alipay,
    gateway: Recorder,
    mode: str,
    text: str,
    trade_type: str,
) -> None:
    back = "https://shop.example/返回?order=1&name=a+b%20c"
    wanted = OpenRequest(an_attempt(PAYMENT.payment_sn, trade_type=trade_type), text, 60_000, back)
    if trade_type == "qr":
        with pytest.raises(DependencyDown):
            await channel.open(wanted)
        form = posted(gateway.last())
    else:
        match await channel.open(wanted):
            case Redirect(url):
                form = urlsplit(url).query
            case BridgeParameters(values):
                form = values[ORDER_STRING]
    fields = await request(ask, account, mode, form)
    assert fields["biz_content"]["subject"] == text.translate(SUBJECT_MARKS)[:MAX_SUBJECT]
    assert fields.get("return_url") == (back if trade_type in ("page", "wap") else None)
    assert (fields["app_id"], fields["method"]) == (APP_ID, METHODS[trade_type][0])
    assert fields["biz_content"]["total_amount"] == "19.99"


def posted(sent: Sent) -> str:
    """The form of a call: one field stands in the address."""
    return f"{urlsplit(sent.target).query}&{sent.body.decode('ascii')}"


@awkward_text
async def test_the_library_verifies_the_calls_we_make(
    ask: Ask, account: AlipayAccount, channel: Alipay, gateway: Recorder, mode: str, text: str
) -> None:
    refund = replace(a_refund(PAYMENT, REFUND_SN, 500), reason=text)
    calls: Mapping[str, Callable[[], Any]] = {
        "alipay.trade.query": lambda: channel.query(PAYMENT.payment_sn),
        "alipay.trade.close": lambda: channel.close(PAYMENT.payment_sn),
        "alipay.trade.refund": lambda: channel.refund(PAYMENT, refund),
        "alipay.trade.fastpay.refund.query": lambda: channel.query_refund(refund),
    }
    for method, call in calls.items():
        gateway.sent.clear()
        await call()
        fields = await request(ask, account, mode, posted(gateway.sent[0]))
        assert (fields["method"], fields["biz_content"]["out_trade_no"]) == (method, PAYMENT.payment_sn)
        if method == "alipay.trade.refund":
            assert fields["biz_content"]["refund_reason"] == text


# ---- what Alipay signs ----


@awkward_in_each_charset
async def test_we_read_an_answer_that_the_library_signed(
    ask: Ask,
    account: AlipayAccount,
    channel: Alipay,
    gateway: Recorder,
    mode: str,
    charset: str,
    name: str,
) -> None:
    told = {
        "code": "10000",
        "out_trade_no": PAYMENT.payment_sn,
        "trade_no": "2026120122001",
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "19.99",
        "subject": TEXTS[name],
        "send_pay_date": "2026-12-01 08:00:00",
    }
    for ascii_only in (False, True):
        node = json.dumps(told, ensure_ascii=ascii_only)
        sign = await ask("alipay.sign", text=node, private_key=account.alipay_private, charset=charset)
        number = await serial_in(mode, ask, account)
        gateway.reply = answer(node, sign, charset, number)
        trade = await channel.query(PAYMENT.payment_sn)
        assert (trade.state, trade.amount_fen) == (TradeState.PAID, 1999)
        gateway.reply = answer(node.replace("19.99", "19.98"), sign, charset, number)
        assert (await channel.query(PAYMENT.payment_sn)).state is TradeState.UNKNOWN


async def serial_in(mode: str, ask: Ask, account: AlipayAccount) -> str:
    """What an answer says about the key that signed it."""
    if mode == "keys":
        return ""
    return str(await ask("alipay.serial", cert=account.certificates["alipay_cert"]))


def answer(node: str, sign: str, charset: str, number: str = "", method: str = "query") -> Reply:
    """As the gateway writes it; `number` is that of Alipay's certificate."""
    named = f'"alipay_cert_sn":"{number}",' if number else ""
    body = f'{{"alipay_trade_{method}_response":{node},{named}"sign":"{sign}"}}'.encode(charset)
    return Reply(body, {"content-type": f"text/html;charset={charset}"})


async def test_we_believe_no_refund_without_the_librarys_signature(
    ask: Ask, account: AlipayAccount, channel: Alipay, gateway: Recorder, mode: str, tmp_path: Path
) -> None:
    number = await serial_in(mode, ask, account)
    node = json.dumps({"code": "10000", "out_trade_no": PAYMENT.payment_sn, "fund_change": "Y"})
    await asyncio.to_thread(ensure_keys, tmp_path)
    results = []
    for key in (account.alipay_private, AlipayAccount(tmp_path).alipay_private):
        sign = await ask("alipay.sign", text=node, private_key=key, charset="utf-8")
        gateway.reply = answer(node, sign, "utf-8", number, "refund")
        results.append(await channel.refund(PAYMENT, a_refund(PAYMENT, REFUND_SN, 500)))
    assert results == [RefundResult.SUCCEEDED, RefundResult.UNKNOWN]


async def notice(
    ask: Ask, account: AlipayAccount, charset: str, sign_with: str = "RSA2", **fields: str
) -> bytes:
    """The body of a notice that the library signed."""
    told = {**NOTICE, "charset": charset, **fields}
    about = {"private_key": account.alipay_private, "charset": charset, "sign_with": sign_with}
    body: str = await ask("alipay.notice", fields=told, **about)
    return body.encode("ascii")


@awkward_in_each_charset
async def test_we_read_a_notice_that_the_library_signed(
    ask: Ask, account: AlipayAccount, channel: Alipay, charset: str, name: str
) -> None:
    about = dict.fromkeys(("subject", "body", "passback_params"), TEXTS[name])
    found = channel.verify(await notice(ask, account, charset, **about), FORM)
    assert (found.payment_sn, found.is_refund, found.ambiguous) == (PAYMENT.payment_sn, False, "")
    assert (found.trade.state, found.trade.amount_fen) == (TradeState.PAID, 1999)
    refund = {"refund_fee": "5.00", "out_biz_no": REFUND_SN}
    found = channel.verify(await notice(ask, account, charset, **about, **refund), FORM)
    assert (found.is_refund, found.out_refund_no) == (True, REFUND_SN)


def changed(body: bytes) -> Mapping[str, bytes]:
    """The notice with one thing changed."""
    pairs = body.split(b"&")
    found = {}
    for at, pair in enumerate(pairs):
        name, _, value = pair.partition(b"=")
        others = pairs[:at], pairs[at + 1 :]
        found[f"without {name.decode()}"] = b"&".join([*others[0], *others[1]])
        found[f"empty {name.decode()}"] = b"&".join([*others[0], name + b"=", *others[1]])
        found[f"other {name.decode()}"] = b"&".join([*others[0], name + b"=9" + value[1:], *others[1]])
        found[f"renamed {name.decode()}"] = b"&".join([*others[0], b"x" + pair, *others[1]])
    return found | {
        "in another order": b"&".join(reversed(pairs)),
        "with an empty field": body + b"&more=",
        "with a field": body + b"&more=1",
        "blanks as %20": body.replace(b"+", b"%20"),
        "lower-case hex": body.replace(b"%2B", b"%2b").replace(b"%3A", b"%3a"),
        "as it was": body,
    }


@pytest.mark.parametrize("charset", ["utf-8", "GBK"])
async def test_we_and_the_library_accept_and_refuse_the_same_notices(
    ask: Ask, account: AlipayAccount, channel: Alipay, mode: str, charset: str
) -> None:
    body = await notice(ask, account, charset, subject="耳机 a+b", body="", passback_params="x=1&y=2")
    theirs, ours = {}, {}
    about = {"kind": "notice", "charset": charset, **account.signer(mode)}
    for name, sent in changed(body).items():
        try:
            theirs[name] = (await ask("alipay.check", form=sent.decode("ascii"), **about))["valid"]
        except Refused:
            theirs[name] = False
        ours[name] = accepted(channel, sent)
    # sign_type is not signed. The library is told which it is; we take the notice's word, and only RSA2.
    for name in ("without", "empty", "other", "renamed"):
        assert not ours.pop(f"{name} sign_type")
        del theirs[f"{name} sign_type"]
    assert ours == theirs
    accepted_ones = {name for name, taken in ours.items() if taken}
    empty_anyhow = {"without body", "empty body", "renamed body"}
    same_text = {"in another order", "with an empty field", "blanks as %20", "lower-case hex", "as it was"}
    assert accepted_ones == empty_anyhow | same_text


def accepted(channel: Alipay, body: bytes) -> bool:
    """Whether our channel finds the notice signed by Alipay."""
    try:
        channel.verify(body, FORM)
    except (SignatureInvalid, InvalidArgument):
        return False
    return True


async def test_we_refuse_a_notice_signed_with_another_key_or_with_sha1(
    ask: Ask, account: AlipayAccount, channel: Alipay, tmp_path: Path
) -> None:
    await asyncio.to_thread(ensure_keys, tmp_path)
    assert not accepted(channel, await notice(ask, AlipayAccount(tmp_path), "utf-8"))
    assert accepted(channel, await notice(ask, account, "utf-8"))
    assert not accepted(channel, await notice(ask, account, "utf-8", sign_with="RSA"))


async def test_our_gbk_is_theirs(ask: Ask) -> None:
    """Every character that Java's GBK has is read as the same one by us, but these: private use, and ♁."""
    table: Mapping[str, str] = await ask("alipay.charset", charset="GBK")
    other = {one for one, raw in table.items() if bytes.fromhex(raw).decode("gb18030") != one}
    assert {one for one in other if not "\ue000" <= one <= "\uf8ff"} == {"♁"}
    assert len(table) > 20_000


@pytest.mark.parametrize("name", OF_AUTHORITIES)
async def test_a_certificates_number_is_that_of_the_library(ask: Ask, tmp_path: Path, name: str) -> None:
    issuer = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Certification Authority"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{name} R1"),
        ]
    )
    key = await asyncio.to_thread(new_key)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(2**150 + len(name))
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "made.pem"
    await asyncio.to_thread(file.write_bytes, made.public_bytes(Encoding.PEM))
    assert number_of(made) == await ask("alipay.serial", cert=str(file))
    assert root_number([made]) == await ask("alipay.root_serial", root_cert=str(file))
