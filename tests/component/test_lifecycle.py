"""The whole service as operators see it: health, TLS, stop, request ids, languages, metrics, logs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import shop_sandbox.grpc_server as neighbours
from shop_order.api.client import NotFound, OrderClient, Retry, Unavailable, new_order_client
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from tests.faults.processes import SANDBOX, SERVICE, Processes
from tests.shop import ADDRESS, Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")

ORDERS = "/api/v1/orders"
NO_ORDER = "251123140000000000001234563"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
OURS = (
    "order.OrderService",
    "shop.order.Order",
    "shop.neighbours.ReservationCheck",
    "shop.neighbours.EventInbox",
)
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


def new_order(**more: Any) -> pb.CreateOrderRequest:
    """One of goods 101."""
    return pb.CreateOrderRequest(
        items=[pb.OrderItemRequest(product_id=101, quantity=1)],
        address=pb.AddressInfo(**ADDRESS),
        **more,
    )


def orders(shop: Shop) -> Any:
    """A stub of specification 9.1."""
    assert shop.channel is not None
    return OrderServiceStub(shop.channel)


async def health(shop: Shop, service: str) -> int:
    """What the standard health service says of it."""
    assert shop.channel is not None
    check = health_pb2_grpc.HealthStub(shop.channel).Check
    status: int = (await check(health_pb2.HealthCheckRequest(service=service))).status
    return status


# ---- health and stop ----


@pytest.mark.parametrize("service", ["", "health", "grpc.health.v1.Health", *OURS])
async def test_health_knows_every_service(shop: Shop, service: str) -> None:
    assert await health(shop, service) == SERVING


async def test_while_stopping_it_is_not_ready_but_still_answers(tmp_path: Path) -> None:
    async with Shop(tmp_path, SERVER__STOP_WAIT_S="1.5") as shop:
        assert (await shop.http.get("/readyz")).status_code == 200
        stopping = asyncio.create_task(shop.stop_service())
        await asyncio.sleep(0.1)
        said = await shop.http.get("/readyz")
        assert (said.status_code, said.json()["status"]) == (503, "stopping")
        assert (await shop.http.get("/healthz")).status_code == 200
        assert await health(shop, "") == NOT_SERVING
        await shop.place()
        await orders(shop).CreateOrder(new_order(), metadata=shop.metadata())
        assert not stopping.done()
        await stopping
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient(trust_env=False).get(f"{shop.url}/readyz")


async def test_a_stop_loses_no_accepted_request(shop: Shop) -> None:
    await shop.sandbox.inventory.set_stock(101, 1_000_000)  # a quick machine sells what is on the shelf
    answered: set[str] = set()
    refused: list[str] = []
    busy, closed = asyncio.Event(), asyncio.Event()

    def note(order_sn: str) -> None:
        answered.add(order_sn)
        if len(answered) >= 16:
            busy.set()

    async def over_grpc(user: int) -> None:
        while not closed.is_set():
            try:
                info = await orders(shop).CreateOrder(new_order(), metadata=shop.metadata(user))
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error
                refused.append("grpc")
                return
            note(info.order_sn)

    async def over_rest(user: int) -> None:
        body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}
        async with httpx.AsyncClient(base_url=shop.url, timeout=20, trust_env=False) as http:
            while not closed.is_set():
                try:
                    answer = await http.post(ORDERS, json=body, headers=shop.bearer(user))
                except httpx.TransportError:
                    refused.append("rest")
                    return
                assert answer.status_code == 200, answer.text
                note(answer.json()["data"]["order_sn"])

    async with asyncio.TaskGroup() as group:
        for user in range(100, 104):
            group.create_task(over_grpc(user))
            group.create_task(over_rest(user))
        await asyncio.wait_for(busy.wait(), 30)
        await shop.stop_service()
        closed.set()
    assert {"grpc", "rest"} == set(refused)
    await shop.start_service()
    assert set(await shop.core.store.audit.order_sns("", 5000)) == answered
    await shop.check_doctor()


# ---- reflection and TLS ----


@pytest.mark.parametrize("on", [True, False])
async def test_reflection_is_a_setting(tmp_path: Path, on: bool) -> None:
    async with Shop(tmp_path, SERVER__REFLECTION=str(on).lower()) as shop:
        assert shop.channel is not None
        stub = reflection_pb2_grpc.ServerReflectionStub(shop.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        if on:
            names = {one.name async for said in call for one in said.list_services_response.service}
            assert names == {*OURS, "grpc.health.v1.Health", REFLECTION}
            return
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            [said async for said in call]
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """server.crt, client.crt and stranger.crt with their keys, each its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.now(UTC)
    for name in ("server", "client", "stranger"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(here, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        (folder / f"{name}.key").write_bytes(pem)
    return folder


async def asks(client: OrderClient) -> bool:
    """Whether the client gets through to the service."""
    async with client:
        try:
            await client.get_order_by_order_sn(NO_ORDER)
        except NotFound:
            return True
        except Unavailable:
            return False
    raise AssertionError("there is no such order")


async def test_grpc_over_tls(tmp_path: Path, certificates: Path) -> None:
    tls = {
        "SERVER__TLS_CERT": str(certificates / "server.crt"),
        "SERVER__TLS_KEY": str(certificates / "server.key"),
    }
    async with Shop(tmp_path, **tls) as shop:
        assert await asks(client_of(shop, certificates, ca="server"))
        assert not await asks(client_of(shop, certificates, ca="stranger"))
        assert not await asks(client_of(shop, certificates))


async def test_grpc_over_mutual_tls(tmp_path: Path, certificates: Path) -> None:
    tls = {
        "SERVER__TLS_CERT": str(certificates / "server.crt"),
        "SERVER__TLS_KEY": str(certificates / "server.key"),
        "SERVER__TLS_CLIENT_CA": str(certificates / "client.crt"),
    }
    async with Shop(tmp_path, **tls) as shop:
        assert await asks(client_of(shop, certificates, ca="server", own="client"))
        assert not await asks(client_of(shop, certificates, ca="server", own="stranger"))
        assert not await asks(client_of(shop, certificates, ca="server"))


def client_of(shop: Shop, certificates: Path, *, ca: str = "", own: str = "") -> OrderClient:
    """Our own client, over TLS if it has an authority to believe; `own` is the pair it shows."""
    pair = (str(certificates / f"{own}.crt"), str(certificates / f"{own}.key"))
    return new_order_client(
        shop.grpc_address,
        use_tls=bool(ca),
        cert_file=str(certificates / f"{ca}.crt") if ca else "",
        client_cert=pair if own else None,
        token=shop.token(),
        retry=Retry(attempts=1),
    )


# ---- request ids and languages ----


@pytest.fixture
async def overheard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A running Shop, and the metadata of every call its neighbours got: (method, metadata)."""
    heard: list[tuple[str, dict[str, str]]] = []
    real = neighbours._unary

    def listening(name: str, call: Any, request_type: Any) -> Any:
        answer: Any = real(name, call, request_type).unary_unary

        async def listened(raw: bytes, context: Any) -> bytes:
            heard.append((name.rpartition("/")[2], dict(context.invocation_metadata())))
            said: bytes = await answer(raw, context)
            return said

        return grpc.unary_unary_rpc_method_handler(listened)

    monkeypatch.setattr(neighbours, "_unary", listening)
    async with Shop(tmp_path) as shop:
        yield shop, heard


async def test_the_request_id_is_echoed_and_carried_to_the_neighbours(overheard: Any) -> None:
    shop, heard = overheard
    call = orders(shop).CreateOrder(new_order(), metadata=shop.metadata(x_request_id="from-grpc"))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "from-grpc"
    body = {"items": [{"goods_id": 101, "nums": 1}], "address_id": "71"}
    answer = await shop.http.post(ORDERS, json=body, headers=shop.bearer() | {"X-Request-ID": "from-rest"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (200, "from-rest")

    carried = {(method, metadata.get("x-request-id")) for method, metadata in heard}
    for wanted in ("from-grpc", "from-rest"):
        assert {("BatchGetGoods", wanted), ("Reserve", wanted)} <= carried
    assert ("GetAddress", "from-rest") in carried
    assert all(metadata["authorization"].startswith("Bearer ey") for _, metadata in heard)


async def test_refusals_carry_a_request_id_too_and_a_bad_one_is_replaced(shop: Shop) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        look = pb.GetOrderByOrderSnRequest(order_sn=NO_ORDER)
        await orders(shop).GetOrderByOrderSn(look, metadata=shop.metadata(x_request_id="mine"))
    trailing = refused.value.trailing_metadata()
    assert trailing is not None
    assert dict(trailing)["x-request-id"] == "mine"
    answer = await shop.http.get(f"{ORDERS}/{NO_ORDER}", headers=shop.bearer() | {"X-Request-ID": "a b" * 99})
    assert answer.status_code == 404
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert " " not in answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("accepted", "said"), [("", "订单"), ("zh-CN", "订单"), ("en-GB,en;q=0.9", "order"), ("xx", "订单")]
)
async def test_messages_follow_accept_language_in_both_protocols(
    shop: Shop, accepted: str, said: str
) -> None:
    language = {"accept-language": accepted} if accepted else {}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        look = pb.GetOrderByOrderSnRequest(order_sn=NO_ORDER)
        await orders(shop).GetOrderByOrderSn(look, metadata=(*shop.metadata(), *language.items()))
    answer = await shop.http.get(f"{ORDERS}/{NO_ORDER}", headers=shop.bearer() | language)
    assert said in answer.json()["message"]
    assert refused.value.details() == answer.json()["message"]


# ---- metrics and logs ----


async def test_metrics_tell_of_requests_states_outbox_and_batches(shop: Shop) -> None:
    await orders(shop).CreateOrder(new_order(), metadata=shop.metadata())
    await shop.ship((await shop.paid())["order_sn"])
    assert (await shop.http.get(f"{ORDERS}/{NO_ORDER}", headers=shop.bearer())).status_code == 404
    await shop.check_doctor()
    text = (await shop.http.get("/metrics")).text
    series = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    def count(protocol: str, method: str, code: str) -> float:
        labels = f'code="{code}",method="{method}",protocol="{protocol}"'
        return float(series[f"shop_order_request_seconds_count{{{labels}}}"])

    assert count("grpc", "/order.OrderService/CreateOrder", "OK") == 1
    assert count("rest", "POST /api/v1/orders", "200") == 1
    assert count("rest", "GET /api/v1/orders/{order_sn}", "404") == 1
    stored = {
        kind: float(series[f'shop_order_events_total{{type="{kind}"}}'])
        for kind in ("order.created", "order.paid", "order.shipped", "payment.opened")
    }
    assert stored == {"order.created": 2, "order.paid": 1, "order.shipped": 1, "payment.opened": 1}
    for batch in ("commit", "goods", "reserve"):
        assert float(series[f'shop_order_batch_size_count{{batch="{batch}"}}']) >= 2
    assert {"shop_order_outbox_waiting", "shop_order_outbox_lag_seconds"} <= set(series)
    assert NO_ORDER not in text, "a caller's text must not become a series"


async def bought_over_both(town: Processes) -> list[str]:
    """A purchase over gRPC and one over REST, with payment, shipping and refusals; their numbers."""
    user, numbers = {"Authorization": f"Bearer {town.token(7)}"}, []
    async with (
        grpc.aio.insecure_channel(town.grpc_address) as channel,
        httpx.AsyncClient(base_url=town.url, timeout=20, trust_env=False) as http,
        httpx.AsyncClient(base_url=town.sandbox_url, timeout=20, trust_env=False) as provider,
    ):
        stub: Any = OrderServiceStub(channel)
        metadata = town.metadata(7, x_request_id="from-grpc", idempotency_key="key-of-mine")
        info = await stub.CreateOrder(new_order(), metadata=metadata)
        numbers.append(info.order_sn)
        body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS, "note": "call 13800138000"}
        placed = await http.post(ORDERS, json=body, headers=user | {"X-Request-ID": "from-rest"})
        numbers.append(placed.json()["data"]["order_sn"])
        for order_sn in numbers:
            pay = await http.post(f"{ORDERS}/{order_sn}/pay", json={"payment_type": "alipay"}, headers=user)
            attempt = pay.json()["data"]
            await provider.get(attempt["payment_url"])
            await provider.post(f"/alipay/sim/{attempt['payment_sn']}/pay")
            await provider.post(f"/alipay/sim/{attempt['payment_sn']}/forge_amount")
        await http.get(info.pay_url)
        await http.get(f"{ORDERS}/{NO_ORDER}", headers={"Authorization": "Bearer not-a-token"})
        await http.post(ORDERS, content=b'{"address": {"phone": "13800138000"', headers=user)
    return numbers


async def test_the_log_of_a_purchase_leads_back_and_tells_no_secret(tmp_path: Path) -> None:
    town = Processes(tmp_path, LOG__LEVEL="debug", LOG__FILENAME="")
    try:
        await town.start(SANDBOX, SERVICE)
        by_grpc, by_rest = await bought_over_both(town)
        await town.stop(SERVICE)
    finally:
        town.end()
    text = (tmp_path / "service.out").read_text()
    lines = [orjson.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "caller", "msg"} <= line.keys() for line in lines)

    def of(request_id: str) -> Any:
        mine = [line for line in lines if line.get("request_id") == request_id]
        return [line for line in mine if line["level"] != "debug"]

    assert [line["order_sn"] for line in of("from-grpc")] == [by_grpc]
    assert [line["order_sn"] for line in of("from-rest")] == [by_rest]
    requests = [line for line in lines if line["msg"] in ("request", "grpc request")]
    assert len(requests) >= 8
    assert all(line["request_id"] for line in requests)
    notices = [line for line in requests if line.get("route", "").endswith("/notify/alipay")]
    assert {line.get("order_sn") for line in notices} >= {by_grpc, by_rest}
    assert any(line["level"] == "error" and line["msg"] == "notice_mismatch" for line in lines)

    secret = (tmp_path / "order" / "dev" / "jwt_hs256.key").read_text().strip()
    for hidden in ("13800138000", "人民路", "张三", secret, "eyJ", "sign=", "BEGIN ", "not-a-token"):
        assert hidden not in text, hidden
