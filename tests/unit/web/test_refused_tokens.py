"""Why a token was refused is told to the operator, and to nobody else."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from shop_order.domain.errors import Unauthenticated
from shop_order.web.auth.keys import DevKey
from shop_order.web.auth.refusals import MAX_LINES, REASONS, WINDOW_S, RefusedTokens
from shop_order.web.auth.tokens import Authenticator, TokenRules
from tests.unit.web.test_auth import (
    CLAIMS,
    ED,
    NOW_S,
    RSA,
    RSA_PEM,
    SECRET,
    forged,
    jwk,
    jwks_of,
    signed,
    without,
)

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
GOOD = signed(CLAIMS)


class Told(list[tuple[str, str]]):
    """What the operator is told."""

    def __call__(self, why: str, detail: str) -> None:
        self.append((why, detail))


class Revokes:
    """Everything is revoked."""

    generation = 0

    def covers(self, token: str, subject: str, issued_s: float) -> bool:
        return True


def why(authorization: str | None, keys: Any = None, **more: Any) -> tuple[str, str]:
    """The one thing that is told; the caller learns the same whatever it is."""
    told, repeated = Told(), more.pop("repeated", False)
    authenticator = Authenticator(
        keys or DevKey(SECRET), TokenRules(), now_s=lambda: NOW_S, on_refusal=told, **more
    )
    with pytest.raises(Unauthenticated) as refused:
        authenticator.actor(authorization, repeated=repeated)
    assert (refused.value.problem, refused.value.details) == ("", {})
    assert refused.value.__cause__ is None
    assert len(told) == 1 and told[0][0] in REASONS
    if authorization and len(authorization) > 20:
        assert authorization.partition(" ")[2] not in repr(told)
    return told[0]


@pytest.mark.parametrize(
    ("authorization", "told"),
    [
        (None, ("missing", "")),
        ("", ("missing", "")),
        ("Basic dTpw", ("scheme", "")),
        ("Bearer", ("malformed", "")),
        ("Bearer a.b.c", ("malformed", "")),
        ("Bearer " + "a" * 5000, ("malformed", "")),
        (signed(CLAIMS, {"typ": "logout+jwt"}), ("typ", "logout+jwt")),
        (signed(CLAIMS, {"jku": "https://evil/keys"}), ("header", "jku")),
        (forged({"alg": "HS256", "kid": 7}, CLAIMS, SECRET.encode()), ("header", "")),
        (forged({"alg": "none"}, CLAIMS), ("algorithm", "none")),
        (signed(CLAIMS, alg="HS512"), ("algorithm", "HS512")),
        (signed(CLAIMS, {"kid": "k" * 100}), ("unknown_key", "k" * 64)),
        (signed(CLAIMS, key="6f" * 32), ("signature", "")),
        *((signed(without(name)), ("missing_claim", name)) for name in ("iss", "aud", "exp", "sub")),
        (signed(without(iss="other")), ("issuer", "")),
        (signed(without(aud="other")), ("audience", "")),
        (signed(without("role")), ("claims", "role")),
        (signed(without(sub="-7")), ("claims", "sub")),
        (signed(without(act_for=9)), ("claims", "act_for")),
        (signed(without(role="service", sub="ops", act_for=0)), ("claims", "act_for")),
        (signed(without(exp=int(NOW_S) - 35)), ("expired", "35 s ago")),
        (signed(without(iat=int(NOW_S) + 60)), ("not_yet", "in 60 s")),
        (signed(without(nbf=int(NOW_S) + 60)), ("not_yet", "in 60 s")),
        (signed(without(exp=int(NOW_S) + 90_000)), ("lifetime", "90000 s")),
    ],
)
def test_the_reason_is_told(authorization: str | None, told: tuple[str, str]) -> None:
    assert why(authorization) == told


def test_what_was_revoked_and_what_was_sent_twice_is_told_so() -> None:
    assert why(GOOD, revoked=Revokes()) == ("revoked", "")
    assert why(GOOD, repeated=True) == ("repeated", "")
    assert why(None, repeated=True) == ("repeated", "")


async def test_keys_of_a_set_are_told_apart_from_algorithms() -> None:
    keys = await jwks_of(jwk(RSA, kid="r1"), jwk(ED, kid="e1"))
    assert why(signed(CLAIMS, {"kid": "r2"}, RSA, "RS256"), keys) == ("unknown_key", "r2")
    assert why(forged({"alg": "HS256"}, CLAIMS, RSA_PEM), keys) == ("algorithm", "HS256")
    two = await jwks_of(jwk(RSA, kid="r1"), jwk(RSA, kid="r2"))
    assert why(signed(CLAIMS, None, RSA, "RS256"), two) == ("unknown_key", "no kid, 2 keys")


# ---- one spelling ----


def parts(token: str) -> list[str]:
    return token.removeprefix("Bearer ").split(".")


@pytest.mark.parametrize("alg", ["HS256", "RS256", "EdDSA"])
async def test_only_one_spelling_of_a_token_is_believed(alg: str) -> None:
    keys: Any = DevKey(SECRET)
    token = jwt.encode(CLAIMS, SECRET, algorithm="HS256")
    if alg != "HS256":
        key = RSA if alg == "RS256" else ED
        keys = await jwks_of(jwk(key, kid="k"))
        token = jwt.encode(CLAIMS, key, algorithm=alg, headers={"kid": "k"})
    assert Authenticator(keys, TokenRules(), now_s=lambda: NOW_S).actor(f"bearer {token}").user_id == 7
    header, claims, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for bit in (1, 2, 3) if len(signature) % 4 else ():
        other = signature[:-1] + BASE64URL[BASE64URL.index(signature[-1]) ^ bit]
        assert base64.urlsafe_b64decode(other + "==") == raw, "the same bytes"
        assert why(f"Bearer {header}.{claims}.{other}", keys)[0] == "malformed"
    for spelled in (
        f"{token}=",
        f"{token}==",
        f"{token}\n",
        f"{token} ",
        f" {token}",
        f"{header}=.{claims}.{signature}",
        f"{header}.{claims}=.{signature}",
        f"{header}.{claims}.{signature[:9]}!{signature[9:]}",
        f"{header}.{claims}.{signature[:9]}\t{signature[9:]}",
        f"{token}.",
        f".{token}",
        f"{token},{token}",
        f"{token}é",
        f"{token}１",
    ):
        assert why(f"Bearer {spelled}", keys)[0] == "malformed", spelled


# ---- in few lines ----


class Log:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append({"msg": event, **fields})


def test_a_flood_is_counted_and_fills_no_log() -> None:
    log, counted, now = Log(), list[str](), [100.0]
    refused = RefusedTokens(log, counted.append, lambda: now[0])
    for _ in range(1000):
        refused("signature", "")
    assert len(log.lines) == MAX_LINES
    refused("expired", "5 s ago")
    assert log.lines[-1] == {"msg": "token_refused", "reason": "expired", "detail": "5 s ago", "unlogged": 0}
    now[0] += WINDOW_S
    refused("signature", "")
    refused("signature", "")
    assert [line["unlogged"] for line in log.lines[-2:]] == [1000 - MAX_LINES, 0]
    assert (counted.count("signature"), counted.count("expired")) == (1002, 1)


def test_who_brings_no_token_is_counted_only() -> None:
    log, counted = Log(), list[str]()
    RefusedTokens(log, counted.append, time.monotonic)("missing", "")
    assert (log.lines, counted) == ([], ["missing"])


def test_every_reason_is_explained() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tokens.md").read_text("utf-8")
    table = page[page.index("| reason | meaning |") :]
    assert set(re.findall(r"`([a-z_]+)`", "".join(line.split("|")[1] for line in table.splitlines()))) == set(
        REASONS
    )
