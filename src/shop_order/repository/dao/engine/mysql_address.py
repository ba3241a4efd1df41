"""The address of a MySQL database, parsed from its URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from shop_order.pkg.address import join_host_port
from shop_order.pkg.url import EngineTls, parse_tls


@dataclass(frozen=True, slots=True)
class MysqlAddress:
    """`mysql://user:pw@host:port/db[?ssl-ca=…]`, decoded."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    tls: EngineTls | None = None

    @classmethod
    def of(cls, url: str) -> MysqlAddress:
        """Parse a URL. Raises ValueError, whose text holds no password."""
        try:
            parts = urlsplit(url)
            port = parts.port or 3306
        except ValueError as bad:
            raise ValueError("not a URL of the form mysql://user:password@host:port/db") from bad
        database = unquote(parts.path.removeprefix("/"))
        if not (parts.hostname and parts.username and database) or "/" in database:
            raise ValueError("needs user, host and database: mysql://user:password@host:port/db")
        if parts.fragment:
            raise ValueError("must have no #fragment")
        return cls(
            parts.hostname,
            port,
            unquote(parts.username),
            unquote(parts.password or ""),
            database,
            parse_tls(parts.query),
        )

    def __str__(self) -> str:
        return f"{join_host_port(self.host, self.port)}/{self.database}"
