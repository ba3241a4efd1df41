"""What the page at `/` shows to developers beside REST."""

from __future__ import annotations

from urllib.parse import urlsplit

from shop_order.configs import Settings
from shop_order.web.handler.landing import Places

EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to name one of them
SIMULATED = "/alipay/gateway.do"  # the path of the sandbox's gateway; the provider's own is another


def places(settings: Settings, grpc_port: int) -> Places:
    """The gRPC port, and the sandbox if payments go there; nothing in production."""
    if settings.app.env == "production":
        return Places()
    server, gateway = settings.server, urlsplit(settings.pay.alipay.gateway)
    host = server.advertise_host or server.host
    host = EVERY_ADDRESS.get(host, host)
    sandbox = f"{gateway.scheme}://{gateway.netloc.rpartition('@')[2]}/" if gateway.path == SIMULATED else ""
    return Places(grpc=f"[{host}]:{grpc_port}" if ":" in host else f"{host}:{grpc_port}", sandbox=sandbox)
