"""One JSON line a request, with its id and the caller's real address; and no secret."""

from __future__ import annotations

import grpc.aio
import pytest

from tests.gateway.conftest import Started
from tests.gateway.running import GET_ORDER, Nginx, call

KEPT = ["7f3c", "order-7/2026:11.23_a~b+c=@d", "x" * 128]
REPLACED = ["", "two words", 'quote"', "back\\slash", "x" * 129, "中"]


@pytest.mark.parametrize("given", KEPT)
async def test_a_request_id_is_kept_in_log_answer_and_service(nginx: Nginx, given: str) -> None:
    async with nginx.http() as http, nginx.channel() as channel:
        answer = await http.get("/api/v1/orders", headers={"X-Request-ID": given})
        arrived = await call(channel, "/order.OrderService/CreateOrder", x_request_id=given)
    assert answer.headers.get_list("x-request-id") == [given]
    assert answer.json()["headers"]["x-request-id"] == given
    assert arrived["headers"]["x-request-id"] == given
    assert (await nginx.log(given))["instance_status"] == "200"


@pytest.mark.parametrize("given", REPLACED)
async def test_an_id_that_could_break_a_line_is_replaced(nginx: Nginx, given: str) -> None:
    async with nginx.http() as http:
        answer = await http.get("/api/v1/orders", headers={b"X-Request-ID": given.encode()})
    made = answer.headers["x-request-id"]
    assert len(made) == 32 and made != given
    assert answer.json()["headers"]["x-request-id"] == made
    assert await nginx.log(made)


async def test_the_line_of_a_request_says_what_happened(nginx: Nginx) -> None:
    async with nginx.http() as http:
        headers = {"X-Request-ID": "line-1", "User-Agent": "shop/1", "Authorization": "Bearer secret-1"}
        await http.post("/api/v1/cashier/7?e=1&s=secret-2", content=b"secret-3", headers=headers)
    line = await nginx.log("line-1")
    assert line["time"].startswith("20")
    assert (line["address"], line["method"], line["path"]) == ("127.0.0.1", "POST", "/api/v1/cashier/7")
    assert (line["status"], line["agent"], line["protocol"]) == (200, "shop/1", "HTTP/1.1")
    assert line["tls"] == "TLSv1.3"
    assert line["seconds"] >= float(line["instance_seconds"]) - 0.01
    assert line["bytes"] > 0 and ":" in line["instance"]
    assert "secret" not in (nginx.folder / "access.json").read_text("utf-8")
    assert "secret" not in (nginx.folder / "error.log").read_text("utf-8")


async def test_the_line_of_a_call_has_its_grpc_status(nginx: Nginx) -> None:
    async with nginx.channel() as channel:
        await call(channel, x_request_id="call-0")
        for id, body in (("call-9", b"refuse"), ("call-8", b"x" * 6_000_000)):
            with pytest.raises(grpc.aio.AioRpcError):
                await call(channel, GET_ORDER, body, x_request_id=id)
    for id, status in (("call-0", "0"), ("call-9", "9"), ("call-8", "8")):
        line = await nginx.log(id)
        assert (line["grpc_status"], line["method"], line["status"]) == (status, "POST", 200)
        assert line["path"] == "/order.OrderService/GetOrder"


async def test_every_line_is_json_whatever_a_caller_sends(nginx: Nginx) -> None:
    async with nginx.http() as http, nginx.channel() as channel:
        odd = {b"X-Request-ID": b"odd-1", b"User-Agent": b'\xff"\\\x7f'}
        await http.get("/api/v1/orders", headers=odd)
        with pytest.raises(grpc.aio.AioRpcError):  # has no status at all
            await call(channel, x_request_id="odd-2", x_wide="x" * 60_000)
        await http.get("/api/v1/orders", headers={"X-Request-ID": "odd-3"})
    assert (await nginx.log("odd-1"))["agent"] == "(not ASCII)"
    assert await nginx.log("odd-3")
    assert {0, 200} <= {line["status"] for line in nginx.lines()}


async def test_what_a_caller_says_of_its_address_is_dropped(nginx: Nginx) -> None:
    lies = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Real-IP": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "X-Forwarded-Proto": "http",
        "X-Request-ID": "lie-1",
    }
    async with nginx.http() as http, nginx.channel() as channel:
        rest = (await http.get("/api/v1/orders", headers=lies)).json()["headers"]
        rpc = (await call(channel, **{name.lower(): value for name, value in lies.items()}))["headers"]
    for arrived in (rest, rpc):
        assert arrived["x-forwarded-for"] == arrived["x-real-ip"] == "127.0.0.1"
        assert arrived["x-forwarded-proto"] == "https"
        assert "forwarded" not in arrived
    assert (await nginx.log("lie-1"))["address"] == "127.0.0.1"


async def test_a_balancer_we_trust_is_believed_up_to_the_first_stranger(start: Started) -> None:
    nginx = start(trusted_proxies=("127.0.0.1", "10.0.0.0/8"))
    chain = "192.0.2.1, 203.0.113.9, 10.1.2.3"
    async with nginx.http() as http, nginx.channel() as channel:
        headers = {"X-Forwarded-For": chain, "X-Request-ID": "far-1"}
        rest = (await http.get("/api/v1/orders", headers=headers)).json()["headers"]
        rpc = (await call(channel, x_forwarded_for=chain))["headers"]
    assert rest["x-forwarded-for"] == rpc["x-forwarded-for"] == "203.0.113.9"
    assert (await nginx.log("far-1"))["address"] == "203.0.113.9"
