"""Keys, signatures and the strict reading of calls of WeChat Pay."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shop_sandbox.payments import rsa_signing
from shop_sandbox.wechat import requests, signing
from shop_sandbox.wechat.bills import WechatLine, text
from shop_sandbox.wechat.errors import Refused
from shop_sandbox.wechat.fields import Fields, body_fields, format_time, parse_time
from shop_sandbox.wechat.keys import PlatformKey, ensure_keys

NOW_MS = parse_time("2026-11-21T08:00:00+08:00")
HEADER = (
    'WECHATPAY2-SHA256-RSA2048 mchid="1900000001",nonce_str="n",signature="c2ln",timestamp="1",serial_no="A"'
)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_keys_are_made_once_even_by_several_at_a_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(ensure_keys, [tmp_path / "dev"] * 4))
    assert (
        len({(one.merchant_serial, one.platform.serial, one.api_v3_key, one.mini_secret) for one in made})
        == 1
    )
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "dev").iterdir()}
    assert names == {
        f"wechat_{name}": 0o600
        for name in (
            "merchant_private.pem",
            "merchant_cert.pem",
            "platform_private.pem",
            "platform_cert.pem",
            "private.pem",
            "public.pem",
            "api_v3_key.txt",
            "mini_secret.txt",
        )
    }
    assert len(made[0].api_v3_key) == 32
    certificate = x509.load_pem_x509_certificate((tmp_path / "dev/wechat_merchant_cert.pem").read_bytes())
    assert f"{certificate.serial_number:X}" == made[0].merchant_serial
    again = ensure_keys(tmp_path / "dev")
    assert (again.merchant_serial, again.platform.pem) == (made[0].merchant_serial, made[0].platform.pem)


def test_a_replaced_key_gets_a_certificate_of_its_own(tmp_path: Path) -> None:
    first = ensure_keys(tmp_path)
    (tmp_path / "wechat_merchant_private.pem").unlink()
    second = ensure_keys(tmp_path)
    assert second.merchant_serial != first.merchant_serial
    assert second.platform.serial == first.platform.serial


def test_what_is_signed() -> None:
    assert signing.request_text("GET", "/v3/x?a=1", "1", "n", b"") == b"GET\n/v3/x?a=1\n1\nn\n\n"
    assert signing.request_text("POST", "/v3/x", "1", "n", b"{}") == b"POST\n/v3/x\n1\nn\n{}\n"
    assert signing.answer_text("1", "n", "一".encode()) == "1\nn\n一\n".encode()
    assert signing.pay_text("wx1", "1", "n", "prepay_id=x") == b"wx1\n1\nn\nprepay_id=x\n"


def test_only_sha256_counts(key: rsa.RSAPrivateKey) -> None:
    public = key.public_key()
    assert rsa_signing.verify(public, b"a", rsa_signing.sign(key, b"a"))
    assert not rsa_signing.verify(public, b"b", rsa_signing.sign(key, b"a"))
    for weak in (hashes.SHA1(), hashes.SHA512()):
        other = base64.b64encode(key.sign(b"a", padding.PKCS1v15(), weak)).decode()
        assert not rsa_signing.verify(public, b"a", other)
    assert not rsa_signing.verify(public, b"a", "not base64!")


def test_signed_headers_are_right_unless_wrong_on_purpose(key: rsa.RSAPrivateKey) -> None:
    def genuine(forgery: str) -> bool:
        found = signing.signed_headers(PlatformKey("S", key), b"{}", 7, forgery)
        assert (found["Wechatpay-Timestamp"], found["Wechatpay-Serial"]) == ("7", "S")
        signature = found["Wechatpay-Signature"].removeprefix(signing.PROBE)
        text = signing.answer_text("7", found["Wechatpay-Nonce"], b"{}")
        return rsa_signing.verify(key.public_key(), text, signature)

    assert [genuine(forgery) for forgery in ("", "sign", "probe")] == [True, False, False]


@pytest.mark.parametrize("associated", ["", "transaction"])
def test_what_is_sealed_can_be_opened_with_the_key_and_the_data_only(associated: str) -> None:
    found = signing.encrypted(b"k" * 32, "一".encode(), associated)
    sealed, nonce = base64.b64decode(found["ciphertext"]), found["nonce"].encode()
    assert (found["algorithm"], len(nonce), found["associated_data"]) == ("AEAD_AES_256_GCM", 12, associated)
    assert AESGCM(b"k" * 32).decrypt(nonce, sealed, associated.encode()).decode() == "一"


def test_an_authorization_has_exactly_its_fields() -> None:
    assert signing.authorization_fields(HEADER)["mchid"] == "1900000001"
    for wrong in (
        HEADER.replace("RSA2048", "SM2"),
        HEADER.replace("mchid", "mch_id"),
        HEADER + ',more="1"',
        HEADER + ',mchid="1"',
        HEADER.replace('"1"', "1"),
        HEADER.replace('",', '";'),
        HEADER.partition(",")[0],
        "",
    ):
        with pytest.raises(ValueError, match="must be"):
            signing.authorization_fields(wrong)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-21T08:00:00+08:00", "2026-11-21T08:00:00+08:00"),
        ("2026-11-21T00:00:00Z", "2026-11-21T08:00:00+08:00"),
        ("2026-11-21T08:00:00.120+08:00", "2026-11-21T08:00:00+08:00"),
    ],
)
def test_times_are_rfc_3339(text: str, same: str) -> None:
    assert format_time(parse_time(text)) == same


@pytest.mark.parametrize(
    "text", ["2026-11-21", "2026-11-21 08:00:00", "2026-11-21T08:00:00", "2026-13-21T08:00:00Z", "x", ""]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month|isoformat"):
        parse_time(text)


def body(**more: Any) -> bytes:
    wanted = {
        "appid": "wx0000000000000001",
        "mchid": "1900000001",
        "description": "订单",
        "out_trade_no": "P00-_|*001",
        "notify_url": "http://127.0.0.1:8080/n",
        "amount": {"total": 1},
        **more,
    }
    return json.dumps(wanted).encode()


def test_a_complete_order_is_understood() -> None:
    order_sn = "261121080000123456789012345"
    more: dict[str, Any] = {
        "time_expire": "2026-11-21T08:30:00+08:00",
        "attach": order_sn,
        "goods_tag": "x",
        "support_fapiao": False,
        "settle_info": {"profit_sharing": False},
        "detail": {"goods_detail": [{"merchant_goods_id": "1", "quantity": 1, "unit_price": 1}]},
        "scene_info": {"payer_client_ip": "::1", "store_info": {"id": "1"}},
    }
    found = requests.order("native", body(**more), NOW_MS)
    assert (found.amount_fen, found.expire_ms - NOW_MS, found.order_ref) == (1, 1_800_000, order_sn)
    assert requests.order("native", body(), NOW_MS).expire_ms == 0
    assert requests.order("native", body(description="字" * 127), NOW_MS).description == "字" * 127


def test_a_limit_nearer_than_a_minute_is_refused() -> None:
    with pytest.raises(Refused):
        requests.order("native", body(time_expire="2026-11-21T08:00:59+08:00"), NOW_MS)
    found = requests.order("native", body(time_expire="2026-11-21T08:01:00+08:00"), NOW_MS)
    assert found.expire_ms - NOW_MS == 60_000


@pytest.mark.parametrize("value", [None, 1, "", "a" * 9, "é\u0000", "😀", "\ud800", ["a"]])
def test_a_text_outside_its_limits_is_refused(value: object) -> None:
    with pytest.raises(Refused) as raised:
        Fields({"name": value}).text("name", 8, pattern=r"[ -~]+")
    assert raised.value.detail is not None
    assert raised.value.detail["field"] == "/name"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"a":1,"a":2}', b"\xff{}", b'{"a":NaN}'])
def test_a_body_must_be_an_object_of_json(raw: bytes) -> None:
    with pytest.raises(Refused) as raised:
        body_fields(raw).number("a", required=True)
    assert raised.value.code == "PARAM_ERROR"


def test_a_bill_keeps_every_fen_and_its_columns() -> None:
    lines = [
        WechatLine("T1", "P1", "a,b`c\nd", NOW_MS, NOW_MS, 12_345),
        WechatLine("T1", "P1", "x", NOW_MS, NOW_MS, 345, "R1", refund_id="5"),
    ]
    rows = text(lines, "ALL").decode("utf-8-sig").split("\r\n")
    head, paid, refund, _, totals, end = rows
    assert (end, len(paid[1:].split(",`")), len(refund[1:].split(",`"))) == ("", 27, 27)
    assert len(head.split(",")) == 27
    assert ",`a,b c d,`" in paid
    assert totals == "`2,`123.45,`3.45,`0.00,`0.72000,`123.45,`3.45"
