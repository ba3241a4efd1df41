"""WeChat's platform certificates: fetched when they are needed, kept until they expire.

Around a rotation WeChat issues the old and the new one, and signs with either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shop_order.domain.ports import Clock
from shop_order.gateway.payment.wechat.reading import fields_of, part, text
from shop_order.gateway.payment.wechat.signing import decrypted

REFRESH_MS = 12 * 3_600_000
RETRY_MS = 60_000  # so that unknown serials, which anybody can send, cause few requests
MAX_CERTIFICATES = 16


@dataclass(frozen=True, slots=True)
class PlatformCertificate:
    """A key of WeChat's, and when it expires."""

    key: RSAPublicKey
    until_ms: int


Certificates = Mapping[str, PlatformCertificate]  # by serial number


def serial_number(certificate: x509.Certificate) -> str:
    """Return the serial number as WeChat writes it: upper-case hexadecimal digits."""
    return f"{certificate.serial_number:X}"


def certificates_of(content: bytes, api_v3_key: bytes) -> Certificates:
    """Return the certificates of an answer, which are encrypted with our key. Raises ValueError."""
    listed = fields_of(content).get("data")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_CERTIFICATES:
        raise ValueError("the answer lists no certificates")
    found = {}
    for entry in listed:
        if not isinstance(entry, dict):
            raise ValueError("the answer lists something else than certificates")
        pem = decrypted(api_v3_key, part(entry, "encrypt_certificate"))
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey) or serial_number(certificate) != text(entry, "serial_no").lstrip(
            "0"
        ):
            raise ValueError("a certificate is not the one it is called")
        until_ms = int(certificate.not_valid_after_utc.timestamp()) * 1000
        found[text(entry, "serial_no")] = PlatformCertificate(key, until_ms)
    return found


class CertificateStore:
    """The certificates that are known now.

    They are refreshed after half a day and for an unknown serial number, at most once a minute, in a task of
    its own, which `aclose` ends. `fetch` returns None if there is no answer.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Certificates | None]], real_clock: Clock) -> None:
        self._fetch = fetch
        self._now = real_clock
        self._known: Certificates = {}
        self._fetched_ms = self._tried_ms = -REFRESH_MS
        self._task: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """End the refresh that is running."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def __bool__(self) -> bool:
        """Whether any certificate was fetched."""
        return bool(self._known)

    def find(self, serial: str) -> RSAPublicKey | None:
        """Return the key of a certificate that has not expired; refresh soon if it is needed."""
        now_ms = self._now()
        found = self._known.get(serial)
        if found is None or now_ms - self._fetched_ms >= REFRESH_MS:
            self._refresh_soon(now_ms)
        return found.key if found and now_ms < found.until_ms else None

    async def wait(self, serial: str) -> RSAPublicKey | None:
        """`find`, after the refresh that it may start."""
        if (found := self.find(serial)) is None and self._task is not None:
            await asyncio.wait({self._task})  # if the waiting is cancelled, the task goes on
            found = self.find(serial)
        return found

    def _refresh_soon(self, now_ms: int) -> None:
        is_running = self._task is not None and not self._task.done()
        if not is_running and not 0 <= now_ms - self._tried_ms < RETRY_MS:
            self._tried_ms = now_ms
            self._task = asyncio.get_running_loop().create_task(self._refresh())

    async def _refresh(self) -> None:
        if found := await self._fetch():
            self._known, self._fetched_ms = found, self._now()
