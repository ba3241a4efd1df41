"""The port: health, reflection, TLS, what is later, start and stop."""

import asyncio
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.shop import neighbours_pb2
from shop_order.pkg.grpc.server import CannotListen, ServerTls
from shop_order.web.auth.roles import ROLES
from shop_order.web.grpc import chain
from shop_order.web.grpc.server import GrpcSettings
from tests.component.grpc.stubs import ADMIN, SERVICE, SN, World, bearer

pytestmark = pytest.mark.usefixtures("transport")

SERVICES = (
    "order.OrderService",
    "shop.order.Order",
    "shop.neighbours.ReservationCheck",
    "shop.neighbours.EventInbox",
)


@pytest.mark.parametrize("name", ["", "health", *SERVICES])
async def test_health_knows_each_service(world: World, name: str) -> None:
    request = health_pb2.HealthCheckRequest(service=name)
    answer = await world.call("/grpc.health.v1.Health/Check", request, health_pb2.HealthCheckResponse, ())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_everything_that_is_served_has_a_row(world: World) -> None:
    served = {
        f"/{methods.service}/{name}"
        for methods in world.methods()
        for name in (*methods.unary, *methods.server_streams, *methods.bidi_streams)
    }
    assert served == {name for name in ROLES if name.startswith(("/order.", "/shop."))}


async def test_stop_says_not_serving_and_is_not_held_up_by_a_watch() -> None:
    world = World()
    server = world.server()
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        seen = [(await watch.read()).status]
        started = asyncio.get_running_loop().time()
        stopping = asyncio.create_task(server.stop(5))
        seen.append((await watch.read()).status)
        await stopping
        assert asyncio.get_running_loop().time() - started < 2
    assert seen == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]


async def test_an_accepted_call_is_answered_before_the_stop() -> None:
    world = World()
    server = world.server()
    world.port = await server.start()
    world.orders.delay_s = 0.3
    ask = pb.CheckOrderStatusRequest(order_sn=SN)
    call = asyncio.create_task(
        world.call("/order.OrderService/CheckOrderStatus", ask, pb.OrderStatusResponse)
    )
    await world.orders.busy.wait()
    await server.stop(5)
    assert (await call).order_sn == SN


async def test_a_taken_port_is_said_clearly_and_once(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    second = World(settings=GrpcSettings(port=world.port)).server()
    with pytest.raises(CannotListen, match=f"127.0.0.1:{world.port}"):
        await second.start()
    assert capfd.readouterr().err == ""


async def reflected(port: int, metadata: Any = ()) -> list[str]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), metadata=metadata
        )
        return [s.name async for answer in call for s in answer.list_services_response.service]


async def refused_reflection(port: int, metadata: Any = ()) -> StatusCode:
    """Why a caller gets none. It sends nothing: a refusal while it writes is INTERNAL to grpc.aio."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ServerReflectionInfo(metadata=metadata).read()
    code: StatusCode = caught.value.code()
    return code


async def test_reflection_from_elsewhere_is_for_admins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "is_loopback", lambda address: False)
    assert await refused_reflection(world.port) is StatusCode.UNAUTHENTICATED
    assert await refused_reflection(world.port, bearer()) is StatusCode.PERMISSION_DENIED
    assert set(SERVICES) <= set(await reflected(world.port, ADMIN))


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
async def test_a_caller_behind_a_proxy_of_this_machine_is_not_this_machine(trusted: tuple[str, ...]) -> None:
    world = World(trusted_proxies=trusted)
    server = world.server()
    port = await server.start()
    code = await refused_reflection(port, (("x-forwarded-for", "203.0.113.9"),))
    await server.stop(0)
    assert code is StatusCode.UNAUTHENTICATED


async def test_reflection_can_be_off() -> None:
    world = World(settings=GrpcSettings(reflection=False))
    server = world.server()
    port = await server.start()
    code = await refused_reflection(port)
    await server.stop(0)
    assert code is StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (bearer(), StatusCode.UNIMPLEMENTED),
        ((), StatusCode.UNAUTHENTICATED),
        (SERVICE, StatusCode.PERMISSION_DENIED),
    ],
)
async def test_the_later_stream_too(world: World, metadata: Any, code: StatusCode) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.port}") as channel:
        stub: Any = channel.stream_stream(
            "/order.OrderService/WatchOrderStatus",
            request_serializer=pb.WatchOrderStatusRequest.SerializeToString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            # Nothing is sent: grpc.aio calls it INTERNAL when the refusal comes while it still writes.
            await stub(metadata=metadata).read()
        assert caught.value.code() is code


async def test_only_services_ask_for_verdicts(world: World) -> None:
    method = "/shop.neighbours.ReservationCheck/CheckReservations"
    asked = neighbours_pb2.OrderSns(order_sns=["another shop's", SN])
    answer = await world.call(method, asked, neighbours_pb2.Verdicts, SERVICE)
    assert [(v.order_sn, v.answer, v.until_ms) for v in answer.verdicts] == [(SN, "EXTEND", 99)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call(method, asked, neighbours_pb2.Verdicts, bearer())
    assert caught.value.code() is StatusCode.PERMISSION_DENIED


# ---- TLS ----


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        certificate = (
            builder.not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return folder


async def checked(port: int, credentials: grpc.ChannelCredentials) -> int:
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        status: int = (await stub.Check(health_pb2.HealthCheckRequest(), timeout=3)).status
        return status


async def test_tls_by_two_settings_and_mutual_by_a_third(certificates: Path) -> None:
    server_crt, server_key = certificates / "server.crt", certificates / "server.key"
    client_crt, client_key = certificates / "client.crt", certificates / "client.key"
    ca = server_crt.read_bytes()
    plain = grpc.ssl_channel_credentials(ca)
    mutual = grpc.ssl_channel_credentials(ca, client_key.read_bytes(), client_crt.read_bytes())

    one_way = World(settings=GrpcSettings(tls=ServerTls(str(server_crt), str(server_key)))).server()
    assert await checked(await one_way.start(), plain) == health_pb2.HealthCheckResponse.SERVING
    await one_way.stop(0)

    both_ways = World(
        settings=GrpcSettings(tls=ServerTls(str(server_crt), str(server_key), str(client_crt)))
    ).server()
    port = await both_ways.start()
    assert await checked(port, mutual) == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await checked(port, plain)
    assert caught.value.code() is StatusCode.UNAVAILABLE
    await both_ways.stop(0)
