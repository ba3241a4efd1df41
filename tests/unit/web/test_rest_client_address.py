"""The caller's address: the peer, or what trusted proxies say, read from right to left."""

from __future__ import annotations

import pytest

from shop_order.web.auth.client_address import (
    client_address,
    contains,
    is_loopback,
    limit_key_of,
    networks,
)

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
        # Proxies differ in how they write an address.
        ("10.0.0.1", ["203.0.113.9:51234"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ['"[2001:db8::1]:443"'], "2001:db8::1"),
        ("10.0.0.1", ['" 203.0.113.9 "'], "203.0.113.9"),
        ("10.0.0.1", ["\t203.0.113.9 ,, "], "203.0.113.9"),
        ("10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["[::ffff:203.0.113.9]:80, 10.0.0.2:80"], "203.0.113.9"),
        ("10.0.0.1", ["2001:db8::1%eth0"], "2001:db8::1"),
        ("10.0.0.1", ["[fe80::1%25eth0]:1, [::1]:5"], "fe80::1"),
        ("10.0.0.1", ["[fe80::1%eth0]:1, [::1]:5"], "fe80::1"),
        ("10.0.0.1", ["2001:DB8:0:0:0:0:0:1"], "2001:db8::1"),
        # No hop at all is no forwarded request.
        ("10.0.0.1", [""], "10.0.0.1"),
        ("198.51.100.1", ["", " , ,"], "198.51.100.1"),
        # What is no address is nobody's.
        ("10.0.0.1", ["203.0.113.9:99999999"], ""),
        ("10.0.0.1", ["[203.0.113.9"], ""),
        ("10.0.0.1", ["203.0.113.9, unknown"], ""),
        ("10.0.0.1", ["_hidden"], ""),
        ("10.0.0.1", ["1.2.3.4\x00"], ""),
        ("10.0.0.1", ["0x7f.1"], ""),
        ("10.0.0.1", ["127.1"], ""),
        ("10.0.0.1", ["2130706433"], ""),
        ("10.0.0.1", ["x" * 100_000], ""),
        ("10.0.0.1", ["１.２.３.４"], ""),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: list[str], address: str) -> None:
    assert client_address(scope(peer, *forwarded), TRUSTED) == address


@pytest.mark.parametrize(
    ("peer", "forwarded", "one"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("198.51.100.1", [""], "198.51.100.1"),
        ("198.51.100.1", ["203.0.113.9"], "198.51.100.1"),  # an untrusted peer counts itself
        ("198.51.100.1", ["127.0.0.1"], "198.51.100.1"),
        ("198.51.100.1", ["rubbish"], "198.51.100.1"),
        ("10.0.0.1", ["rubbish"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9:51234"], "203.0.113.9"),
        ("::ffff:198.51.100.1", [], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:1:2:3:4:5:6]:443"], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["2001:db8:1:2:ffff::"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", ["203.0.113.9"], "unknown"),
        ("testclient", [], "testclient"),
    ],
)
def test_a_limit_always_counts_somebody_and_a_line_of_ipv6_as_one(
    peer: str, forwarded: list[str], one: str
) -> None:
    assert limit_key_of(scope(peer, *forwarded), TRUSTED) == one


def scope(peer: str, *forwarded: str) -> dict[str, object]:
    """What an ASGI server says of a request."""
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in forwarded)]
    return {"client": (peer, 1) if peer else None, "headers": headers}


def test_a_network_may_be_written_as_mapped() -> None:
    assert contains(networks(("::ffff:10.0.0.0/104",)), "10.1.2.3")


def test_without_a_peer_nothing_is_known() -> None:
    assert client_address({"client": None, "headers": []}, TRUSTED) == ""
    assert not is_loopback("")


def test_a_long_chain_is_read_no_further_than_its_last_hops() -> None:
    hops = ", ".join(["203.0.113.9"] + ["10.0.0.2"] * 1000)
    assert client_address(scope("10.0.0.1", hops), TRUSTED) != "203.0.113.9"


@pytest.mark.parametrize(
    ("address", "ours"), [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False)]
)
def test_loopback_is_this_machine_in_every_spelling(address: str, ours: bool) -> None:
    assert is_loopback(address) is ours


def test_a_text_that_is_no_address_is_in_no_network() -> None:
    assert not contains(TRUSTED, "10.0.0.1.evil")
    with pytest.raises(ValueError, match="does not appear"):
        networks(("nonsense",))
