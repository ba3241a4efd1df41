"""Keys that verify tokens: a shared secret in development, otherwise the issuer's public keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import jwt

from shop_order.domain.errors import DependencyDown
from shop_order.pkg.url import file_of
from shop_order.web.auth.refusals import TokenRefused

MAX_BYTES = 1 << 20
MAX_KEYS = 100
TIMEOUT_S = 5.0
REFRESH_S = 300.0
MIN_REFRESH_S = 10.0  # an unknown key id triggers a refresh, but not more often than this

# The type of the key decides the algorithm; symmetric keys do not belong in a public set.
_ALGORITHMS = {("RSA", None): "RS256", ("OKP", "Ed25519"): "EdDSA"}
_MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key and its only algorithm, so that a public key is never used as a shared secret."""

    algorithm: str
    key: Any


class KeySource(Protocol):
    """A source of verifying keys."""

    def find(self, algorithm: str, kid: str | None) -> VerifyingKey:
        """The key with this algorithm and id. Raises TokenRefused, DependencyDown (none are loaded yet)."""

    @property
    def generation(self) -> int:
        """Increases when keys are replaced, so that cached tokens are verified again."""


class DevKey:
    """The HS256 key for development; settings do not allow it in production."""

    generation = 0

    def __init__(self, secret: str) -> None:
        self._key = VerifyingKey("HS256", secret.encode())

    def find(self, algorithm: str, kid: str | None) -> VerifyingKey:
        """The key, if the token is HS256 and has no key id. Raises TokenRefused."""
        if algorithm != "HS256":
            raise TokenRefused("algorithm", algorithm)
        if kid is not None:
            raise TokenRefused("unknown_key", kid)
        return self._key


class Jwks:
    """RS256 and EdDSA keys from a file or URL, refreshed in the background.

    Nobody can be authenticated until the first refresh succeeds.
    """

    def __init__(self, location: str, read: Callable[[str], Awaitable[bytes]] | None = None) -> None:
        self._location = location
        self._read = read or read_location
        self._keys: Mapping[tuple[str, str | None], VerifyingKey] | None = None
        self._raw = b""
        self._unknown_seen = asyncio.Event()
        self.generation = 0

    def find(self, algorithm: str, kid: str | None) -> VerifyingKey:
        """The key with this algorithm and id; without an id, the only key with this algorithm.

        Raises TokenRefused, DependencyDown (no refresh has succeeded yet).
        """
        if self._keys is None:
            raise DependencyDown("token_keys", self._location)
        if found := self._keys.get((algorithm, kid)):
            return found
        if algorithm not in _ALGORITHMS.values():
            raise TokenRefused("algorithm", algorithm)
        fitting = [key for key in self._keys.values() if key.algorithm == algorithm]
        if kid is None and len(fitting) == 1:
            return fitting[0]
        self._unknown_seen.set()
        raise TokenRefused("unknown_key", f"no kid, {len(fitting)} keys" if kid is None else kid)

    async def refresh(self) -> None:
        """Read the key set; keep the previous keys if that fails.

        Raises OSError, httpx.HTTPError (unreachable), ValueError (not a key set).
        """
        raw = await self._read(self._location)
        if raw == self._raw:
            return
        self._keys, self._raw = parse_key_set(raw), raw
        self.generation += 1

    async def keep_fresh(self, on_failure: Callable[[Exception], None]) -> None:
        """Background loop: refresh every 5 minutes, and soon after an unknown key id."""
        while True:
            try:
                await self.refresh()
            except (OSError, httpx.HTTPError, ValueError) as error:
                on_failure(error)
            await asyncio.sleep(MIN_REFRESH_S)
            self._unknown_seen.clear()
            try:
                async with asyncio.timeout(REFRESH_S if self._keys is not None else MIN_REFRESH_S):
                    await self._unknown_seen.wait()
            except TimeoutError:
                continue


def parse_key_set(raw: bytes) -> Mapping[tuple[str, str | None], VerifyingKey]:
    """The usable keys of a JWK Set, by algorithm and id. Raises ValueError if there are none."""
    document = json.loads(raw)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError("not a JWK Set")
    keys: dict[tuple[str, str | None], VerifyingKey] = {}
    for entry in entries:
        if isinstance(entry, dict) and (key := _usable(entry)):
            keys[key.algorithm, entry.get("kid")] = key
    if not keys:
        raise ValueError("the JWK Set has no RS256 or EdDSA key")
    return keys


def _usable(entry: Mapping[str, Any]) -> VerifyingKey | None:
    algorithm = _ALGORITHMS.get((str(entry.get("kty")), entry.get("crv")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(dict(entry), algorithm).key
    except jwt.PyJWTError as error:
        raise ValueError("the JWK Set has an invalid key") from error
    if algorithm == "RS256" and key.key_size < _MIN_RSA_BITS:
        raise ValueError("the JWK Set has an RSA key of less than 2048 bits")
    return VerifyingKey(algorithm, key)


async def read_location(location: str) -> bytes:
    """The contents of a path, a file: URL or an http(s): URL; redirects are not followed.

    Raises OSError, httpx.HTTPError, ValueError (too large).
    """
    if (path := file_of(location)) is not None:
        return await asyncio.to_thread(Path(path).read_bytes)
    body = bytearray()
    async with (
        httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
        client.stream("GET", location) as response,
    ):
        response.raise_for_status()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > MAX_BYTES:
                raise ValueError("the JWK Set is too large")
    return bytes(body)
