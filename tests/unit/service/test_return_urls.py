"""Where buyers may be sent: to the listed addresses, however another one is spelled."""

from __future__ import annotations

import pytest

from shop_order.domain.errors import InvalidArgument
from shop_order.service.place import ReturnUrls

LISTED = ["https://shop.example/done", "http://127.0.0.1:8080", "https://[2001:db8::1]:8443/pay/"]


def allowed(url: str) -> bool:
    try:
        ReturnUrls(lambda: LISTED).check("return_url", url)
    except InvalidArgument as refused:
        assert refused.field == "return_url"
        return False
    return True


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://shop.example/done",
        "https://shop.example/done/",
        "https://shop.example/done?order=1&to=//evil.example#top",
        "https://shop.example/done/a/b",
        "HTTPS://Shop.Example:443/done",
        "http://127.0.0.1:8080",
        "http://127.0.0.1:8080/anything",
        "https://[2001:DB8::1]:8443/pay/1",
        "https://shop.example/done?" + "a" * 486,
    ],
)
def test_what_is_listed_is_allowed_with_what_lies_below(url: str) -> None:
    assert allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "https://shop.example/else",
        "https://shop.example/done-too",
        "https://shop.example/DONE",
        "https://shop.example/done/../admin",
        "https://shop.example/done/%2e%2E/admin",
        "https://shop.example/done/..%2fadmin",
        "https://shop.example/done/..%5cadmin",
        "https://shop.example/done/./x",
        "http://shop.example/done",
        "ftp://shop.example/done",
        "https://shop.example:444/done",
        "https://shop.example:0443x/done",
        "https://shop.example:99999/done",
        "https://shop.example./done",
        "https://shop.example.evil/done",
        "https://evil.example/https://shop.example/done",
        "https://user@shop.example/done",
        "https://shop.example@evil.example/done",
        "https://shop.example:443@evil.example/done",
        "https://@shop.example/done",
        "https://shop.example\\@evil.example/done",
        "https://evil.example\\@shop.example/done",
        "https:\\\\shop.example/done",
        "https:/shop.example/done",
        "https:///shop.example/done",
        "https:shop.example/done",
        "//shop.example/done",
        "/done",
        "javascript:alert(1)//shop.example/done",
        "data:text/html,x",
        " https://shop.example/done",
        "https://shop.example/done\n",
        "https://shop.example/do\tne",
        "https://shop.example/done\x00",
        "https://shop.еxample/done",
        "https://shop。example/done",
        "https://[bad/done",
        "http://127.0.0.1:80801/",
        "http://127.0.0.1/",
        "https://shop.example/done?" + "a" * 487,
    ],
)
def test_what_is_not_listed_is_refused(url: str) -> None:
    assert not allowed(url)


def test_a_stored_address_counts_as_long_as_it_is_listed() -> None:
    listed = ["https://shop.example"]
    urls = ReturnUrls(lambda: listed)
    assert urls.allowed_or_empty("https://shop.example/a") == "https://shop.example/a"
    listed.clear()
    assert urls.allowed_or_empty("https://shop.example/a") == ""
    assert urls.allowed_or_empty("") == ""
