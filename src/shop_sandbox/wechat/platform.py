"""With which keys WeChat Pay signs: certificates, one after the other with an overlap, and the public key."""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509

from shop_sandbox.database import Database
from shop_sandbox.payments.keys import certificate, loaded_key, new_key, pem_of
from shop_sandbox.wechat.errors import invalid_request, not_found
from shop_sandbox.wechat.fields import format_time
from shop_sandbox.wechat.keys import CERTIFICATE_DAYS, PUBLIC_KEY_ID, Keys, PlatformKey, platform_key
from shop_sandbox.wechat.signing import encrypted

# `request`: as the merchant asked when it placed the order; `mixed`: by turns, as during a change of mode.
NOTICE_SIGNERS = ("request", "certificate", "public_key", "mixed")

SCHEMA = """
CREATE TABLE IF NOT EXISTS certificate (
  serial TEXT PRIMARY KEY,
  private_pem TEXT NOT NULL,
  pem TEXT NOT NULL,
  listed INTEGER NOT NULL,
  signing INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS choice (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
"""


class Platform:
    """The keys of WeChat Pay. A retired certificate signs nothing and is listed no more."""

    def __init__(self, database: Database, keys: Keys, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._keys = keys
        self._clock_ms = clock_ms
        self._listed = [keys.platform]
        self._signing = keys.platform
        self.notices = "request"

    async def load(self) -> None:
        """Read what earlier runs chose; the first run stores the certificate of the keys folder."""
        first = self._keys.platform
        values = (first.serial, pem_of(first.key).decode("ascii"), first.pem)

        def read(connection: sqlite3.Connection) -> tuple[list[tuple[str, str, int, int]], str]:
            if not connection.execute("SELECT 1 FROM certificate WHERE serial = ?", values[:1]).fetchone():
                # New, or the keys folder was replaced: what was signed by other keys is worth nothing now.
                connection.execute("DELETE FROM certificate")
                connection.execute("INSERT INTO certificate VALUES (?, ?, ?, 1, 1)", values)
            rows = connection.execute(
                "SELECT private_pem, pem, listed, signing FROM certificate ORDER BY rowid"
            )
            chosen = connection.execute("SELECT value FROM choice WHERE name = 'notices'").fetchone()
            return rows.fetchall(), chosen[0] if chosen else "request"

        rows, self.notices = await self._database.run(read)
        self._listed = [_key(private_pem, pem) for private_pem, pem, listed, _ in rows if listed]
        self._signing = next(_key(private_pem, pem) for private_pem, pem, _, signing in rows if signing)

    def signer(self, asked: str) -> PlatformKey:
        """The key for an answer to a call with this Wechatpay-Serial, or "". Raises Refused."""
        if asked == PUBLIC_KEY_ID:
            return self._keys.public
        if asked.startswith("PUB_KEY_ID_"):
            raise invalid_request("Wechatpay-Serial 中的微信支付公钥 ID 不存在")
        return self._signing

    def notice_signer(self, asked: str, turn: int) -> PlatformKey:
        """The key for a notice of a trade whose merchant asked for this serial; `turn` counts attempts."""
        by_public_key = {
            "request": asked == PUBLIC_KEY_ID,
            "certificate": False,
            "public_key": True,
            "mixed": turn % 2 == 0,
        }
        return self._keys.public if by_public_key[self.notices] else self._signing

    def listing(self) -> dict[str, object]:
        """The answer of GET /v3/certificates. Raises Refused if none is listed."""
        if not self._listed:
            raise not_found("无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥")
        return {
            "data": [
                {
                    "serial_no": one.serial,
                    "effective_time": format_time(one.start_s * 1_000),
                    "expire_time": format_time(one.end_s * 1_000),
                    "encrypt_certificate": encrypted(
                        self._keys.api_v3_key, one.pem.encode("ascii"), "certificate"
                    ),
                }
                for one in self._listed
            ]
        }

    def as_json(self) -> dict[str, object]:
        """Serials for the simulator's answers, never keys."""
        return {
            "certificates": [one.serial for one in self._listed],
            "signing": self._signing.serial,
            "public_key_id": PUBLIC_KEY_ID,
            "notices": self.notices,
        }

    async def act(self, action: str) -> None:
        """Change the certificates. Raises ValueError.

        add: list one more, which signs nothing yet. switch: sign with the newest. rotate: both. retire: list
        only the one that signs. hide: list none, as for a merchant with the public key only; show: all.
        """
        match action:
            case "add" | "rotate":
                await self._add(signing=action == "rotate")
            case "switch":
                await self._write(_SIGN_WITH_NEWEST)
            case "retire":
                await self._write(("UPDATE certificate SET listed = signing",))
            case "hide" | "show":
                await self._write((f"UPDATE certificate SET listed = {int(action == 'show')}",))
            case _:
                raise ValueError("actions: add, switch, rotate, retire, hide, show")

    async def choose_notices(self, signer: str) -> None:
        """Choose the key of the notices. Raises ValueError."""
        if signer not in NOTICE_SIGNERS:
            raise ValueError(f"notices: {', '.join(NOTICE_SIGNERS)}")
        replacing = "INSERT OR REPLACE INTO choice VALUES ('notices', ?)"
        await self._database.run(lambda one: one.execute(replacing, (signer,)))
        self.notices = signer

    async def _add(self, *, signing: bool) -> None:
        now = datetime.fromtimestamp(self._clock_ms() // 1_000, UTC)
        key = await asyncio.to_thread(new_key)
        made = platform_key(key, certificate(key, "Tenpay.com sandbox", now, CERTIFICATE_DAYS))
        values = (made.serial, pem_of(key).decode("ascii"), made.pem)

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO certificate VALUES (?, ?, ?, 1, 0)", values)

        await self._database.run(insert)
        await self._write(_SIGN_WITH_NEWEST if signing else ())

    async def _write(self, statements: tuple[str, ...]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            for statement in statements:
                connection.execute(statement)

        await self._database.run(write)
        await self.load()


_SIGN_WITH_NEWEST = (
    "UPDATE certificate SET signing = 0",
    "UPDATE certificate SET signing = 1, listed = 1 WHERE rowid = (SELECT max(rowid) FROM certificate)",
)


def _key(private_pem: str, pem: str) -> PlatformKey:
    return platform_key(
        loaded_key(private_pem.encode("ascii")), x509.load_pem_x509_certificate(pem.encode("ascii"))
    )
