"""Tokens nobody should believe (rows 26 to 33)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from tests.component.abuse.acts import Act, act
from tests.component.abuse.calls import ORDER, SHOP, Answer, Scene

YEAR_9999 = 253_402_300_799


def bearing(name: str, make: Callable[[Scene], str]) -> Act:
    """Ask for one's own orders and cart with this token."""

    async def before(scene: Scene) -> None:
        scene.bearer = make(scene)

    return act(
        name,
        grpc91=lambda scene: scene.grpc(f"{ORDER}/ListOrders", pb.ListOrdersRequest()),
        grpc3=lambda scene: scene.grpc(f"{SHOP}/GetShoppingCart", shop_pb.UserInfo()),
        rest=lambda scene: scene.rest("GET", "/orders"),
    ).having(before)


def signed(*without: str, headers: dict[str, Any] | None = None, **claims: Any) -> Callable[[Scene], str]:
    """A token signed with the right development key, but for what is changed."""
    return lambda scene: jwt.encode(
        claims_of(scene, *without, **claims), secret_of(scene), algorithm="HS256", headers=headers
    )


def unsigned(scene: Scene) -> str:
    """`alg: none`, spelled out, since the library refuses to write it for a key."""
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims_of(scene))}."


def with_public_key_as_secret(scene: Scene) -> str:
    """HS256 with the PEM of the RS256 public key as its secret."""
    import hashlib
    import hmac

    head = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'k1'})}.{_part(claims_of(scene))}"
    pem = (
        rsa_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return f"{head}.{_b64(hmac.new(pem, head.encode(), hashlib.sha256).digest())}"


def rightly_signed_rs256(scene: Scene) -> str:
    """What the JWKS is for."""
    return jwt.encode(claims_of(scene), rsa_key(), algorithm="RS256", headers={"kid": "k1"})


def claims_of(scene: Scene, *without: str, **changes: Any) -> dict[str, Any]:
    """Good claims but for the changes."""
    now_s = int(time.time())
    claims = {
        "iss": "shop",
        "aud": "order-service",
        "sub": str(scene.user),
        "role": "user",
        "iat": now_s,
        "exp": now_s + 600,
    }
    return {name: value for name, value in (claims | changes).items() if name not in without}


def secret_of(scene: Scene) -> str:
    """The development key of the running service."""
    key = scene.shop.loaded.settings.auth.hs256_key
    assert key is not None
    return key.get_secret_value()


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """A signing key of the shop's identity provider."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwks() -> str:
    """The public half as the service reads it."""
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key().public_key()))
    return json.dumps({"keys": [key | {"kid": "k1", "alg": "RS256", "use": "sig"}]})


def luring(header: str) -> Act:
    """A token that asks for its key to be fetched from a server, which must never be visited."""

    async def before(scene: Scene) -> None:
        async def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            scene.kept["visits"] += 1
            writer.close()

        scene.kept["visits"] = 0
        scene.kept["server"] = server = await asyncio.start_server(visited, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/jwks.json"
        scene.bearer = jwt.encode(
            claims_of(scene), rsa_key(), algorithm="RS256", headers={header: url, "kid": "k1"}
        )

    async def after(scene: Scene, _: Answer) -> None:
        scene.kept["server"].close()
        assert scene.kept["visits"] == 0

    return bearing(header, lambda scene: "").having(before).then(after)


def _part(value: dict[str, Any]) -> str:
    return _b64(json.dumps(value).encode())


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
