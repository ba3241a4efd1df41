"""Which tokens are believed (rows 26 to 33 of the abuse cases, and what else a token can try)."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from shop_order.domain.errors import DependencyDown, Unauthenticated
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.web.auth.keys import DevKey, Jwks, parse_key_set
from shop_order.web.auth.tokens import Authenticator, TokenRules, mint_token

SECRET = "5e" * 32
NOW_S = 1_763_900_000.0
CLAIMS: dict[str, Any] = {
    "iss": "shop",
    "aud": "order-service",
    "sub": "7",
    "role": "user",
    "iat": int(NOW_S),
    "exp": int(NOW_S) + 3600,
}
RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
RSA_PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def dev() -> Authenticator:
    return Authenticator(DevKey(SECRET), TokenRules(), now_s=lambda: NOW_S)


def signed(
    claims: dict[str, Any], header: dict[str, Any] | None = None, key: Any = SECRET, alg: str = "HS256"
) -> str:
    return "Bearer " + jwt.encode(claims, key, algorithm=alg, headers=header)


def forged(header: dict[str, Any], claims: dict[str, Any], key: bytes = b"") -> str:
    """A token put together by hand, since PyJWT refuses to make some of these."""
    body = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    )
    mac = hmac.new(key, body.encode(), hashlib.sha256).digest() if key else b""
    return f"Bearer {body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def without(*names: str, **changed: Any) -> dict[str, Any]:
    return {k: v for k, v in CLAIMS.items() if k not in names} | changed


async def jwks_of(*keys: dict[str, Any]) -> Jwks:
    async def read(location: str) -> bytes:
        return json.dumps({"keys": list(keys)}).encode()

    jwks = Jwks("https://issuer/keys", read)
    await jwks.refresh()
    return jwks


def jwk(private: Any, **more: Any) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.RSAAlgorithm if isinstance(private, rsa.RSAPrivateKey) else jwt.algorithms.OKPAlgorithm
    )
    key: dict[str, Any] = json.loads(algorithm.to_jwk(private.public_key()))
    return key | more


@pytest.mark.parametrize(
    ("claims", "actor"),
    [
        (CLAIMS, Actor(Role.USER, 7)),
        (without(role="admin"), Actor(Role.ADMIN, 7)),
        (without(role="service", sub="inventory"), Actor(Role.SERVICE, 0, "inventory")),
        (without(role="service", sub="ops", act_for=9), Actor(Role.SERVICE, 9, "ops")),
        (without(role="service", sub="ops", act_for="9"), Actor(Role.SERVICE, 9, "ops")),
        (without("iat"), Actor(Role.USER, 7)),
    ],
)
def test_the_claims_say_who_it_is(claims: dict[str, Any], actor: Actor) -> None:
    assert dev().actor(signed(claims)) == actor


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt"])
def test_types_that_are_tokens(typ: str) -> None:
    assert dev().actor(signed(CLAIMS, {"typ": typ})).user_id == 7


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(None, id="row 26: none"),
        pytest.param("", id="row 26: empty"),
        pytest.param("Basic dTpw", id="row 26: another scheme"),
        pytest.param("Bearer ", id="row 26: no token"),
        pytest.param("Bearer a.b.c", id="not base64"),
        pytest.param("Bearer " + "a" * 5000, id="too long"),
        pytest.param(signed(without(exp=int(NOW_S) - 1)), id="row 27: expired"),
        pytest.param(forged({"alg": "none"}, CLAIMS), id="row 28: alg none"),
        pytest.param(forged({"alg": "None", "typ": "JWT"}, CLAIMS), id="row 28: alg None"),
        pytest.param(signed(CLAIMS, {"kid": "../../etc/passwd"}), id="row 30: a path as kid"),
        pytest.param(
            forged({"alg": "HS256", "kid": 7}, CLAIMS, SECRET.encode()), id="row 30: a number as kid"
        ),
        pytest.param(signed(CLAIMS, {"jku": "https://evil/keys"}), id="row 31: jku"),
        pytest.param(signed(CLAIMS, {"x5u": "https://evil/cert"}), id="row 31: x5u"),
        pytest.param(signed(CLAIMS, {"jwk": {"kty": "oct", "k": "AA"}}), id="row 31: its own key"),
        pytest.param(signed(without(aud="other")), id="row 32: aud"),
        pytest.param(signed(without(iss="other")), id="row 32: iss"),
        *[
            pytest.param(signed(without(name)), id=f"row 32: no {name}")
            for name in ("iss", "aud", "exp", "sub")
        ],
        pytest.param(signed(without(exp=253_402_300_799)), id="row 33: the year 9999"),
        pytest.param(signed(without("iat", exp=int(NOW_S) + 90_000)), id="row 33: too long from now"),
        pytest.param(signed(without(iat=int(NOW_S) - 86_000)), id="row 33: too long in all"),
        pytest.param(signed(without(iat=int(NOW_S) + 60)), id="issued later"),
        pytest.param(signed(without(nbf=int(NOW_S) + 60)), id="not yet"),
        pytest.param(forged({"alg": "HS256"}, without(exp=float("inf")), SECRET.encode()), id="exp infinite"),
        pytest.param(forged({"alg": "HS256"}, without(exp=float("nan")), SECRET.encode()), id="exp NaN"),
        pytest.param(forged({"alg": "HS256"}, without(exp=True), SECRET.encode()), id="exp true"),
        pytest.param(
            forged({"alg": "HS256", "crit": ["b64"], "b64": True}, CLAIMS, SECRET.encode()), id="crit"
        ),
        pytest.param(signed(CLAIMS, {"typ": "logout+jwt"}), id="another kind of token"),
        pytest.param(signed(CLAIMS, key="6f" * 32), id="another key"),
        pytest.param(signed(CLAIMS, alg="HS512"), id="another algorithm with the same key"),
        pytest.param(signed(without("role")), id="no role"),
        pytest.param(signed(without(role="system")), id="ourselves"),
        pytest.param(signed(without(role="root")), id="a role nobody knows"),
        pytest.param(signed(without(sub="0")), id="user 0"),
        pytest.param(signed(without(sub="-7")), id="a negative user"),
        pytest.param(signed(without(sub="٧")), id="a digit of another script"),
        pytest.param(signed(without(sub="9" * 19)), id="beyond int64"),
        pytest.param(signed(without(act_for=9)), id="a user who acts for another"),
        pytest.param(signed(without(role="service", sub="ops", act_for=0)), id="acting for nobody"),
        pytest.param(signed(without(role="service", sub="ops", act_for=True)), id="acting for true"),
        pytest.param(signed(without(role="service", sub="a b")), id="a service with a blank"),
    ],
)
def test_a_token_that_is_not_believed(authorization: str | None) -> None:
    with pytest.raises(Unauthenticated):
        dev().actor(authorization)


def test_a_header_nested_beyond_reason_is_only_refused() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 2500).decode().rstrip("=")
    with pytest.raises(Unauthenticated):
        dev().actor(f"Bearer {nested}.e30.AA")


async def test_keys_of_the_issuer_by_id() -> None:
    authenticator = Authenticator(
        await jwks_of(jwk(RSA, kid="r1"), jwk(ED, kid="e1")), TokenRules(), now_s=lambda: NOW_S
    )
    assert authenticator.actor(signed(CLAIMS, {"kid": "r1"}, RSA, "RS256")).user_id == 7
    assert authenticator.actor(signed(CLAIMS, {"kid": "e1"}, ED, "EdDSA")).user_id == 7
    assert authenticator.actor(signed(CLAIMS, None, RSA, "RS256")).user_id == 7  # no choice of keys


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(
            forged({"alg": "HS256", "kid": "r1"}, CLAIMS, RSA_PEM), id="row 29: the public key as a secret"
        ),
        pytest.param(forged({"alg": "HS256"}, CLAIMS, RSA_PEM), id="row 29: without a kid"),
        pytest.param(signed(CLAIMS, {"kid": "r2"}, RSA, "RS256"), id="an unknown kid"),
        pytest.param(signed(CLAIMS, {"kid": "e1"}, RSA, "RS256"), id="the kid of another algorithm"),
        pytest.param(signed(CLAIMS, {"kid": "r1"}, RSA, "PS256"), id="another padding"),
    ],
)
async def test_algorithms_are_not_confused(authorization: str) -> None:
    authenticator = Authenticator(
        await jwks_of(jwk(RSA, kid="r1"), jwk(ED, kid="e1")), TokenRules(), now_s=lambda: NOW_S
    )
    with pytest.raises(Unauthenticated):
        authenticator.actor(authorization)


async def test_without_a_key_id_there_must_be_no_choice() -> None:
    other = rsa.generate_private_key(65537, 2048)
    keys = await jwks_of(jwk(RSA, kid="r1"), jwk(other, kid="r2"))
    with pytest.raises(Unauthenticated):
        Authenticator(keys, TokenRules(), now_s=lambda: NOW_S).actor(signed(CLAIMS, None, RSA, "RS256"))


def test_until_the_keys_were_read_nobody_is_refused_for_good() -> None:
    authenticator = Authenticator(Jwks("https://issuer/keys"), TokenRules(), now_s=lambda: NOW_S)
    with pytest.raises(DependencyDown):
        authenticator.actor(signed(CLAIMS, {"kid": "r1"}, RSA, "RS256"))


async def test_a_key_that_was_withdrawn_ends_what_was_remembered() -> None:
    sets = [[jwk(RSA, kid="r1")], [jwk(ED, kid="e1")]]

    async def read(location: str) -> bytes:
        return json.dumps({"keys": sets.pop(0)}).encode()

    jwks = Jwks("https://issuer/keys", read)
    await jwks.refresh()
    authenticator = Authenticator(jwks, TokenRules(), now_s=lambda: NOW_S)
    authorization = signed(CLAIMS, {"kid": "r1"}, RSA, "RS256")
    assert authenticator.actor(authorization).user_id == 7
    await jwks.refresh()
    with pytest.raises(Unauthenticated):
        authenticator.actor(authorization)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode()}],
        [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}],
        [jwk(rsa.generate_private_key(65537, 1024))],
        [jwk(RSA, alg="RS512")],
        [jwk(RSA, use="enc")],
    ],
)
def test_a_set_without_a_usable_key_is_refused(keys: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="JWK Set"):
        parse_key_set(json.dumps({"keys": keys}).encode())


def test_a_verified_token_is_remembered_until_it_expires_and_no_longer() -> None:
    now = [NOW_S]
    authenticator = Authenticator(DevKey(SECRET), TokenRules(), now_s=lambda: now[0], cached=2)
    authorization = signed(CLAIMS)
    first = authenticator.actor(authorization)
    assert authenticator.actor(authorization) is first
    now[0] = CLAIMS["exp"]
    with pytest.raises(Unauthenticated):
        authenticator.actor(authorization)


def test_what_is_remembered_has_a_bound() -> None:
    authenticator = Authenticator(DevKey(SECRET), TokenRules(), now_s=lambda: NOW_S, cached=2)
    tokens = [signed(without(sub=str(user))) for user in (1, 2, 3)]
    first = authenticator.actor(tokens[0])
    for authorization in tokens[1:]:
        authenticator.actor(authorization)
    assert len(authenticator._verified) == 2
    assert authenticator.actor(tokens[0]) is not first


def test_a_minted_token_is_accepted() -> None:
    minted = mint_token(SECRET, subject="ops", role=Role.SERVICE, act_for=7, now_s=NOW_S)
    assert dev().actor(f"Bearer {minted}") == Actor(Role.SERVICE, 7, "ops")


@pytest.mark.parametrize(("subject", "role"), [("ops", Role.USER), ("0", Role.ADMIN), ("1", Role.SYSTEM)])
def test_a_token_nobody_would_accept_is_not_minted(subject: str, role: Role) -> None:
    with pytest.raises(ValueError, match=subject):
        mint_token(SECRET, subject=subject, role=role)
