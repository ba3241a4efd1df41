"""Hosts and ports as text, IPv6 too."""

from __future__ import annotations

import pytest

from shop_order.configs.sources.nacos import parse_url
from shop_order.configs.types import split_list
from shop_order.pkg.address import join_host_port, reachable, split_host_port
from shop_order.pkg.message.rocketmq import parse as rocketmq
from shop_order.pkg.redis import parse as redis


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("h:1", "h", 1),
        ("[::1]:50061", "::1", 50061),
        ("[fe80::1%eth0]:7", "fe80::1%eth0", 7),
        ("a_b.c:80", "a_b.c", 80),
    ],
)
def test_what_was_taken_apart_is_joined_again(text: str, host: str, port: int) -> None:
    assert split_host_port(text) == (host, port)
    assert join_host_port(host, port) == text


@pytest.mark.parametrize(
    "text",
    [
        "::1:50061",
        "::1",
        "[::1]",
        "[::1]50061",
        "[h]:1",
        "h",
        "h:",
        ":1",
        "h:0",
        "h:65536",
        "h:٣",
        "http://h:1",
        "u:p@h:1",
        "a b:1",
        "",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be host:port|in brackets|not an IPv6") as refused:
        split_host_port(text)
    assert len(text) < 6 or text not in str(refused.value)


def test_a_port_may_have_a_default() -> None:
    assert split_host_port("[::1]", 6379) == ("::1", 6379)
    assert split_host_port("h", 6379) == ("h", 6379)


def test_a_host_to_listen_on_becomes_one_to_connect_to() -> None:
    assert [reachable(host) for host in ("0.0.0.0", "::", "[::]", "::1", "h")] == [
        "127.0.0.1",
        "::1",
        "::1",
        "::1",
        "h",
    ]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a,b", ["a", "b"]),
        (" a , ,b ", ["a", "b"]),
        ("", []),
        ("[]", []),
        ("[::1]:50061", ["[::1]:50061"]),
        ("[::1]", ["[::1]"]),
        ("[::1]:1,[::2]:2", ["[::1]:1", "[::2]:2"]),
        ("h:1,[::2]:2", ["h:1", "[::2]:2"]),
        ("[[::1]:1, h:2]", ["[::1]:1", "h:2"]),
        ("['[::1]:1', \"h:2\"]", ["[::1]:1", "h:2"]),
        ('["[::1]:1"]', ["[::1]:1"]),
        ("[a, b]", ["a", "b"]),
        ("- '[::1]:1'\n- h:2", ["[::1]:1", "h:2"]),
        ("h:1\n[::2]:2\n", ["h:1", "[::2]:2"]),
        ("2001:db8::/32,::1", ["2001:db8::/32", "::1"]),
        ("https://[::1]:8080", ["https://[::1]:8080"]),
    ],
)
def test_a_list_is_read_however_it_is_written(text: str, items: list[str]) -> None:
    assert split_list(text) == items


@pytest.mark.parametrize("text", ["[a", '["a', "a]", "[[a]", "'a"])
def test_half_a_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a list"):
        split_list(text)


def test_engines_understand_ipv6() -> None:
    assert redis("redis+cluster://[::1]:1,h:2").hosts == (("::1", 1), ("h", 2))
    assert redis("redis://[::1]").hosts == (("::1", 6379),)
    assert parse_url("nacos://[::1],[::2]:1,h").servers == ("[::1]:8848", "[::2]:1", "h:8848")
    assert rocketmq("rocketmq://[::1]:8081?namesrv=[::1]:9876").proxies == ("[::1]:8081",)
