"""nginx.conf comes from one template; a bad value never reaches it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.nginx.render import TEMPLATE, Gateway, Instance, render
from shop_order.web import http
from shop_order.web.auth.roles import ROLES
from shop_order.web.grpc.chain import KEYED

SCRIPT = Path(TEMPLATE).with_name("render.py")
ONE = Instance("order-service-1", 8080, 50051)


def said(*words: str) -> subprocess.CompletedProcess[str]:
    """The script as a gateway's operator calls it: any Python, no environment of ours."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def mapped(name: str) -> str:
    """What the template's `map … $name` gives when a preflight is allowed."""
    found = re.search(rf'\${name} {{.*?"([^"]+)";', TEMPLATE.read_text("utf-8").replace('""', ""), re.DOTALL)
    assert found
    return found[1]


def again() -> list[re.Pattern[str]]:
    """Which calls the template lets go to a second instance."""
    lines = re.findall(r'"~(\^POST /.*?)"\s+@\w+_again;', TEMPLATE.read_text("utf-8"))
    return [re.compile(line) for line in lines]


def test_the_script_needs_no_package_and_writes_the_file_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "nginx.conf"
    instances = ("10.0.0.1:8080:50051", "[2001:db8::1]:8080:50051", "order-service-3:8081:50052")
    done = said("--instances", *instances, "--names", "api.shop.example.com", "--output", str(target))
    assert (done.returncode, done.stderr) == (0, "")
    text = target.read_text("utf-8")
    for line in ("10.0.0.1:8080", "[2001:db8::1]:50051", "order-service-3:8081", "order-service-3:50052"):
        rests = "max_fails=3" if line.endswith(("8080", "8081")) else "max_fails=0"
        assert f"server {line} {rests}" in text
    assert "server_name api.shop.example.com;" in text
    assert "{{" not in text
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--instances", "10.0.0.1:8080"), "an instance must be host:http_port:grpc_port, not 10.0.0.1:8080"),
        (("--instances", "a:8080:70000"), "not a port: 70000"),
        (("--instances", "a;:8080:50051"), "an instance must be"),
        (("--instances", "a:1:2", "--origins", "*"), "not an origin (scheme://host[:port]): *"),
        (("--instances", "a:1:2", "--origins", 'https://a.example";'), "not an origin"),
        (("--instances", "a:1:2", "--names", "a b"), "not a name: a b"),
        (("--instances", "a:1:2", "--key", "/k;}"), "not a path: /k;}"),
        (("--instances", "a:1:2", "--trusted-proxies", "10.0.0.0/33"), "10.0.0.0/33"),
        (("--instances", "a:1:2", "--listen", "443 proxy_protocol"), "not an address to listen at"),
        (("--instances", "a:1:2", "--token-rate", "0"), "token_rate must be at least 1"),
    ],
)
def test_a_bad_value_is_one_clear_line(words: tuple[str, ...], complaint: str) -> None:
    done = said(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_instances_there_is_no_gateway() -> None:
    with pytest.raises(ValueError, match="at least one instance"):
        Gateway(instances=())


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"https_port": 8443}, "return 308 https://$host:8443$request_uri;"),
        ({}, "return 308 https://$host$request_uri;"),
        ({"hsts_s": 60}, 'Strict-Transport-Security "max-age=60"'),
        ({"deadline_s": 30}, "proxy_read_timeout 35s;"),
        ({"names": ("a.example",)}, "ssl_reject_handshake on;"),
        ({"user": ""}, "\n\nworker_processes"),
    ],
)
def test_a_setting_does_something(changed: dict[str, Any], line: str) -> None:
    assert line in render(Gateway((ONE,), **changed))


def test_what_is_not_set_leaves_nothing_behind() -> None:
    text = render(Gateway((ONE,), hsts_s=0))
    for absent in ("Strict-Transport-Security", "set_real_ip_from", "stub_status", "ssl_reject_handshake"):
        assert absent not in text


def test_pages_of_other_origins_may_do_what_the_service_itself_would_let_them() -> None:
    assert mapped("cors_headers").split(", ") == list(http._ALLOWED_HEADERS)
    assert mapped("cors_exposed").split(", ") == list(http._EXPOSED_HEADERS)


def test_only_calls_that_change_nothing_or_carry_a_key_may_be_sent_twice() -> None:
    reading = {
        method
        for method in ROLES
        if method.startswith(("/order.OrderService/", "/shop.order.Order/"))
        and re.search(r"/(Get|List|Check|OrderList$|OrderDetail$)", method)
    }
    for method in (name for name in ROLES if name.startswith("/")):
        without, with_key = (
            any(pattern.match(f"POST {method} {key}") for pattern in again()) for key in ("", "k1")
        )
        assert without is (method in reading), method
        assert with_key is (method in reading | KEYED), method
    posts = {route.partition(" ")[2] for route in ROLES if route.startswith("POST ")}
    names = {"order_sn": "1" * 27, "refund_sn": "R" + "1" * 27}
    keyed = {path for path in posts if any(p.match(f"POST {path.format(**names)} k") for p in again())}
    assert keyed == {
        "/api/v1/orders",
        "/api/v1/orders/{order_sn}/pay",
        "/api/v1/orders/{order_sn}/refunds",
    }
