"""`python3 deploy/nginx/render.py --instances 10.0.0.1:8080:50051 …`: writes nginx.conf from the template.

Needs nothing but Python 3.11, so that it runs on the gateway itself.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_network
from pathlib import Path

TEMPLATE = Path(__file__).with_name("nginx.conf.template")
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_INSTANCE = re.compile(rf"({_HOST}):(\d{{1,5}}):(\d{{1,5}})")
_LISTEN = re.compile(rf"(?:(?:{_HOST}|\*):)?(\d{{1,5}})")
_ORIGIN = re.compile(rf"https?://{_HOST}(?::\d{{1,5}})?")
_NAME = re.compile(r"(?:\*\.)?[A-Za-z0-9][A-Za-z0-9.-]*")
_FILE = re.compile(r"[\w./@+-]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]*")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
# Used three times in the template: a location with its own error_page inherits none.
_GRPC_REFUSALS = """\
            error_page 400 =200 /refused/3;
            error_page 408 504 =200 /refused/4;
            error_page 413 429 =200 /refused/8;
            error_page 500 =200 /refused/13;"""
_STATUS = """
    server {{
        listen {};
        access_log off;

        location = /status {{
            stub_status;
        }}
    }}
"""
_UNKNOWN_HOSTS = """
    # Requests for other host names are refused.
    server {{
{}
        server_name _;
        ssl_reject_handshake on;
        return 421;
    }}
"""


REST_HEALTH = "max_fails=3 fail_timeout=5s"
# A caller could cause gRPC failures: a message shorter than announced runs into nginx's time limit.
GRPC_HEALTH = "max_fails=0"


@dataclass(frozen=True, slots=True)
class Instance:
    """The addresses of an instance, as the gateway reaches it."""

    host: str
    http_port: int
    grpc_port: int

    @classmethod
    def of(cls, text: str) -> Instance:
        """From `host:http:grpc`. Raises ValueError."""
        found = _INSTANCE.fullmatch(text)
        if not found:
            raise ValueError(f"an instance must be host:http_port:grpc_port, not {text}")
        return cls(found[1], _port(found[2]), _port(found[3]))


@dataclass(frozen=True, slots=True)
class Gateway:
    """The settings of a gateway. Rates are calls per second, bursts calls at once."""

    instances: Sequence[Instance]
    certificate: str = "/etc/nginx/certs/shop.crt"
    key: str = "/etc/nginx/certs/shop.key"
    names: Sequence[str] = ()  # none: any
    listen: Sequence[str] = ("443", "[::]:443")
    listen_plain: Sequence[str] = ("80", "[::]:80")
    https_port: int = 443  # as callers see it
    origins: Sequence[str] = ()  # whose pages may call the service
    trusted_proxies: Sequence[str] = ()  # balancers in front of this gateway
    status: str = ""  # address of nginx's own counters; empty: none
    hsts_s: int = 31_536_000
    deadline_s: int = 10  # the service's SERVER__DEADLINE_S
    address_rate: int = 100
    address_burst: int = 200
    token_rate: int = 50
    token_burst: int = 100
    notice_rate: int = 500
    notice_burst: int = 1000
    at_once: int = 200  # concurrent calls and streams of one address
    user: str = "www-data"  # of the worker processes; empty: the user who starts nginx
    pid: str = "/run/nginx.pid"
    error_log: str = "/var/log/nginx/error.log"
    access_log: str = "/var/log/nginx/access.log"  # Debian rotates *.log
    temp: str = "/var/lib/nginx"

    def __post_init__(self) -> None:
        if not self.instances:
            raise ValueError("at least one instance is required")
        _all(_LISTEN, "an address to listen at", (*self.listen, *self.listen_plain))
        _all(_LISTEN, "an address for the counters", (self.status,) if self.status else ())
        _all(_ORIGIN, "an origin (scheme://host[:port])", self.origins)
        _all(_NAME, "a name", self.names)
        _all(_FILE, "a path", (self.certificate, self.key, self.pid, self.error_log, self.temp))
        _all(_FILE, "a path", (self.access_log,))
        _all(_USER, "a user", (self.user,) if self.user else ())
        for proxy in self.trusted_proxies:
            ip_network(proxy)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1 and field.name != "hsts_s":
                raise ValueError(f"{field.name} must be at least 1")


def render(gateway: Gateway) -> str:
    """The text of nginx.conf."""
    values = {
        **{field.name: str(getattr(gateway, field.name)) for field in fields(gateway)},
        "user": f"user {gateway.user};" if gateway.user else "",
        "rest_servers": _servers(((one.host, one.http_port) for one in gateway.instances), REST_HEALTH),
        "grpc_servers": _servers(((one.host, one.grpc_port) for one in gateway.instances), GRPC_HEALTH),
        "grpc_refusals": _GRPC_REFUSALS,
        "trusted_proxies": _real_ip(gateway.trusted_proxies),
        "origins": "\n".join(f'        "{origin}"  $http_origin;' for origin in gateway.origins),
        "plain_listens": _listens(gateway.listen_plain, " default_server"),
        "tls_listens": _listens(gateway.listen, " ssl http2" + " default_server" * (not gateway.names)),
        "names": " ".join(gateway.names) or "_",
        "https_port": "" if gateway.https_port == 443 else f":{gateway.https_port}",
        "hsts": f'        add_header Strict-Transport-Security "max-age={gateway.hsts_s}" always;'
        if gateway.hsts_s
        else "",
        "read_timeout": str(gateway.deadline_s + 5),
        "status_server": _STATUS.format(gateway.status) if gateway.status else "",
        "strangers_server": _UNKNOWN_HOSTS.format(_listens(gateway.listen, " ssl http2 default_server"))
        if gateway.names
        else "",
    }
    return _PLACEHOLDER.sub(lambda place: values[place[1]], TEMPLATE.read_text("utf-8"))


def write(file: Path, text: str) -> None:
    """Replace a file atomically: nginx may read it at any moment."""
    draft = file.with_name(f"{file.name}.new")
    draft.write_text(text, "utf-8")
    draft.replace(file)


def main() -> int:
    """Run the command. Exit code: 0, or 2 after one line about an invalid value."""
    try:
        arguments = vars(_arguments())
        output = arguments.pop("output")
        given = {name: value for name, value in arguments.items() if value is not None}
        text = render(Gateway(**given))
    except ValueError as refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    if output:
        write(Path(output), text)
    else:
        sys.stdout.write(text)
    return os.EX_OK


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="nginx.conf of the gateway, on standard output or in a file."
    )
    parser.add_argument("--output", metavar="FILE")
    parser.add_argument("--instances", nargs="+", required=True, metavar="HOST:HTTP:GRPC")
    for field in fields(Gateway)[1:]:
        many = isinstance(field.default, tuple)
        default = " ".join(field.default) if isinstance(field.default, tuple) else str(field.default)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            nargs="*" if many else None,
            type=int if isinstance(field.default, int) else str,
            metavar=field.name.upper(),
            help=f"default {default or 'none'}",
        )
    parsed = parser.parse_args()
    parsed.instances = [Instance.of(text) for text in parsed.instances]
    return parsed


def _servers(addresses: Iterable[tuple[str, int]], health: str) -> str:
    return "\n".join(f"        server {host}:{port} {health};" for host, port in addresses)


def _listens(addresses: Sequence[str], options: str) -> str:
    return "\n".join(f"        listen {address}{options};" for address in addresses)


def _real_ip(proxies: Sequence[str]) -> str:
    if not proxies:
        return ""
    lines = [f"    set_real_ip_from {proxy};" for proxy in proxies]
    # From right to left: whatever precedes the last untrusted address was written by that caller.
    return "\n".join([*lines, "    real_ip_header X-Forwarded-For;", "    real_ip_recursive on;", ""])


def _all(pattern: re.Pattern[str], what: str, texts: Sequence[str]) -> None:
    for text in texts:
        if not pattern.fullmatch(text):
            raise ValueError(f"not {what}: {text}")


def _port(text: str) -> int:
    if not 0 < int(text) < 65_536:
        raise ValueError(f"not a port: {text}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
