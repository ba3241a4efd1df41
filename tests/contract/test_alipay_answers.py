"""What a provider's gateway may answer: believed only if it is signed, whole, in time and about our trade."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shop_order.domain.entity.payment import QrCode
from shop_order.domain.errors import AmountMismatch, ChannelUnavailable, DependencyDown
from shop_order.domain.ports import OpenRequest, RefundResult, Trade, TradeState
from shop_order.gateway.payment.alipay import Alipay, AlipaySettings
from tests.world.provider import a_refund, an_attempt

PAYMENT_SN, REFUND_SN = "P261121080000000000000000001", "R261121080000000000000000001"
PAYMENT = an_attempt(PAYMENT_SN)
REFUND = a_refund(PAYMENT, REFUND_SN)
PAID = {
    "code": "10000",
    "out_trade_no": PAYMENT_SN,
    "trade_no": "2026112122001",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "19.99",
}
TIMEOUT_S = 2.0


@pytest.fixture(scope="module")
def provider() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signed(key: rsa.RSAPrivateKey, method: str, node: object, charset: str = "utf-8") -> bytes:
    text = json.dumps(node, ensure_ascii=False).encode(charset)
    sign = base64.b64encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256()))
    return b'{"alipay_%b_response":%b,"sign":"%b"}' % (method.encode(), text, sign)


@asynccontextmanager
async def asking(
    provider: rsa.RSAPrivateKey,
    folder: Path,
    answers: Callable[[str], bytes],
    pause_s: float = 0.0,
    content_type: str = "text/html;charset=utf-8",
) -> AsyncIterator[Alipay]:
    """The channel before a gateway that gives `answers` by the method asked, a byte every `pause_s`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"POST /?charset=utf-8 HTTP/1.1"), "else the gateway reads and answers in GBK"
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        asked = (await reader.readexactly(length)).decode()
        assert "charset=" not in asked, "a parameter stands in one place"
        body = answers(asked.split("method=alipay.")[1].split("&")[0])
        about = f"connection: close\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + about.encode())
        for at in range(0, len(body), 1 if pause_s else len(body)):
            writer.write(body[at : at + 1] if pause_s else body)
            await asyncio.sleep(pause_s)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ours, theirs = folder / "ours.pem", folder / "theirs.pem"
    ours.write_bytes(
        provider.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    theirs.write_bytes(
        provider.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    settings = AlipaySettings(
        f"http://127.0.0.1:{port}/", "1", "2", ours, theirs, "http://n/", lambda: TIMEOUT_S
    )
    channel = Alipay(settings, lambda: 0, lambda *args, **about: None)
    try:
        yield channel
    finally:
        await channel.aclose()
        server.close()


async def test_a_signed_answer_is_believed(provider: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    async with asking(provider, tmp_path, lambda _: signed(provider, "trade_query", PAID)) as channel:
        assert await channel.query(PAYMENT_SN) == Trade(TradeState.PAID, "2026112122001", 1999)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "<html>bad gateway</html>",
        '[{"alipay_trade_query_response":{}}]',
        '{"alipay_trade_query_response":{},"sign":null}',
        '{"alipay_trade_query_response":{},"sign":5}',
        '{"alipay_trade_query_response":[],"sign":"AAAA"}',
        '{"alipay_trade_query_response":' + "[" * 200_000,
    ],
)
async def test_what_is_no_answer_leaves_everything_unknown(
    provider: rsa.RSAPrivateKey, tmp_path: Path, answer: str
) -> None:
    async with asking(provider, tmp_path, lambda _: answer.encode()) as channel:
        assert await channel.query(PAYMENT_SN) == Trade(TradeState.UNKNOWN)


@pytest.mark.parametrize("name", ["王*明", "誠乗許", '誠"乗\\許', "\U0001f600", "丂{丄}丅"])
@pytest.mark.parametrize(
    ("charset", "content_type"),
    [
        ("gbk", "text/html;charset=GBK"),
        ("gb18030", "text/html; charset=gb2312"),
        ("utf-8", "text/html;charset=UTF-8"),
        ("utf-8", "application/json"),
    ],
)
async def test_an_answer_is_verified_as_it_came_and_read_in_its_charset(
    provider: rsa.RSAPrivateKey, tmp_path: Path, name: str, charset: str, content_type: str
) -> None:
    if charset == "gbk" and not name[0] < "\U00010000":
        charset = "gb18030"
    answer = signed(provider, "trade_query", PAID | {"buyer_logon_id": name}, charset)
    async with asking(provider, tmp_path, lambda _: answer, content_type=content_type) as channel:
        assert await channel.query(PAYMENT_SN) == Trade(TradeState.PAID, "2026112122001", 1999)


@pytest.mark.parametrize(
    ("written", "content_type"),
    [
        ("utf-8", "text/html;charset=utf-16"),
        ("utf-8", "text/html;charset=rot13"),
        ("gbk", "text/html;charset=utf-8"),
        ("gbk", "text/html"),
    ],
)
async def test_an_answer_in_another_charset_than_it_names_is_no_answer(
    provider: rsa.RSAPrivateKey, tmp_path: Path, written: str, content_type: str
) -> None:
    answer = signed(provider, "trade_query", PAID | {"buyer_logon_id": "王*明"}, written)
    async with asking(provider, tmp_path, lambda _: answer, content_type=content_type) as channel:
        assert await channel.query(PAYMENT_SN) == Trade(TradeState.UNKNOWN)


async def test_a_changed_byte_of_a_gbk_answer_is_no_answer(
    provider: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    good = signed(provider, "trade_query", PAID | {"buyer_logon_id": "王"}, "gbk")
    changed = good.replace("王".encode("gbk"), "玉".encode("gbk"))
    async with asking(provider, tmp_path, lambda _: changed, content_type="text/html;charset=GBK") as channel:
        assert await channel.query(PAYMENT_SN) == Trade(TradeState.UNKNOWN)


async def test_a_larger_answer_than_any_is_no_answer(provider: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    large = signed(provider, "trade_query", PAID | {"body": "x" * 300_000})
    async with asking(provider, tmp_path, lambda _: large) as channel:
        assert await channel.query(PAYMENT_SN) == Trade(TradeState.UNKNOWN)


@pytest.mark.parametrize(
    "said",
    [
        {"send_pay_date": "0001-01-01 00:00:00"},
        {"send_pay_date": "9999-12-31 23:59:59"},
        {"send_pay_date": "soon"},
        {"total_amount": "0.00"},
        {"total_amount": "100000000.01"},
        {"total_amount": 19.99},
        {"total_amount": None},
        {"receipt_amount": "NaN"},
        {"trade_no": "T" * 65},
        {"trade_no": ""},
        {"trade_no": 5},
    ],
)
async def test_a_signed_answer_out_of_bounds_is_a_mismatch(
    provider: rsa.RSAPrivateKey, tmp_path: Path, said: dict[str, object]
) -> None:
    async with asking(provider, tmp_path, lambda _: signed(provider, "trade_query", PAID | said)) as channel:
        with pytest.raises(AmountMismatch):
            await channel.query(PAYMENT_SN)


@pytest.mark.parametrize("status", [[], {}, 5, None, True])
async def test_a_status_that_is_no_text_is_none(
    provider: rsa.RSAPrivateKey, tmp_path: Path, status: object
) -> None:
    answer = signed(provider, "trade_query", PAID | {"trade_status": status})
    async with asking(provider, tmp_path, lambda _: answer) as channel:
        assert await channel.query(PAYMENT_SN) == Trade(TradeState.UNKNOWN)


@pytest.mark.parametrize("method", ["trade_query", "trade_close", "trade_refund"])
async def test_an_answer_about_another_trade_is_no_answer(
    provider: rsa.RSAPrivateKey, tmp_path: Path, method: str
) -> None:
    other = PAID | {"out_trade_no": "P9", "fund_change": "Y"}

    def replayed(asked: str) -> bytes:
        return signed(provider, asked.replace(".", "_"), other)

    async with asking(provider, tmp_path, replayed) as channel:
        if method == "trade_refund":
            answer = await channel.refund(PAYMENT, REFUND)
            assert answer is RefundResult.UNKNOWN
        else:
            ask = channel.query if method == "trade_query" else channel.close
            assert await ask(PAYMENT_SN) == Trade(TradeState.UNKNOWN)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"out_request_no": REFUND_SN, "refund_status": "REFUND_SUCCESS"}, RefundResult.SUCCEEDED),
        ({"out_request_no": REFUND_SN}, RefundResult.UNKNOWN),
        ({"out_request_no": "R9", "refund_status": "REFUND_SUCCESS"}, RefundResult.UNKNOWN),
        ({}, RefundResult.UNKNOWN),
    ],
)
async def test_money_is_back_only_if_the_provider_says_so(
    provider: rsa.RSAPrivateKey, tmp_path: Path, found: dict[str, str], said: RefundResult
) -> None:
    def answers(asked: str) -> bytes:
        about = {"fund_change": "N"} if asked == "trade.refund" else found
        node = {"code": "10000", "out_trade_no": PAYMENT_SN} | about
        return signed(provider, asked.replace(".", "_"), node)

    async with asking(provider, tmp_path, answers) as channel:
        sent = await channel.refund(PAYMENT, REFUND)
        result = await channel.query_refund(REFUND)
    assert (sent, result) == (RefundResult.PROCESSING, said)


@pytest.mark.parametrize(
    ("code", "sub_code", "said"),
    [
        ("20000", "aop.ACQ.SYSTEM_ERROR", RefundResult.UNKNOWN),
        ("40004", "ACQ.SYSTEM_ERROR", RefundResult.UNKNOWN),
        ("40004", "aop.ACQ.SYSTEM_ERROR", RefundResult.UNKNOWN),
        ("40004", "ACQ.SELLER_BALANCE_NOT_ENOUGH", RefundResult.UNKNOWN),
        ("40002", "isv.invalid-signature", RefundResult.UNKNOWN),
        ("40004", "ACQ.TRADE_HAS_FINISHED", RefundResult.TOO_LATE),
        ("40004", "ACQ.TRADE_NOT_ALLOW_REFUND", RefundResult.FAILED),
        ("40004", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", RefundResult.FAILED),
        ("40004", "ACQ.DISCORDANT_REPEAT_REQUEST", RefundResult.FAILED),
        ("40004", "", RefundResult.FAILED),
    ],
)
async def test_a_refused_refund_is_final_too_late_or_sent_again(
    provider: rsa.RSAPrivateKey, tmp_path: Path, code: str, sub_code: str, said: RefundResult
) -> None:
    answer = signed(provider, "trade_refund", {"code": code, "sub_code": sub_code})
    async with asking(provider, tmp_path, lambda _: answer) as channel:
        assert await channel.refund(PAYMENT, REFUND) is said


CODE = {"code": "10000", "out_trade_no": PAYMENT_SN, "qr_code": "https://qr.alipay.com/bax0"}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (CODE, QrCode("https://qr.alipay.com/bax0")),
        ({}, DependencyDown),
        (CODE | {"out_trade_no": "P9"}, DependencyDown),
        (CODE | {"qr_code": ""}, DependencyDown),
        (CODE | {"qr_code": "a\nb"}, DependencyDown),
        (CODE | {"qr_code": "a" * 1025}, DependencyDown),
        ({"code": "20000"}, DependencyDown),
        ({"code": "40006", "sub_code": "isv.insufficient-isv-permissions"}, ChannelUnavailable),
    ],
)
async def test_a_code_to_scan_is_the_one_that_alipay_signed(
    provider: rsa.RSAPrivateKey, tmp_path: Path, node: dict[str, str], expected: object
) -> None:
    request = OpenRequest(an_attempt(PAYMENT_SN, trade_type="qr"), "苹果", 1_800_000)
    async with asking(provider, tmp_path, lambda _: signed(provider, "trade_precreate", node)) as channel:
        if isinstance(expected, QrCode):
            assert await channel.open(request) == expected
            return
        with pytest.raises(expected):  # type: ignore[call-overload]
            await channel.open(request)


async def test_an_answer_that_drips_ends_with_the_time_allowed(
    provider: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    slow = TIMEOUT_S / 3  # each byte comes in time, the whole would take a minute
    async with asking(provider, tmp_path, lambda _: signed(provider, "trade_query", PAID), slow) as channel:
        async with asyncio.timeout(5):
            assert await channel.query(PAYMENT_SN) == Trade(TradeState.UNKNOWN)
