"""The gateway of `make stack`: it answers whether instances are behind it or not, and counts."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import grpc.aio
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.stack import nginx

ASKED = 20


def root_of(engine: str) -> bytes:
    """Its certificate stands for itself; the stack may be another checkout's."""
    at = urlsplit(engine)
    assert at.hostname and at.port
    return ssl.get_server_certificate((at.hostname, at.port)).encode()


async def test_it_answers_over_https_and_counts(engine: str) -> None:
    before = nginx.requests()
    trust = ssl.create_default_context(cadata=root_of(engine).decode())
    async with httpx.AsyncClient(
        base_url=engine.replace("nginx:", "https:"), verify=trust, trust_env=False
    ) as http:
        for number in range(ASKED):
            answer = await http.get("/healthz", headers={"X-Request-ID": f"stack-{number}"})
            assert answer.status_code in (200, 503)  # 503: `make run-stack` is not running
            assert answer.headers["x-request-id"] == f"stack-{number}"
            assert "strict-transport-security" not in answer.headers
    assert nginx.requests() - before >= ASKED


async def test_it_answers_over_grpc_on_the_same_port(engine: str) -> None:
    credentials = grpc.ssl_channel_credentials(root_of(engine))
    async with grpc.aio.secure_channel(urlsplit(engine).netloc, credentials) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service="health"), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "idempotency key" in (error.details() or "")
