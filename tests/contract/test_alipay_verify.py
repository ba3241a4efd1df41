"""A provider's notice is believed only if it is signed, whole and for us."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shop_order.domain.errors import AmountMismatch, ChannelUnavailable, InvalidArgument, SignatureInvalid
from shop_order.domain.ports import Notice, Trade, TradeState
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.alipay import Alipay, AlipaySettings
from shop_order.service.channels import Channels

PAYMENT_SN = "P261121080000000000000000001"
PAID = {
    "app_id": "2021000000000001",
    "seller_id": "2088000000000001",
    "out_trade_no": PAYMENT_SN,
    "trade_no": "2026112122001",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "19.99",
    "gmt_payment": "2026-11-21 08:00:05",
    "notify_id": "n1",
    "passback_params": "",
    "subject": "订单 + 100%",
}


@pytest.fixture(scope="module")
def provider() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def channel(provider: rsa.RSAPrivateKey, tmp_path: Path) -> Alipay:
    private = provider.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = provider.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    ours, theirs = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    ours.write_bytes(private)
    theirs.write_bytes(public)
    settings = AlipaySettings(
        "http://127.0.0.1:9/",
        PAID["app_id"],
        PAID["seller_id"],
        ours,
        theirs,
        "http://127.0.0.1:9/n",
        lambda: 1.0,
    )
    return Alipay(settings, lambda: 0, lambda *args, **about: None)


def signed(
    key: rsa.RSAPrivateKey, hash: hashes.HashAlgorithm | None = None, **changed: str
) -> dict[str, str]:
    """A notice as the provider signs it: over its fields that are not empty, sorted, without sign_type."""
    fields = PAID | changed
    text = "&".join(f"{name}={value}" for name, value in sorted(fields.items()) if value)
    sign = key.sign(text.encode(), padding.PKCS1v15(), hash or hashes.SHA256())
    return fields | {"sign_type": "RSA2", "sign": base64.b64encode(sign).decode()}


def body(fields: dict[str, str]) -> bytes:
    return urlencode(fields).encode()


def test_a_signed_notice_tells_of_the_trade(channel: Alipay, provider: rsa.RSAPrivateKey) -> None:
    paid_ms = 1_795_219_205_000
    assert channel.verify(body(signed(provider)), {}) == Notice(
        PAYMENT_SN, Trade(TradeState.PAID, "2026112122001", 1999, paid_ms)
    )


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("TRADE_SUCCESS", "paid"),
        ("TRADE_FINISHED", "paid"),
        ("TRADE_CLOSED", "closed"),
        ("WAIT_BUYER_PAY", "waiting"),
        ("trade_success", "unknown"),
        ("", "unknown"),
    ],
)
def test_what_a_status_means(channel: Alipay, provider: rsa.RSAPrivateKey, status: str, state: str) -> None:
    assert channel.verify(body(signed(provider, trade_status=status)), {}).trade.state == state


def test_a_refunds_notice_is_none_of_a_payment(channel: Alipay, provider: rsa.RSAPrivateKey) -> None:
    assert channel.verify(body(signed(provider, refund_fee="19.99")), {}).is_refund
    assert channel.verify(body(signed(provider, gmt_refund="2026-11-21 09:00:00.0")), {}).is_refund


@pytest.mark.parametrize(("blank", "charset"), [(" \r\n\t", "utf-8"), ("\u3000", "utf-8"), ("\u3000", "GBK")])
def test_a_value_of_blanks_is_neither_signed_nor_read(
    channel: Alipay, provider: rsa.RSAPrivateKey, blank: str, charset: str
) -> None:
    """Alipay's own library takes it for empty; so whoever adds one changes nothing."""
    notice = signed(provider, subject="", charset=charset) | {"refund_fee": blank, "passback_params": blank}
    assert not channel.verify(urlencode(notice, encoding=charset).encode(), {}).is_refund
    with pytest.raises(SignatureInvalid):
        channel.verify(body(notice | {"passback_params": "\u00a0"}), {})


@pytest.mark.parametrize("field", sorted(PAID))
def test_every_field_is_covered_by_the_signature(
    channel: Alipay, provider: rsa.RSAPrivateKey, field: str
) -> None:
    notice = signed(provider)
    notice[field] += "1"
    with pytest.raises(SignatureInvalid):
        channel.verify(body(notice), {})


def test_another_key_another_hash_or_no_signature_is_forged(
    channel: Alipay, provider: rsa.RSAPrivateKey
) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = signed(provider)
    for forged in (
        signed(other),
        signed(provider, hashes.SHA1()),
        signed(provider, hashes.SHA512()),
        good | {"sign_type": "RSA"},
        good | {"sign": ""},
        good | {"sign": "not base64!"},
        {name: value for name, value in good.items() if name != "sign"},
        {name: value for name, value in good.items() if name != "sign_type"},
    ):
        with pytest.raises(SignatureInvalid):
            channel.verify(body(forged), {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("app_id", "2021000000000002"),
        ("seller_id", "2088000000000002"),
        ("app_id", ""),
        ("seller_id", ""),
        ("total_amount", ""),
        ("total_amount", "19.999"),
        ("total_amount", "NaN"),
        ("total_amount", "1e400"),
    ],
)
def test_a_signed_notice_that_is_not_for_us_or_names_no_amount_is_a_mismatch(
    channel: Alipay, provider: rsa.RSAPrivateKey, field: str, value: str
) -> None:
    with pytest.raises(AmountMismatch):
        channel.verify(body(signed(provider, None, **{field: value})), {})


@pytest.mark.parametrize("tail", [b"&app_id=2021000000000001", b"&trade_status=TRADE_CLOSED", b"&sign=x"])
def test_a_key_twice_is_malformed(channel: Alipay, provider: rsa.RSAPrivateKey, tail: bytes) -> None:
    with pytest.raises(InvalidArgument):
        channel.verify(body(signed(provider)) + tail, {})


@pytest.mark.parametrize("bytes_sent", [b"\xff\xfe", b"not a form", b"a=1&&b", b"&".join([b"a=1"] * 101)])
def test_what_no_provider_sends_is_malformed(channel: Alipay, bytes_sent: bytes) -> None:
    with pytest.raises(InvalidArgument):
        channel.verify(bytes_sent, {})


def test_without_keys_the_channel_is_not_available(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    channel = Alipay(
        AlipaySettings("", "a", "s", missing, missing, "", lambda: 1.0),
        lambda: 0,
        lambda *args, **about: None,
    )
    assert not channel.available()
    with pytest.raises(ChannelUnavailable):
        Channels({PaymentType.ALIPAY: channel}).choose(PaymentType.ALIPAY, "page")
    with pytest.raises(ChannelUnavailable):
        channel.verify(b"sign_type=RSA2&sign=x", {})
