"""TLS options in engine URLs, named like those of MySQL's tools."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import parse_qsl

OPTIONS = ("ssl-ca", "ssl-cert", "ssl-key", "ssl-mode")
_MODES = {"verify_identity": True, "verify_ca": False}


@dataclass(frozen=True, slots=True)
class EngineTls:
    """PEM files; without `ca`, the system's authorities apply. The server's certificate is always
    verified."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    check_name: bool = True

    def context(self) -> ssl.SSLContext:
        """Return an SSL context. Raises OSError for an invalid file."""
        context = ssl.create_default_context(cafile=self.ca or None)
        context.check_hostname = self.check_name
        if self.cert:
            context.load_cert_chain(self.cert, self.key or None)
        return context


def parse(query: str) -> EngineTls | None:
    """Return the TLS options of a query, None without any. Raises ValueError for unknown ones."""
    if not query:
        return None
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(OPTIONS)):
        raise ValueError(f"unknown option {', '.join(unknown)} (known: {', '.join(OPTIONS)})")
    if empty := sorted(name for name, value in options.items() if not value):
        raise ValueError(f"{empty[0]} is empty")
    mode = options.get("ssl-mode", "verify_identity").lower()
    if mode not in _MODES:
        raise ValueError(f"ssl-mode must be {' or '.join(_MODES)}")
    if "ssl-key" in options and "ssl-cert" not in options:
        raise ValueError("ssl-key needs ssl-cert")
    return EngineTls(
        options.get("ssl-ca", ""), options.get("ssl-cert", ""), options.get("ssl-key", ""), _MODES[mode]
    )
