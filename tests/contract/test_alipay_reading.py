"""What Alipay signed is verified byte for byte, and only then read: charsets, bounds, and texts that can be
cut into fields in two ways."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shop_order.domain.errors import AmountMismatch, InvalidArgument, SignatureInvalid
from shop_order.domain.ports import Notice, Trade, TradeState
from shop_order.gateway.payment.alipay import Alipay, AlipaySettings
from shop_order.gateway.payment.alipay.keys import KEY_MODE, Keys
from tests.contract.test_alipay_verify import PAID, PAYMENT_SN

FORM = "application/x-www-form-urlencoded"
Send = Callable[..., Notice]
Fields = Mapping[str, str | bytes]


@pytest.fixture(scope="module")
def provider() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def channel(provider: rsa.RSAPrivateKey) -> Alipay:
    settings = AlipaySettings(
        "http://127.0.0.1:9/", PAID["app_id"], PAID["seller_id"], Path(), Path(), "", lambda: 1.0
    )
    made = Alipay(settings, lambda: 0, lambda *args, **about: None)
    made._gateway._keys = Keys(provider, {KEY_MODE: provider.public_key()})
    return made


@pytest.fixture
def send(channel: Alipay, provider: rsa.RSAPrivateKey) -> Send:
    """What becomes of the good notice with these changes, written and signed in a charset."""

    def send(written: str = "utf-8", headers: Mapping[str, str] | None = None, **changed: str) -> Notice:
        fields = {name: value.encode(written) for name, value in (PAID | changed).items()}
        return channel.verify(signed(provider, fields), headers or {})

    return send


def signed(
    key: rsa.RSAPrivateKey, fields: Mapping[str, bytes], sent: Mapping[str, bytes] | None = None
) -> bytes:
    """The form of `sent`, with the signature of `fields`."""
    text = b"&".join(b"%b=%b" % (k.encode(), v) for k, v in sorted(fields.items()) if v)
    sign = base64.b64encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256()))
    whole = dict(fields if sent is None else sent) | {"sign": sign, "sign_type": b"RSA2"}
    return "&".join(f"{name}={quote_plus(value)}" for name, value in whole.items()).encode()


# ---- charsets ----


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("gbk", "GBK"),
        ("gbk", "gbk"),
        ("gb2312", "GB2312"),
        ("gb18030", "GB18030"),
        ("gb18030", "GBK"),
        ("utf-8", "UTF-8"),
        ("utf-8", "utf-8"),
        ("utf-8", ""),
    ],
)
def test_a_notice_is_read_in_the_charset_it_names(send: Send, written: str, named: str) -> None:
    told = send(written, charset=named, buyer_logon_id="王*明", subject="订单 + 100% & 一=二")
    assert told.trade == Trade(TradeState.PAID, "2026112122001", 1999, 1_795_219_205_000)


def test_gbk_bytes_that_look_like_ascii_are_covered_by_the_signature(send: Send) -> None:
    assert (
        send("gbk", charset="GBK", subject="誠乗許").payment_sn == PAYMENT_SN
    )  # their second bytes: 5C, 5C, 5C


@pytest.mark.parametrize(
    "named", ["utf-16", "utf-7", "latin1", "idna", "rot13", "zlib", "x" * 5000, "gbk\0", "字"]
)
def test_an_unknown_charset_is_malformed(send: Send, named: str) -> None:
    with pytest.raises(InvalidArgument):
        send(charset=named)


def test_a_charset_that_is_not_the_notices_is_malformed(send: Send) -> None:
    with pytest.raises(InvalidArgument):
        send("gbk", charset="utf-8", subject="王明")
    with pytest.raises(InvalidArgument):
        send("gbk", subject="王明")
    with pytest.raises(InvalidArgument):
        send("latin-1", charset="GBK", subject="ÿÿ")


def test_the_charset_of_the_header_counts_only_where_none_was_signed(send: Send) -> None:
    header = "content-type"
    gbk = {header: f'{FORM}; charset="GBK"'}
    assert send("gbk", gbk, subject="王明").trade.state == "paid"
    assert send("utf-8", gbk, charset="utf-8", subject="王明").trade.state == "paid"
    assert send("gbk", {header: f"{FORM};charset=utf-8"}, charset="GBK", subject="王明").trade.state == "paid"
    with pytest.raises(InvalidArgument):
        send("utf-8", {header: f"{FORM};charset=utf-16"}, subject="王明")


def test_forged_comes_before_unreadable(channel: Alipay) -> None:
    with pytest.raises(SignatureInvalid):
        channel.verify(b"sign_type=RSA2&sign=Zm9v&charset=utf-16&subject=%ff%fe", {})


# ---- what can be read in two ways ----


def test_a_field_in_a_neighbours_value_is_not_believed(channel: Alipay, provider: rsa.RSAPrivateKey) -> None:
    good = {name: value.encode() for name, value in (PAID | {"buyer_id": "2088", "charset": "utf-8"}).items()}
    for field in (
        "out_trade_no",
        "charset",
        "gmt_payment",
        "seller_id",
        "trade_no",
        "total_amount",
        "trade_status",
        "notify_id",
    ):
        names = sorted(name for name in good if good[name])
        before = names[names.index(field) - 1]
        sent = dict(good)
        sent[before] += b"&%b=%b" % (field.encode(), sent.pop(field))
        told = channel.verify(signed(provider, good, sent), {})
        assert (told.payment_sn, told.trade, told.is_refund) == (PAYMENT_SN, Trade(TradeState.UNKNOWN), False)
        assert told.ambiguous == field


@pytest.mark.parametrize(
    "subject", ["a&b=c", "R&D", "a&trade_no", "a&Trade_No=1", "a;trade_no=1", "&=", "&&"]
)
def test_other_ampersands_are_just_text(send: Send, subject: str) -> None:
    assert send(subject=subject) == Notice(PAYMENT_SN, send().trade)


@pytest.mark.parametrize(
    "tail",
    [
        b"&total%5Famount=0.01",
        b"&total_amount%3D0.01=1",
        b"&%74rade_no=1",
        b"&=1",
        b"&a%00b=1",
        b"&a b=1",
        b"&a=%zz",
        b"&a=%4",
        b"&a=\xe4",
        b"&a=b c",
        b"&a",
        b"&",
        b"\r\n",
        b"&total_amount=",
        b"&" + b"k" * 65 + b"=1",
    ],
)
def test_whatever_two_readers_could_read_differently_is_malformed(
    channel: Alipay, provider: rsa.RSAPrivateKey, tail: bytes
) -> None:
    good = {name: value.encode() for name, value in PAID.items()}
    with pytest.raises(InvalidArgument):
        channel.verify(signed(provider, good) + tail, {})


def test_a_hundred_fields_are_read_and_no_more(channel: Alipay, provider: rsa.RSAPrivateKey) -> None:
    good = {name: value.encode() for name, value in PAID.items()}
    more = {f"x{n}": b"1" for n in range(100 - len(PAID) - 2)}
    assert channel.verify(signed(provider, good | more), {}).trade.state == "paid"
    with pytest.raises(InvalidArgument):
        channel.verify(signed(provider, good | more | {"y": b"1"}), {})


# ---- fields that are there and say nothing ----


@pytest.mark.parametrize(
    "nothing",
    [
        {"refund_fee": "0.00"},
        {"refund_fee": "0"},
        {"refund_fee": "0.0", "gmt_refund": "", "out_biz_no": "R1"},
        {"gmt_refund": ""},
        {"refund_fee": "", "gmt_refund": "", "out_biz_no": ""},
        {"refund_fee": "0.00", "gmt_refund": "2026-11-21 09:00:00"},
    ],
)
def test_a_refund_of_nothing_is_none(send: Send, nothing: dict[str, str]) -> None:
    told = send(**nothing)
    assert (told.is_refund, told.trade.state) == (False, "paid")


@pytest.mark.parametrize("some", [{"refund_fee": "0.01"}, {"gmt_refund": "2026-11-21 09:00:00.290"}])
def test_a_refund_of_something_is_one(send: Send, some: dict[str, str]) -> None:
    told = send(out_biz_no="R1", **some)
    assert (told.is_refund, told.out_refund_no) == (True, "R1")
    assert send(**some).out_refund_no == "", "a refund on the provider's own site has no number of ours"


# ---- bounds ----

DATES = ("gmt_payment", "gmt_create", "gmt_close", "gmt_refund", "notify_time")


@pytest.mark.parametrize("field", DATES)
@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01 00:00:00",
        "0000-00-00 00:00:00",
        "1960-01-01 00:00:00",
        "1999-12-31 23:59:59",
        "2101-01-01 00:00:00",
        "9999-12-31 23:59:59",
        "2026-02-30 00:00:00",
        "2026-11-21T08:00:05",
        "2026-11-21",
        "２０２６-11-21 08:00:05",
        "yesterday",
        "1795219205000",
        "9" * 5000,
    ],
)
def test_a_time_that_can_not_be_is_a_mismatch(send: Send, field: str, moment: str) -> None:
    with pytest.raises(AmountMismatch) as wrong:
        send(**{field: moment})
    assert wrong.value.details["what"] == field


@pytest.mark.parametrize("moment", ["2000-01-01 00:00:00", "2100-12-31 23:59:59"])
def test_a_time_at_the_bounds_is_taken(send: Send, moment: str) -> None:
    assert send(gmt_payment=moment).trade.paid_ms > 0


@pytest.mark.parametrize(
    "field", ["total_amount", "receipt_amount", "invoice_amount", "buyer_pay_amount", "refund_fee"]
)
@pytest.mark.parametrize(
    "amount", ["100000000.01", "9" * 15, "9" * 5000, "-0.01", "1e3", "٣", "0x1", " 1", "1,000.00"]
)
def test_an_amount_that_can_not_be_is_a_mismatch(send: Send, field: str, amount: str) -> None:
    with pytest.raises(AmountMismatch):
        send(**{field: amount})


def test_amounts_at_the_bounds(send: Send) -> None:
    assert send(total_amount="100000000.00").trade.amount_fen == 10**10
    assert send(total_amount="0.01").trade.amount_fen == 1
    with pytest.raises(AmountMismatch):
        send(total_amount="0.00")


@pytest.mark.parametrize("trade_no", ["T" * 65, "T" * 5000, "T\0", "T\n", "T 1", "单号", ""])
@pytest.mark.parametrize("status", ["TRADE_SUCCESS", "TRADE_FINISHED"])
def test_what_is_no_number_of_a_trade_is_a_mismatch(send: Send, trade_no: str, status: str) -> None:
    with pytest.raises(AmountMismatch):
        send(trade_no=trade_no, trade_status=status)


def test_a_number_at_the_bounds(send: Send) -> None:
    assert send(trade_no="~" * 63 + "!").trade.trade_no == "~" * 63 + "!"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("out_trade_no", "P" * 65),
        ("out_trade_no", "' OR 1=1"),
        ("out_trade_no", "P\0"),
        ("notify_id", "n" * 129),
    ],
)
def test_a_name_that_can_not_be_is_a_mismatch(send: Send, field: str, value: str) -> None:
    with pytest.raises(AmountMismatch):
        send(**{field: value})
