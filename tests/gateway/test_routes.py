"""What reaches which instance, and what the gateway answers by itself."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter

import grpc.aio
import httpx
import pytest

from tests.gateway.conftest import Started
from tests.gateway.running import Nginx, call


async def test_calls_are_spread_evenly_over_three(nginx: Nginx) -> None:
    async with nginx.http() as http, nginx.channel() as channel:
        rest = Counter([(await http.get("/api/v1/orders")).json()["instance"] for _ in range(30)])
        rpc = Counter([(await call(channel))["instance"] for _ in range(30)])
    assert rest == rpc == {"a": 10, "b": 10, "c": 10}


async def test_a_request_arrives_as_it_was_sent(nginx: Nginx) -> None:
    async with nginx.http() as http:
        path = "/api/v1/orders/%E4%B8%AD%2F..%2F?page=2&s=%26"
        sent = await http.patch(path, content=b"x" * 100_000, headers={"Accept-Language": "en"})
    arrived = sent.json()
    assert (arrived["method"], arrived["body"]) == ("PATCH", 100_000)
    assert arrived["path"] == path.partition("?")[0]
    assert arrived["headers"]["accept-language"] == "en"
    assert arrived["headers"]["x-forwarded-proto"] == "https"


async def test_connections_to_instances_are_kept(nginx: Nginx) -> None:
    async with nginx.http() as http, nginx.channel() as channel:
        rest = [(await http.get("/api/v1/orders")).json() for _ in range(30)]
        assert not any("connection" in arrived["headers"] for arrived in rest)
        rpc = [await call(channel, "/order.OrderService/CancelOrder") for _ in range(30)]
    # Three instances, one worker of nginx for each of our two connections.
    for arrived in (rest, rpc):
        assert len({(one["instance"], one["peer"]) for one in arrived}) <= 6
    text = (nginx.folder / "nginx.conf").read_text("utf-8")
    # The service ends idle connections after 30 s; nginx must have left by then.
    assert "keepalive_timeout 20s;" in text.partition("upstream order_grpc")[0]


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/", 404, "NOT_FOUND"),
        ("/metrics", 404, "NOT_FOUND"),
        ("/api/../metrics", 404, "NOT_FOUND"),
        ("/console", 404, "NOT_FOUND"),
        ("/held", 404, "NOT_FOUND"),
        ("/refused/14", 404, "NOT_FOUND"),
        ("/order.OrderService/GetOrder", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_what_is_not_published_is_refused_in_the_services_envelope(
    nginx: Nginx, path: str, status: int, reason: str
) -> None:
    async with nginx.http() as http:
        answer = await http.get(path, headers={"X-Request-ID": "mine-1", "Accept-Language": "en"})
    assert answer.status_code == status
    body = answer.json()
    assert body.pop("message").isascii()
    assert body == {"code": status, "error": reason, "details": {}, "request_id": "mine-1"}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


async def test_what_can_not_be_read_is_refused_so_too(nginx: Nginx) -> None:
    async with nginx.http() as http:
        long = await http.get("/api/v1/" + "x" * 20_000)
        assert (long.status_code, long.json()["error"]) == (414, "ADDRESS_TOO_LONG")
    reader, writer = await asyncio.open_connection("localhost", nginx.port, ssl=nginx.trust())
    writer.write(b"nonsense\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    assert text.startswith("HTTP/1.1 400 ")
    assert json.loads(text.partition("\r\n\r\n")[2])["error"] == "BAD_REQUEST"


async def test_refusals_are_chinese_unless_asked_otherwise(nginx: Nginx) -> None:
    async with nginx.http() as http:
        assert (await http.get("/")).json()["message"] == "请求的路径不存在"


async def test_a_plain_request_to_a_grpc_path_harms_no_instance(nginx: Nginx) -> None:
    async with nginx.http() as http, nginx.channel() as channel:
        for _ in range(12):
            assert (await http.post("/order.OrderService/CreateOrder")).status_code == 415
        assert {(await call(channel))["instance"] for _ in range(3)} == {"a", "b", "c"}


@pytest.mark.parametrize("te", [b"", b"gzip"])
async def test_a_call_that_grpc_would_reset_harms_no_instance(nginx: Nginx, te: bytes) -> None:
    for _ in range(12):
        await call_by_hand(nginx, b"/order.OrderService/CancelOrder", te)
    async with nginx.channel() as channel:
        answers = [await call(channel, "/order.OrderService/CreateOrder") for _ in range(6)]
    assert {answer["instance"] for answer in answers} == {"a", "b", "c"}


async def test_a_call_whose_message_is_cut_short_harms_no_instance(start: Started) -> None:
    nginx = start(deadline_s=1)
    half = b"\0" + (100).to_bytes(4) + b"half"
    path = b"/order.OrderService/CancelOrder"
    await asyncio.gather(*(call_by_hand(nginx, path, b"trailers", half) for _ in range(12)))
    async with nginx.channel() as channel:
        answers = [await call(channel, "/order.OrderService/CreateOrder") for _ in range(6)]
    assert {answer["instance"] for answer in answers} == {"a", "b", "c"}


async def call_by_hand(nginx: Nginx, path: bytes, te: bytes, message: bytes = bytes(5)) -> None:
    """A gRPC call as no gRPC client sends it; back when it was answered."""
    trust = nginx.trust()
    trust.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", nginx.port, ssl=trust, server_hostname="localhost"
    )
    said = {
        b":method": b"POST", b":scheme": b"https", b":authority": b"localhost", b":path": path,
        b"content-type": b"application/grpc", **({b"te": te} if te else {}),
    }  # fmt: skip
    head = b"".join(b"\0%c%s%c%s" % (len(name), name, len(value), value) for name, value in said.items())
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
    writer.write(frame(1, 4, 1, head) + frame(0, 1, 1, message))
    async with asyncio.timeout(20):
        kind = stream = 0
        while stream != 1 or kind not in (1, 3):  # its answer's head, or a reset
            header = await reader.readexactly(9)
            kind, stream = header[3], int.from_bytes(header[5:])
            await reader.readexactly(int.from_bytes(header[:3]))
    writer.close()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


async def test_sizes_are_bounded(nginx: Nginx) -> None:
    async with nginx.http() as http:
        large = await http.post("/api/v1/orders", content=b"x" * (1024 * 1024 + 1))
        assert (large.status_code, large.json()["error"]) == (413, "BODY_TOO_LARGE")
        fits = await http.post("/api/v1/orders", content=b"x" * 1024 * 1024)
        assert fits.json()["body"] == 1024 * 1024
        wide = await http.get("/api/v1/orders", headers={"X-Wide": "x" * 20_000})
        assert (wide.status_code, wide.json()["error"]) == (431, "HEADERS_TOO_LARGE")


async def test_every_answer_carries_security_headers_once(nginx: Nginx) -> None:
    async with nginx.http() as http:
        for path in ("/api/v1/orders", "/nowhere"):
            headers = (await http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert headers["strict-transport-security"] == "max-age=31536000"
            assert headers["server"] == "nginx"  # and no version
            # The tiny instance says SAMEORIGIN: where the service has spoken, its word stands.
            frame = "SAMEORIGIN" if path.startswith("/api/") else "DENY"
            assert headers.get_list("x-frame-options") == [frame]


async def test_plain_http_is_told_where_to_go_and_keeps_its_method(nginx: Nginx) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        for port in (nginx.plain_port, nginx.port):
            told = await http.post(f"http://localhost:{port}/api/v1/orders?a=1", content=b"x")
            assert told.status_code == 308
            assert told.headers["location"] == f"{nginx.url}/api/v1/orders?a=1"


async def test_its_own_counters_are_on_a_port_of_their_own(nginx: Nginx) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        counters = await http.get(f"http://127.0.0.1:{nginx.status_port}/status")
    assert "server accepts handled requests" in counters.text


async def test_with_names_strangers_are_turned_away(start: Started) -> None:
    nginx = start(names=("api.shop.test",))
    async with nginx.http() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/api/v1/orders")
    trust = nginx.trust()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
        for host, status in (("api.shop.test", 200), ("evil.test", 421)):
            answer = await http.get(
                f"{nginx.url}/api/v1/orders",
                headers={"Host": host},
                extensions={"sni_hostname": "api.shop.test"},
            )
            assert answer.status_code == status


async def test_services_between_neighbours_are_not_published(nginx: Nginx) -> None:
    async with nginx.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "/shop.neighbours.Inventory/Reserve")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
