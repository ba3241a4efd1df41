"""TLS to an engine, as the options of its URL say; named like those of MySQL's own tools."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import parse_qsl

OPTIONS = ("ssl-ca", "ssl-cert", "ssl-key", "ssl-mode")
_MODES = {"verify_identity": True, "verify_ca": False}


@dataclass(frozen=True, slots=True)
class EngineTls:
    """Files of PEM; without `ca` the system's authorities count. The server's certificate is always
    verified: encryption to whoever answers protects nothing."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    check_name: bool = True

    def context(self) -> ssl.SSLContext:
        """Raises OSError for a file that is none."""
        context = ssl.create_default_context(cafile=self.ca or None)
        context.check_hostname = self.check_name
        if self.cert:
            context.load_cert_chain(self.cert, self.key or None)
        return context


def parse(query: str) -> EngineTls | None:
    """None without options. Raises ValueError for those that nobody knows."""
    if not query:
        return None
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(OPTIONS)):
        raise ValueError(f"unknown option {', '.join(unknown)} (it has {', '.join(OPTIONS)})")
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
