"""The caller's address: the peer, or what trusted proxies say, read from right to left."""

from __future__ import annotations

import pytest

from shop_order.web.middleware.client_address import client_address, contains, is_loopback, networks

TRUSTED = networks(("10.0.0.0/8", "::1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["127.0.0.1, 203.0.113.9"], "203.0.113.9"),  # the left part is the caller's own text
        ("10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["127.0.0.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),  # two headers are one list
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["127.0.0.1, nonsense"], ""),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("198.51.100.1", ["127.0.0.1"], ""),  # nobody we trust says so
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: list[str], address: str) -> None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in forwarded)]
    assert client_address({"client": (peer, 1), "headers": headers}, TRUSTED) == address


def test_without_a_peer_nothing_is_known() -> None:
    assert client_address({"client": None, "headers": []}, TRUSTED) == ""
    assert not is_loopback("")


def test_a_long_chain_is_read_no_further_than_its_last_hops() -> None:
    hops = ", ".join(["203.0.113.9"] + ["10.0.0.2"] * 1000)
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", hops.encode())]}
    assert client_address(scope, TRUSTED) != "203.0.113.9"


@pytest.mark.parametrize(
    ("address", "ours"), [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False)]
)
def test_loopback_is_this_machine_in_every_spelling(address: str, ours: bool) -> None:
    assert is_loopback(address) is ours


def test_a_text_that_is_no_address_is_in_no_network() -> None:
    assert not contains(TRUSTED, "10.0.0.1.evil")
    with pytest.raises(ValueError, match="does not appear"):
        networks(("nonsense",))
