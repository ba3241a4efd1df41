"""URLs of engines: masks secrets (in settings, history, log and error messages), and reads TLS options."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from shop_order.pkg.address import is_host_port

MASK = "***"
_START = re.compile(r"(?<![^\s'\"`(<\[=,])[A-Za-z][A-Za-z0-9+.-]*://")
_END = re.compile(r"[\s'\"<>`|\\]")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
# Options that may be shown; any other may be secret.
_SHOWN = frozenset(
    {"authsource", "group", "master", "namespace", "namesrv", "prefix", "readpreference", "replicaset"}
    | {"retrywrites", "ssl-ca", "ssl-cert", "ssl-mode", "tls", "tlscafile", "w"}
)
_SHOWN_VALUE = re.compile(r"[A-Za-z0-9_./:,-]*")
# The example in our error messages: no real port is called "port".
_EXAMPLE = re.compile(r"(user:password@|:token@)?host:port(,host:port)*")
_LOCAL = ("sqlite:", "file:", "memory:", "embedded:", "none:")
_TLS_OPTIONS = ("ssl-ca", "ssl-cert", "ssl-key", "ssl-mode")  # named like those of MySQL's tools
_MODES = {"verify_identity": True, "verify_ca": False}
_ENGINES = ("mysql", "redis", "mongodb", "rocketmq", "consul", "nacos", "otlp", "http", "amqp")


def mask_url(url: str) -> str:
    """Return the URL with password and secret options as ***; all of it if it can't be parsed safely."""
    scheme, _, rest = url.partition("://")
    if not _SCHEME.fullmatch(scheme.lower()):
        return MASK
    if url.lower().startswith(_LOCAL):
        return url
    end = _end_of_authority(rest)
    authority, tail = rest[:end], rest[end:]
    if _EXAMPLE.fullmatch(authority):
        return url
    userinfo, at, hosts = authority.rpartition("@")
    path, question_mark, query = tail.partition("?")
    # After a / ? or # in a password, its rest looks like a host or a path.
    if cut_password(url) or "#" in tail or not _are_hosts(hosts):
        return f"{scheme}://{MASK}"
    return f"{scheme}://{_login(userinfo)}{at}{hosts}{path}{question_mark}{_query(query)}"


def file_of(location: str) -> str | None:
    """Return the file of a path or file: URL; None for an http URL."""
    if location.lower().startswith(("http://", "https://")):
        return None
    try:
        return unquote(urlsplit(location).path) if location.lower().startswith("file:") else location
    except ValueError:
        return location  # no such file


def cut_password(url: str) -> bool:
    """Whether a password contains an unescaped / ? or #, so that its rest would be parsed as a path or an
    option, and shown in error messages."""
    rest = url.partition("://")[2]
    return "@" in rest[_end_of_authority(rest) :]


def mask_urls(text: str) -> str:
    """Return a text, such as an error message, with every URL in it masked."""
    if "://" not in text:
        return text
    starts = [found.start() for found in _START.finditer(text)]
    if not starts:
        return text
    pieces, done = [text[: starts[0]]], 0
    for begin, end in zip(starts, [*starts[1:], len(text)], strict=True):
        done = _end_of_url(text, begin, end)
        pieces += [mask_url(text[begin:done]), text[done:end]]
    return "".join(pieces)


def mask_setting(value: str) -> str:
    """Mask the value of a setting if it is a URL, or looks like a malformed one."""
    if "://" in value:
        return mask_url(value)
    scheme = value.partition(":")[0].lower()
    if value.startswith(("/", ".", *_LOCAL)):
        return value
    is_engine = (
        scheme.rstrip("s").partition("+")[0] in {name.rstrip("s") for name in _ENGINES} and ":" in value
    )
    return MASK if "@" in value or (is_engine and not _are_hosts(value)) else value


def _end_of_authority(rest: str) -> int:
    return min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))


def _end_of_url(text: str, begin: int, end: int) -> int:
    """Return where the URL ends. A password may contain spaces, so it extends past the last @."""
    line = text.find("\n", begin, end)
    last = text.rfind("@", begin, line if line >= 0 else end)
    found = _END.search(text, max(begin, last), end)
    end = found.start() if found else end
    return begin + len(text[begin:end].rstrip(").,;:")) if last < 0 else end


def _are_hosts(text: str) -> bool:
    return all(is_host_port(host, default_port=1) for host in text.split(",") if host)


def _login(userinfo: str) -> str:
    user, colon, password = userinfo.partition(":")
    if not userinfo:
        return ""
    # Without a colon, it is Redis' password or a token.
    return f"{user}:{MASK}" if colon and password else MASK


def _query(query: str) -> str:
    return "&".join(map(_option, query.split("&"))) if query else ""


def _option(option: str) -> str:
    name, equals, value = option.partition("=")
    if not equals:
        return MASK if name else ""
    known = unquote_plus(name).lower() in _SHOWN and _SHOWN_VALUE.fullmatch(value)
    if known or not value:
        return option
    return f"{name}={MASK}" if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name) else MASK


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


def parse_tls(query: str) -> EngineTls | None:
    """Return the TLS options of a query, None without any. Raises ValueError for unknown ones."""
    if not query:
        return None
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(_TLS_OPTIONS)):
        raise ValueError(f"unknown option {', '.join(unknown)} (known: {', '.join(_TLS_OPTIONS)})")
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
