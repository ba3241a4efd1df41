"""Who calls: tokens are believed only with pinned algorithms, our issuer, our audience and a short life.

PyJWT checks the signature; what it leaves open (`typ`, `crit`, key headers, lifetime) is checked here.
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
from shop_order.domain.valueobject.actor import Actor, Role

MOST_TOKEN = 4096  # characters; ours have about 300
MOST_CACHED = 10_000
CLOCK_SKEW_S = 10  # for `iat` and `nbf`, which another machine's clock made

_USER_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_SERVICE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_TYPES = frozenset({"JWT", "AT+JWT"})
# Headers by which a token tells how it wants to be verified; none of them is for the token to say.
_REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"})
_REQUIRED = ["iss", "aud", "exp", "sub"]


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key and the one algorithm it is for, so that a public key is never taken for a secret."""

    algorithm: str
    key: Any


class KeySource(Protocol):
    """Where verifying keys come from."""

    def find(self, algorithm: str, kid: str | None) -> VerifyingKey:
        """The key of this algorithm and id. Raises Unauthenticated, DependencyDown (none was loaded yet)."""

    @property
    def generation(self) -> int:
        """Grows when keys are replaced: what was verified before is verified again."""


class Revoked(Protocol):
    """Tokens that are no longer believed though they have not expired."""

    @property
    def generation(self) -> int:
        """Grows when one is added: what was verified before is verified again."""

    def covers(self, token: str, subject: str, issued_s: float) -> bool:
        """The token itself was revoked, or whatever its subject was given up to then."""


class DevKey:
    """The one HS256 key of development; the settings refuse it in production."""

    generation = 0

    def __init__(self, secret: str) -> None:
        self._key = VerifyingKey("HS256", secret.encode())

    def find(self, algorithm: str, kid: str | None) -> VerifyingKey:
        """The key, for HS256 without a key id only. Raises Unauthenticated."""
        if algorithm != "HS256" or kid is not None:
            raise Unauthenticated
        return self._key


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say; `max_lifetime_s` in seconds from issue to expiry."""

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
        cached: int = MOST_CACHED,
        revoked: Revoked | None = None,
    ) -> None:
        self._keys = keys
        self._revoked = revoked
        self._rules = rules
        self._now_s = now_s
        self._most = cached
        self._verified: OrderedDict[str, tuple[Actor, float]] = OrderedDict()
        self._generation = self._generations()

    def actor(self, authorization: str | None) -> Actor:
        """Who the header names. Raises Unauthenticated, DependencyDown."""
        if not authorization:
            raise Unauthenticated
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
        if len(self._verified) > self._most:
            self._verified.popitem(last=False)
        return actor

    def _verify(self, authorization: str) -> tuple[Actor, float]:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > MOST_TOKEN:
            raise Unauthenticated
        try:
            claims = self._decode(token)
            self._refuse_revoked(token, claims)
            return actor_of(claims), self._expiry(claims)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unauthenticated from error

    def _generations(self) -> tuple[int, int]:
        return self._keys.generation, self._revoked.generation if self._revoked else 0

    def _refuse_revoked(self, token: str, claims: Mapping[str, Any]) -> None:
        # Without a time of issue it may have been given at any time.
        issued_s = _seconds(claims.get("iat", 0))
        if self._revoked and self._revoked.covers(token, str(claims["sub"]), issued_s):
            raise Unauthenticated

    def _decode(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        kid = header.get("kid")
        wrong_type = str(header.get("typ", "JWT")).upper() not in _TYPES
        if wrong_type or _REFUSED_HEADERS & header.keys() or not isinstance(kid, str | None):
            raise Unauthenticated
        found = self._keys.find(str(header.get("alg")), kid)
        return jwt.decode(
            token,
            found.key,
            algorithms=[found.algorithm],
            issuer=self._rules.issuer,
            audience=self._rules.audience,
            # The times are checked below, on the clock that was given.
            options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )

    def _expiry(self, claims: Mapping[str, Any]) -> float:
        now_s = self._now_s()
        expiry_s = _seconds(claims["exp"])
        issued_s = _seconds(claims.get("iat", now_s))
        too_early = max(issued_s, _seconds(claims.get("nbf", 0))) > now_s + CLOCK_SKEW_S
        if too_early or expiry_s <= now_s or expiry_s - issued_s > self._rules.max_lifetime_s + 1:
            raise Unauthenticated
        return expiry_s


def actor_of(claims: Mapping[str, Any]) -> Actor:
    """The actor of verified claims. Raises Unauthenticated."""
    role, subject, act_for = claims.get("role"), claims["sub"], claims.get("act_for")
    if role in (Role.USER, Role.ADMIN):
        if act_for is not None:
            raise Unauthenticated
        return Actor(Role(role), _user_id(subject))
    if role == Role.SERVICE and isinstance(subject, str) and _SERVICE.fullmatch(subject):
        return Actor(Role.SERVICE, 0 if act_for is None else _user_id(act_for), subject)
    raise Unauthenticated


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
    """An HS256 token for development; it lives as long as the rules allow unless told otherwise.

    Raises ValueError for claims the service would not accept.
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
    except Unauthenticated as error:
        raise ValueError(f"not a {role} this service knows: {subject}") from error
    return jwt.encode(claims, secret.encode(), algorithm="HS256")


def _user_id(value: object) -> int:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _USER_ID.fullmatch(text) or int(text) >= 2**63:
        raise Unauthenticated
    return int(text)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise Unauthenticated
    return float(value)
