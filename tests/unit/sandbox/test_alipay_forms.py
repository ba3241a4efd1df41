"""Notices are written as a Java program writes them, which the provider is."""

import pytest

from shop_sandbox.alipay import signing


@pytest.mark.parametrize(
    ("text", "charset", "form"),
    [
        ("侰 a+b&c", "GBK", b"k=%82%43+a%2Bb%26c"),  # the second byte is a letter in ASCII
        ("侰😀x", "GBK", b"k=%82%43%3Fx"),  # GBK has no such character
        ("侰", "GB2312", b"k=%3F"),
        ("😀", "GB18030", b"k=%94%39%FC%36"),
        ("侰*-._~", "utf-8", b"k=%E4%BE%B0%2A-._~"),
        ("", "utf-8", b"k="),
    ],
)
def test_a_form_is_written_like_javas(text: str, charset: str, form: bytes) -> None:
    assert signing.form({"k": text}, charset) == form


def test_what_is_signed_is_what_is_written() -> None:
    assert signing.written("侰😀", "GBK") == b"\x82\x43?"
    with pytest.raises(ValueError, match="charset"):
        signing.written("a", "latin1")
