"""Authentication: tokens need a pinned algorithm, our issuer, our audience and a short lifetime.

PyJWT checks the signature. What it does not check is checked here: `typ`, `crit`, key headers, lifetime,
canonical base64url. Callers learn only that their token was refused; `OnRefusal` learns why.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from shop_order.domain.errors import Unauthenticated
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.web.auth.keys import KeySource
from shop_order.web.auth.refusals import OnRefusal, TokenRefused

MAX_TOKEN = 4096  # characters; ours have about 300
MAX_CACHED = 10_000
CLOCK_SKEW_S = 10  # for `iat` and `nbf`, which come from another machine's clock

_USER_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_SERVICE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_TYPES = frozenset({"JWT", "AT+JWT"})
# Headers with which a token would influence its own verification.
_REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"})
_REQUIRED = ["iss", "aud", "exp", "sub"]
# Canonical base64url only: no padding, unused bits of the last character are zero.
# Otherwise a revoked token would be accepted again in another encoding.
_PART = r"(?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?"
_TOKEN = re.compile(rf"{_PART}\.{_PART}\.{_PART}", re.ASCII)

_JWT_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.MissingRequiredClaimError, "missing_claim"),
    (jwt.InvalidIssuerError, "issuer"),
    (jwt.InvalidAudienceError, "audience"),
    (jwt.InvalidSignatureError, "signature"),
    (jwt.InvalidAlgorithmError, "algorithm"),
    (jwt.InvalidKeyError, "algorithm"),
    (jwt.DecodeError, "malformed"),
)


class Revoked(Protocol):
    """Revoked tokens: not accepted although they have not expired."""

    @property
    def generation(self) -> int:
        """Increases with every addition, so that cached tokens are verified again."""

    def covers(self, token: str, subject: str, issued_s: float) -> bool:
        """Whether this token, or all tokens of its subject issued up to `issued_s`, were revoked."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must contain; `max_lifetime_s` is counted from issue to expiry."""

    issuer: str = "shop"
    audience: str = "order-service"
    max_lifetime_s: int = 86_400


class Authenticator:
    """Turns `authorization: Bearer …` into an Actor."""

    def __init__(
        self,
        keys: KeySource,
        rules: TokenRules,
        *,
        now_s: Callable[[], float] = time.time,
        cached: int = MAX_CACHED,
        revoked: Revoked | None = None,
        on_refusal: OnRefusal | None = None,
    ) -> None:
        self._keys = keys
        self._on_refusal = on_refusal
        self._revoked = revoked
        self._rules = rules
        self._now_s = now_s
        self._max_cached = cached
        self._verified: OrderedDict[str, tuple[Actor, float]] = OrderedDict()
        self._generation = self._generations()

    def actor(self, authorization: str | None, *, repeated: bool = False) -> Actor:
        """The caller that the header identifies; a repeated header is refused.

        Raises Unauthenticated, DependencyDown.
        """
        try:
            return self._accepted(authorization, repeated)
        except TokenRefused as refused:
            if self._on_refusal is not None:
                self._on_refusal(refused.reason, refused.detail)
        raise Unauthenticated

    def _accepted(self, authorization: str | None, repeated: bool) -> Actor:
        if repeated:
            raise TokenRefused("repeated")
        if not authorization:
            raise TokenRefused("missing")
        if self._generation != (generation := self._generations()):
            self._verified.clear()
            self._generation = generation
        if known := self._verified.get(authorization):
            if known[1] > self._now_s():
                self._verified.move_to_end(authorization)
                return known[0]
            del self._verified[authorization]
        actor, expiry_s = self._verify(authorization)
        self._verified[authorization] = (actor, expiry_s)
        if len(self._verified) > self._max_cached:
            self._verified.popitem(last=False)
        return actor

    def _verify(self, authorization: str) -> tuple[Actor, float]:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise TokenRefused("scheme")
        if len(token) > MAX_TOKEN or not _TOKEN.fullmatch(token):
            raise TokenRefused("malformed")
        try:
            claims = self._decode(token)
            self._refuse_revoked(token, claims)
            return actor_of(claims), self._expiry(claims)
        except jwt.PyJWTError as error:
            raise _refusal_of(error) from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise TokenRefused("malformed") from error

    def _generations(self) -> tuple[int, int]:
        return self._keys.generation, self._revoked.generation if self._revoked else 0

    def _refuse_revoked(self, token: str, claims: Mapping[str, Any]) -> None:
        # A token without `iat` may have been issued at any time.
        issued_s = _seconds("iat", claims.get("iat", 0))
        if self._revoked and self._revoked.covers(token, str(claims["sub"]), issued_s):
            raise TokenRefused("revoked")

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.DecodeError:
            raise
        except jwt.PyJWTError as error:  # valid JSON, but not a JWT header
            raise TokenRefused("header") from error
        kid = header.get("kid")
        if str(header.get("typ", "JWT")).upper() not in _TYPES:
            raise TokenRefused("typ", header["typ"])
        if refused := _REFUSED_HEADERS & header.keys():
            raise TokenRefused("header", ",".join(sorted(refused)))
        if not isinstance(kid, str | None):
            raise TokenRefused("header", "kid")
        found = self._keys.find(str(header.get("alg")), kid)
        return jwt.decode(
            token,
            found.key,
            algorithms=[found.algorithm],
            issuer=self._rules.issuer,
            audience=self._rules.audience,
            # Times are checked in `_expiry`, by our own clock.
            options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )

    def _expiry(self, claims: Mapping[str, Any]) -> float:
        now_s = self._now_s()
        expiry_s = _seconds("exp", claims["exp"])
        issued_s = _seconds("iat", claims.get("iat", now_s))
        begin_s = max(issued_s, _seconds("nbf", claims.get("nbf", 0)))
        if begin_s > now_s + CLOCK_SKEW_S:
            raise TokenRefused("not_yet", f"in {begin_s - now_s:.0f} s")
        if expiry_s <= now_s:
            raise TokenRefused("expired", f"{now_s - expiry_s:.0f} s ago")
        if expiry_s - issued_s > self._rules.max_lifetime_s + 1:
            raise TokenRefused("lifetime", f"{expiry_s - issued_s:.0f} s")
        return expiry_s


def actor_of(claims: Mapping[str, Any]) -> Actor:
    """The actor that verified claims describe. Raises TokenRefused."""
    role, subject, act_for = claims.get("role"), claims["sub"], claims.get("act_for")
    if role in (Role.USER, Role.ADMIN):
        if act_for is not None:
            raise TokenRefused("claims", "act_for")
        return Actor(Role(role), _user_id("sub", subject))
    if role != Role.SERVICE:
        raise TokenRefused("claims", "role")
    if not isinstance(subject, str) or not _SERVICE.fullmatch(subject):
        raise TokenRefused("claims", "sub")
    return Actor(Role.SERVICE, 0 if act_for is None else _user_id("act_for", act_for), subject)


def mint_token(
    secret: str,
    *,
    subject: str,
    role: Role,
    act_for: int | None = None,
    rules: TokenRules | None = None,
    lifetime_s: int | None = None,
    now_s: float | None = None,
) -> str:
    """An HS256 token for development. Its lifetime defaults to the longest that the rules allow.

    Raises ValueError for claims that the service would not accept.
    """
    rules = rules or TokenRules()
    issued_s = int(time.time() if now_s is None else now_s)
    claims: dict[str, Any] = {
        "iss": rules.issuer,
        "aud": rules.audience,
        "sub": subject,
        "role": str(role),
        "iat": issued_s,
        "exp": issued_s + (rules.max_lifetime_s if lifetime_s is None else lifetime_s),
    }
    if act_for is not None:
        claims["act_for"] = act_for
    try:
        actor_of(claims)
    except TokenRefused as error:
        raise ValueError(f"not a valid subject for role {role}: {subject}") from error
    return jwt.encode(claims, secret.encode(), algorithm="HS256")


def _refusal_of(error: jwt.PyJWTError) -> TokenRefused:
    for kind, reason in _JWT_REASONS:
        if isinstance(error, kind):
            return TokenRefused(reason, getattr(error, "claim", ""))
    return TokenRefused("claims")


def _user_id(claim: str, value: object) -> int:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _USER_ID.fullmatch(text) or int(text) >= 2**63:
        raise TokenRefused("claims", claim)
    return int(text)


def _seconds(claim: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise TokenRefused("claims", claim)
    return float(value)
