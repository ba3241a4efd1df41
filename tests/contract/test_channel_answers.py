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

from shop_order.domain.ports import Trade
from shop_order.gateway.payment.alipay import Alipay, AlipaySettings

PAYMENT_SN, REFUND_SN = "P261121080000000000000000001", "R261121080000000000000000001"
PAID = {
    "code": "10000",
    "out_trade_no": PAYMENT_SN,
    "trade_no": "2026112122001",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "19.99",
}
TIMEOUT_S = 0.3


@pytest.fixture(scope="module")
def provider() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signed(key: rsa.RSAPrivateKey, method: str, node: object) -> str:
    text = json.dumps(node)
    sign = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    return f'{{"alipay_{method}_response":{text},"sign":"{sign}"}}'


@asynccontextmanager
async def asking(
    provider: rsa.RSAPrivateKey, folder: Path, answers: Callable[[str], str], pause_s: float = 0.0
) -> AsyncIterator[Alipay]:
    """The channel before a gateway that gives `answers` by the method asked, a byte every `pause_s`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        asked = (await reader.readexactly(length)).decode()
        body = answers(asked.split("method=alipay.")[1].split("&")[0]).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body))
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
        assert await channel.query(PAYMENT_SN) == Trade("paid", "2026112122001", 1999)


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
    async with asking(provider, tmp_path, lambda _: answer) as channel:
        assert await channel.query(PAYMENT_SN) == Trade("unknown")


@pytest.mark.parametrize("method", ["trade_query", "trade_close", "trade_refund"])
async def test_an_answer_about_another_trade_is_no_answer(
    provider: rsa.RSAPrivateKey, tmp_path: Path, method: str
) -> None:
    other = PAID | {"out_trade_no": "P9", "fund_change": "Y"}

    def replayed(asked: str) -> str:
        return signed(provider, asked.replace(".", "_"), other)

    async with asking(provider, tmp_path, replayed) as channel:
        if method == "trade_refund":
            answer = await channel.refund(
                payment_sn=PAYMENT_SN, refund_sn=REFUND_SN, amount_fen=1, reason="late"
            )
            assert answer == "unknown"
        else:
            ask = channel.query if method == "trade_query" else channel.close
            assert await ask(PAYMENT_SN) == Trade("unknown")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"out_request_no": REFUND_SN, "refund_status": "REFUND_SUCCESS"}, "succeeded"),
        ({"out_request_no": REFUND_SN}, "unknown"),
        ({"out_request_no": "R9", "refund_status": "REFUND_SUCCESS"}, "unknown"),
        ({}, "unknown"),
    ],
)
async def test_money_is_back_only_if_the_provider_says_so(
    provider: rsa.RSAPrivateKey, tmp_path: Path, found: dict[str, str], said: str
) -> None:
    def answers(asked: str) -> str:
        about = {"fund_change": "N"} if asked == "trade.refund" else found
        node = {"code": "10000", "out_trade_no": PAYMENT_SN} | about
        return signed(provider, asked.replace(".", "_"), node)

    async with asking(provider, tmp_path, answers) as channel:
        answer = await channel.refund(payment_sn=PAYMENT_SN, refund_sn=REFUND_SN, amount_fen=1, reason="late")
    assert answer == said


async def test_an_answer_that_drips_ends_with_the_time_allowed(
    provider: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    slow = TIMEOUT_S / 3  # each byte comes in time, the whole would take a minute
    async with asking(provider, tmp_path, lambda _: signed(provider, "trade_query", PAID), slow) as channel:
        async with asyncio.timeout(5):
            assert await channel.query(PAYMENT_SN) == Trade("unknown")
