"""Calls to WeChat Pay's API v3: signed requests and verified answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shop_order import version
from shop_order.domain.errors import ChannelUnavailable, SignatureInvalid
from shop_order.domain.ports import Clock
from shop_order.gateway.payment.http import HttpAnswer, NoAnswer, ProviderHttp, reason
from shop_order.gateway.payment.wechat.certificates import (
    Certificates,
    CertificateStore,
    certificates_of,
    serial_number,
)
from shop_order.gateway.payment.wechat.reading import Fields, fields_of, text
from shop_order.gateway.payment.wechat.signing import API_V3_KEY_BYTES, Signature, authorization
from shop_order.pkg.key_files import BadKeyFile, certificates, private_key, public_key, read

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

CERTIFICATES = "/v3/certificates"
# Refusals that say how things stand; any other is logged.
ORDINARY = frozenset(
    {
        "ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS", "ORDERPAID", "ORDER_CLOSED",
        "NO_STATEMENT_EXIST", "STATEMENT_CREATING",
    }
)  # fmt: skip
_MAX_LOGGED = 200  # characters


@dataclass(frozen=True, slots=True)
class WechatSettings:
    """Our account at WeChat Pay; paths like `/v3/…` are appended to `gateway`. Times in seconds.

    With `public_key_id` WeChat signs with that key, without it with platform certificates, which are fetched.
    """

    gateway: str
    mch_id: str
    app_ids: Mapping[str, str]  # official, mini, app: those we have
    merchant_serial_no: str  # if it is empty, that of the certificate
    merchant_certificate: Path | None
    merchant_private_key: Path
    api_v3_key: Path
    public_key: Path | None
    public_key_id: str
    notify_url: str
    mini_gateway: str
    mini_secret: Path | None  # there if there is a mini-program
    timeout_s: Callable[[], float]  # called for every request, since the setting may be reloaded
    openid_url: str = ""  # the shop's page that gets a buyer's openid


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """The keys in our files."""

    private: RSAPrivateKey
    serial_no: str
    api_v3: bytes
    public: RSAPublicKey | None  # WeChat's, in public-key mode


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified answer; `code` is the reason of a refusal. Status 0: none came, or none that is WeChat's."""

    status: int = 0
    fields: Fields = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether WeChat did what was asked."""
        return self.status in (200, 204)

    @property
    def is_temporary(self) -> bool:
        """Whether it may succeed later: no answer, an error on WeChat's side, or too many calls."""
        return self.status == 429 or not (self.ok or 400 <= self.status < 500)

    @property
    def code(self) -> str:
        """WeChat's reason of a refusal."""
        return "" if self.ok else text(self.fields, "code")


def serial_of(certificate: Path | None) -> str:
    """Return the serial number of the certificate in a file. Raises BadKeyFile."""
    if certificate is None:
        raise BadKeyFile("no certificate is set")
    return serial_number(certificates(certificate)[0])


def api_v3_key(path: Path) -> bytes:
    """Return the APIv3 key in a file. Raises BadKeyFile."""
    key = read(path).strip()
    if len(key) != API_V3_KEY_BYTES:
        raise BadKeyFile(f"contains no APIv3 key: it has {API_V3_KEY_BYTES} characters")
    return key


class WechatGateway:
    """Connections to WeChat Pay, with our keys and WeChat's; `nonce` returns a random text."""

    def __init__(
        self, settings: WechatSettings, real_clock: Clock, nonce: Callable[[], str], log: Callable[..., None]
    ) -> None:
        self.settings = settings
        self.now = real_clock
        self.nonce = nonce
        self._log = log
        self.http = ProviderHttp()
        self._certificates = CertificateStore(self._fetch_certificates, real_clock)

    async def aclose(self) -> None:
        """End a running refresh of certificates, and close the connections."""
        await self._certificates.aclose()
        await self.http.aclose()

    def available(self) -> bool:
        """Return whether our key files can be read."""
        try:
            self.load_keys()
        except ChannelUnavailable:
            return False
        return True

    def load_keys(self) -> OwnKeys:
        """Return the keys in our files. Raises ChannelUnavailable."""
        try:
            return self._keys
        except (OSError, ValueError) as missing:
            raise ChannelUnavailable("wechat") from missing

    @cached_property
    def _keys(self) -> OwnKeys:
        ours = self.settings
        return OwnKeys(
            private_key(ours.merchant_private_key),
            ours.merchant_serial_no or serial_of(ours.merchant_certificate),
            api_v3_key(ours.api_v3_key),
            public_key(ours.public_key) if ours.public_key else None,
        )

    # ---- what WeChat signed ----

    def check_notice(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Check a notice's signature. Raises SignatureInvalid, ChannelUnavailable (no certificates yet)."""
        signature = Signature.of(headers, self.now())
        key = self._public_key(signature.serial) or self._certificates.find(signature.serial)
        if key is not None:
            signature.check(key, body)
        elif self.load_keys().public or self._certificates:
            raise SignatureInvalid("notice")
        else:
            raise ChannelUnavailable("wechat")

    def _public_key(self, serial: str) -> RSAPublicKey | None:
        return self.load_keys().public if serial == self.settings.public_key_id else None

    async def _check_answer(self, answer: HttpAnswer) -> None:
        """Raises SignatureInvalid."""
        signature = Signature.of(answer.headers, self.now())
        key = self._public_key(signature.serial) or await self._certificates.wait(signature.serial)
        if key is None:
            raise SignatureInvalid("notice")
        signature.check(key, answer.body)

    async def _fetch_certificates(self) -> Certificates | None:
        """Fetch the certificates; the answer is signed with one of them, or with a key that we know."""
        try:
            answer = await self._send("GET", CERTIFICATES, "")
            if answer.status != 200:
                raise NoAnswer(f"HTTP {answer.status}")
            found = certificates_of(answer.body, self.load_keys().api_v3)
            signature = Signature.of(answer.headers, self.now())
            issued = found.get(signature.serial)
            key = issued.key if issued else self._public_key(signature.serial)
            if key is None:
                raise SignatureInvalid("notice")
            signature.check(key, answer.body)
        except (NoAnswer, ValueError, SignatureInvalid, ChannelUnavailable) as failed:
            self._log("wechat_no_certificates", gateway=self.settings.gateway, error=reason(failed))
            return None
        return found

    # ---- calls ----

    async def call(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> Answer:
        """Call a method; return the verified answer, or one with status 0.

        A refusal is verified as well: it decides whether money moves.
        """
        body = "" if content is None else json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        try:
            answer = await self._send(method, path, body)
            try:
                await self._check_answer(answer)
            except SignatureInvalid as forged:  # WeChat does not sign its answer to a badly signed request
                raise NoAnswer(f"HTTP {answer.status}, not signed: {_said(answer.body)}") from forged
            found = Answer(answer.status, {} if answer.status == 204 else fields_of(answer.body))
        except (NoAnswer, ValueError, ChannelUnavailable) as failed:
            self._log("wechat_no_answer", gateway=self.settings.gateway, path=path, error=reason(failed))
            return Answer()
        if not found.ok and found.code not in ORDINARY:
            about = {"status": found.status, "code": found.code, "message": text(found.fields, "message")}
            self._log("wechat_refused", path=path, **about)
        return found

    async def _send(self, method: str, path: str, body: str) -> HttpAnswer:
        """Raises NoAnswer, ChannelUnavailable."""
        headers = {"accept": "application/json", "content-type": "application/json"}
        if serial := self.settings.public_key_id:
            headers["wechatpay-serial"] = serial  # asks for answers that are signed with it
        url = self.settings.gateway + path
        headers |= self.signed(method, url, body)
        timeout_s = self.settings.timeout_s()
        return await self.http.call(method, url, headers=headers, timeout_s=timeout_s, content=body.encode())

    def signed(self, method: str, url: str, body: str = "") -> dict[str, str]:
        """Return the headers that authorize a request. Raises ChannelUnavailable."""
        keys, parts = self.load_keys(), urlsplit(url)
        return {
            "user-agent": f"shop-order/{version()}",
            "authorization": authorization(
                keys.private,
                mch_id=self.settings.mch_id,
                serial_no=keys.serial_no,
                method=method,
                target=parts.path + (f"?{parts.query}" if parts.query else ""),
                timestamp_s=self.now() // 1000,
                nonce=self.nonce(),
                body=body,
            ),
        }


def _said(body: bytes) -> str:
    """What an unverified answer says is wrong; none of its other members, which may name a buyer."""
    try:
        fields = fields_of(body)
    except ValueError:
        return "not JSON"
    return f"{text(fields, 'code')} {text(fields, 'message')}"[:_MAX_LOGGED]
