"""The token with which the sandbox authenticates to the order service."""

import time
from collections.abc import Callable
from pathlib import Path

import jwt

LIFETIME_S = 3_600


class TokenFile:
    """A service's token in a file, read again on changes; without a file, signed with the development key."""

    def __init__(
        self,
        path: Path,
        key_file: Path,
        clock_s: Callable[[], float] = time.time,
        *,
        service: str = "inventory",
    ) -> None:
        self._path = path
        self._key_file = key_file
        self._clock_s = clock_s
        self._service = service
        self._stamp: tuple[int, int] = (0, 0)
        self._token = ""
        self._minted_until_s = 0.0

    def __call__(self) -> str:
        """The token, or "" if there is neither a token file nor a development key."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return self._minted()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._token = self._path.read_text(encoding="ascii").strip()
            self._stamp, self._minted_until_s = stamp, 0.0
        return self._token

    def _minted(self) -> str:
        now_s = self._clock_s()
        if now_s < self._minted_until_s:
            return self._token
        try:
            key = self._key_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""
        claims = {
            "iss": "shop",
            "aud": "order-service",
            "sub": self._service,
            "role": "service",
            "iat": int(now_s),
            "exp": int(now_s) + LIFETIME_S,
        }
        self._token = jwt.encode(claims, key, algorithm="HS256")
        self._stamp, self._minted_until_s = (0, 0), now_s + LIFETIME_S / 2
        return self._token
