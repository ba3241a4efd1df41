"""A refused token in the whole Shop: the caller learns nothing, the operator why, and of which request."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from shop_order.api.proto import order_pb2 as pb
from shop_order.pkg.log import LogConfig, Logging
from tests.component.abuse.calls import ORDER, Scene
from tests.component.abuse.tokens import claims_of, rsa_key, secret_of
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")


async def test_the_log_says_why_a_token_was_refused(tmp_path: Path) -> None:
    logging = Logging(LogConfig(filename=str(tmp_path / "order.log"), stdout=False))
    try:
        async with Shop(tmp_path) as shop:
            scene, now_s = Scene(shop, 7), int(time.time())
            secret = secret_of(scene)
            bad = {
                "expired": jwt.encode(claims_of(scene, iat=now_s - 700, exp=now_s - 100), secret),
                "audience": jwt.encode(claims_of(scene, aud="another"), secret),
                "missing_claim": jwt.encode(claims_of(scene, "exp"), secret),
                "algorithm": jwt.encode(claims_of(scene), rsa_key(), algorithm="RS256"),
                "unknown_key": jwt.encode(claims_of(scene), secret, headers={"kid": "k9"}),
            }
            said = set()
            for reason, scene.bearer in bad.items():
                rest = await scene.rest("GET", "/orders", headers={"X-Request-ID": f"rest-{reason}"})
                over = await scene.grpc(
                    f"{ORDER}/ListOrders", pb.ListOrdersRequest(), x_request_id=f"grpc-{reason}"
                )
                said |= {(rest.status, rest.reason), (over.status.name, over.reason)}  # type: ignore[union-attr]
                for answer in (rest, over):
                    assert reason not in answer.said.replace(f"-{reason}", "")  # but in the id it gave itself
            assert said == {(401, "UNAUTHENTICATED"), ("UNAUTHENTICATED", "UNAUTHENTICATED")}
            counted = shop.core.metrics.text().decode()
    finally:
        logging.close()
    written = (tmp_path / "order.log").read_text()
    found: list[dict[str, Any]] = [
        json.loads(line) for line in written.splitlines() if "token_refused" in line
    ]
    assert {(line["request_id"], line["reason"]) for line in found} == {
        (f"{protocol}-{reason}", reason) for protocol in ("rest", "grpc") for reason in bad
    }
    assert not any(token in written or token.rpartition(".")[2] in written for token in bad.values())
    assert 'shop_order_tokens_refused_total{reason="expired"} 2.0' in counted
    assert 'shop_order_tokens_refused_total{reason="revoked"} 0.0' in counted
