"""Signatures, keys and the strict reading of a payment call."""

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shop_sandbox.alipay import fields, requests, signing
from shop_sandbox.alipay.keys import ensure_keys

NOW_MS = fields.parse_time("2026-11-21 08:00:00")


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_what_is_signed() -> None:
    parameters = {"b": "2", "a": "一 1", "sign": "s", "sign_type": "RSA2", "empty": ""}
    assert signing.request_text(parameters) == "a=一 1&b=2&sign_type=RSA2"
    assert signing.notice_text(parameters) == "a=一 1&b=2"


def test_only_sha256_counts(key: rsa.RSAPrivateKey) -> None:
    public, text = key.public_key(), "a=1"
    assert signing.verify(public, text, signing.sign(key, text))
    assert not signing.verify(public, "a=2", signing.sign(key, text))
    for weak in (hashes.SHA1(), hashes.SHA512()):
        other = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), weak)).decode()
        assert not signing.verify(public, text, other)
    assert not signing.verify(public, text, "not base64!")


def test_keys_are_made_once_even_by_several_at_a_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(ensure_keys, [tmp_path / "dev"] * 4))
    numbers = {(one.provider.private_numbers().d, one.merchant.public_numbers().n) for one in made}
    assert len(numbers) == 1
    assert len({one.certificates.provider for one in made}) == 1
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "dev").iterdir()}
    assert names == {
        "alipay_app_cert.pem": 0o600,
        "alipay_app_private.pem": 0o600,
        "alipay_app_public.pem": 0o600,
        "alipay_authority_private.pem": 0o600,
        "alipay_cert.pem": 0o600,
        "alipay_private.pem": 0o600,
        "alipay_public.pem": 0o600,
        "alipay_root_cert.pem": 0o600,
    }


@pytest.mark.parametrize("text", ["19.99", "0.01", "100000000.00"])
def test_amounts_keep_every_fen(text: str) -> None:
    assert fields.format_yuan(fields.parse_yuan(text)) == text


@pytest.mark.parametrize(
    "text", ["0.00", "1", "1.5", "1.999", "01.00", "-1.00", "1e2", "١.00", "100000000.01", 1.5, None]
)
def test_other_amounts_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        fields.parse_yuan(text)


def call(biz: dict[str, Any] | None = None, **parameters: str) -> dict[str, str]:
    wanted = {
        "out_trade_no": "P1",
        "total_amount": "19.99",
        "subject": "订单",
        "product_code": "FAST_INSTANT_TRADE_PAY",
        **(biz or {}),
    }
    return {"biz_content": json.dumps(wanted), "notify_url": "http://127.0.0.1:8080/n", **parameters}


def test_a_complete_call_is_understood() -> None:
    order_sn = "261121080000123456789012345"
    found = requests.pay_request(
        requests.PAGE_PAY, call({"time_expire": "2026-11-21 08:30:00", "passback_params": order_sn}), NOW_MS
    )
    assert (found.amount_fen, found.expire_ms - NOW_MS, found.order_ref) == (1999, 1_800_000, order_sn)


@pytest.mark.parametrize("yuan", ["0.00", "100000000.01", "99900000000.00"])
def test_an_amount_no_trade_can_have_is_refused_as_the_provider_does(yuan: str) -> None:
    with pytest.raises(requests.Refused) as raised:
        requests.pay_request(requests.PAGE_PAY, call({"total_amount": yuan}), NOW_MS)
    assert raised.value.sub_code == "ACQ.TOTAL_FEE_EXCEED"


def test_the_number_of_a_payment_is_not_taken_for_an_order() -> None:
    found = requests.pay_request(requests.PAGE_PAY, call(return_url=f"http://x/P{'1' * 27}"), NOW_MS)
    assert found.order_ref == ""


@pytest.mark.parametrize(
    "biz",
    [
        {"out_trade_no": "P-1"},
        {"out_trade_no": "P" * 65},
        {"out_trade_no": ""},
        {"out_trade_no": 1},
        {"total_amount": "19.9"},
        {"total_amount": 19.99},
        {"subject": ""},
        {"subject": "a/b"},
        {"subject": "a=b"},
        {"subject": "a&b"},
        {"subject": "字" * 257},
        {"product_code": "QUICK_WAP_PAY"},
        {"time_expire": "2026-11-21T08:30:00"},
        {"time_expire": "2026-11-21 08:00:00"},
        {"timeout_express": "16d"},
        {"timeout_express": "0m"},
    ],
)
def test_a_field_outside_its_limits_is_refused(biz: dict[str, Any]) -> None:
    with pytest.raises(requests.Refused) as raised:
        requests.pay_request(requests.PAGE_PAY, call(biz), NOW_MS)
    assert raised.value.sub_code == "ACQ.INVALID_PARAMETER"


@pytest.mark.parametrize(
    "url", ["http://example.com/n", "http://10.0.0.1/n", "ftp://127.0.0.1/n", "http://127.0.0.1.example.com/"]
)
def test_notices_go_to_this_machine_only(url: str) -> None:
    with pytest.raises(requests.Refused):
        requests.pay_request(requests.PAGE_PAY, call(notify_url=url), NOW_MS)


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(requests.Refused):
        requests.unique_parameters([("a", "1"), ("a", "1")])
