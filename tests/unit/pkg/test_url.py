"""No password leaves by a text, however it is spelled and whoever repeats the URL."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shop_order.pkg.log.masking import mask_text
from shop_order.pkg.url import file_of, mask_setting, mask_url, mask_urls

# Long enough not to stand in the rest of the URL by chance.
PASSWORDS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=8, max_size=20).map(
    lambda text: f"ZQ{text}9ZQ"
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://app:pw pw@h:3306/db", "mysql://app:***@h:3306/db"),
        ("mysql://app:p@ss@h/db", "mysql://app:***@h/db"),
        ("mysql://app:p%40ss@[::1]:3306/db", "mysql://app:***@[::1]:3306/db"),
        ("mysql://app:p#ss@h/db", "mysql://***"),
        ("mysql://app:p?ss@h/db", "mysql://***"),
        ("mysql://app:p/ss@h/db", "mysql://***"),
        ("mysql://app:pass-word", "mysql://***"),
        ("redis://:pw@h:6379/0", "redis://:***@h:6379/0"),
        ("redis://pw@h", "redis://***@h"),
        ("redis+sentinel://u:pw@a:1,b:2/master", "redis+sentinel://u:***@a:1,b:2/master"),
        ("consul://:token@h:8500", "consul://:***@h:8500"),
        ("http://token:@h/x", "http://***@h/x"),
        ("mongodb://u:p@h1:1,h2:2/logs?authSource=admin", "mongodb://u:***@h1:1,h2:2/logs?authSource=admin"),
        ("mongodb://h/l?authMechanismProperties=T:secret", "mongodb://h/l?authMechanismProperties=***"),
        ("mysql://h/db?password=x&ssl-key=/k.pem", "mysql://h/db?password=***&ssl-key=***"),
        ("mysql://h/db?ssl-ca=/c.pem", "mysql://h/db?ssl-ca=/c.pem"),
        ("https://h/jwks?group=a;password=b", "https://h/jwks?group=***"),
        ("https://h/jwks?%70assword=b", "https://h/jwks?***"),
        ("sqlite:////path with space/a@b/order.db", "sqlite:////path with space/a@b/order.db"),
        ("nacos://h:8848?namespace=order-service&group=G", "nacos://h:8848?namespace=order-service&group=G"),
    ],
)
def test_a_url_shows_everything_but_what_is_secret(url: str, shown: str) -> None:
    assert mask_setting(url) == shown
    assert mask_urls(f"can't reach {url}") == f"can't reach {shown}" or url.startswith("sqlite:")


@given(PASSWORDS)
@example("ZQ with space9ZQ")
@example("ZQ@:/?#[]%40&=;,'\"9ZQ")
@example("ZQ://x@y9ZQ")
def test_no_password_is_ever_shown(password: str) -> None:
    forms = {password, quote(password, safe="")}
    for form in forms:
        for url in (
            f"mysql://app:{form}@db.shop:3306/shop",
            f"redis://:{form}@cache:6379/0",
            f"redis://{form}@cache",
            f"mongodb://u:{form}@a:1,b:2/logs?replicaSet=r",
            f"consul://:{form}@registry:8500",
            f"mysql://h/db?password={form}",
            f"nacos://nacos:{form}@h:8848?namespace=n",
            f"mysql:u:{form}@h/db",
        ):
            assert form not in mask_setting(url), url
            assert form not in mask_url(url), url
            if not url.startswith("mysql:u:"):
                assert form not in mask_text(f"OperationalError: can't open {url}, tried 3 times"), url


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:50061",
        "goods-service",
        "[::1]:50061",
        "./data",
        "/etc/shop/a@b.pem",
        "用户",
        "file:",
        "none://",
    ],
)
def test_what_is_no_url_is_shown(text: str) -> None:
    assert mask_setting(text) == text


@pytest.mark.parametrize(
    "said",
    [
        "DB__URL: must be mysql://user:password@host:port/db",
        "REGISTRY__URL: write consul://host:port, or consul://:token@host:port",
        "CONFIG__URL: write nacos://host:port?namespace=order-service&group=DEFAULT_GROUP",
        "CACHE__URL: needs the master's name: redis+sentinel://host:port/name",
        "TRACE__URL: must be otlp://host:port or otlps://host:port",
    ],
)
def test_our_own_examples_can_be_read(said: str) -> None:
    assert mask_urls(said) == said


def test_a_sentence_keeps_its_words() -> None:
    said = "see https://shop.example/docs, (http://127.0.0.1:8090/x). Nacos at h:8848: http://[::1]:1: no"
    assert mask_urls(said) == said


@pytest.mark.parametrize(
    ("location", "file"),
    [
        ("/keys/jwks.json", "/keys/jwks.json"),
        ("file:///keys/our%20jwks.json", "/keys/our jwks.json"),
        ("keys/50%25", "keys/50%25"),
        ("https://issuer.shop/jwks", None),
        ("HTTP://issuer.shop/jwks", None),
        ("http://[::1", None),
        ("file://[::1", "file://[::1"),
    ],
)
def test_a_file_is_named_by_a_path_or_a_url(location: str, file: str | None) -> None:
    assert file_of(location) == file
