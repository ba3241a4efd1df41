"""RSA2 signatures: RSA with SHA-256 (PKCS#1 v1.5), base64, over `key=value` sorted by key, joined by `&`."""

import re
from collections.abc import Mapping
from urllib.parse import quote_plus

from cryptography.hazmat.primitives.asymmetric import rsa

from shop_sandbox.payments import rsa_signing

# What Java's Character.isWhitespace accepts: a value of nothing else is not signed.
_BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a"
    "\u2028\u2029\u205f\u3000"
)
_RUN = re.compile(r"[\x00-\x7f]+|[^\x00-\x7f]+")  # of ASCII, or of other characters
GBK, UTF8 = "GBK", "utf-8"
_CODECS = {"utf-8": "utf-8", "gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030"}


def request_text(parameters: Mapping[str, str]) -> str:
    """The text that a request signs: all non-empty parameters except `sign`."""
    return _signed_text(parameters, {"sign"})


def notice_text(parameters: Mapping[str, str]) -> str:
    """The text that a notice or return URL signs: all non-empty parameters except `sign` and `sign_type`."""
    return _signed_text(parameters, {"sign", "sign_type"})


def written(text: str, charset: str) -> bytes:
    """The text as a Java program writes it: `?` for what the charset lacks. Raises ValueError."""
    codec(charset)
    return text.encode(charset, errors="replace")


def form(fields: Mapping[str, str], charset: str) -> bytes:
    """The form as Java's URLEncoder writes it: every byte of a non-ASCII character as %XX."""
    return "&".join(
        f"{_escaped(key, charset)}={_escaped(value, charset)}" for key, value in fields.items()
    ).encode()


def _escaped(text: str, charset: str) -> str:
    parts = _RUN.findall(text)
    return "".join(
        quote_plus(one) if one.isascii() else "".join(f"%{byte:02X}" for byte in written(one, charset))
        for one in parts
    )


def codec(charset: str) -> str:
    """Python's codec to read one of the provider's charsets. Raises ValueError."""
    if charset.lower() not in _CODECS:
        raise ValueError(f"charset must be one of {', '.join(_CODECS)}")
    return _CODECS[charset.lower()]


def sign(key: rsa.RSAPrivateKey, text: str, charset: str = UTF8) -> str:
    """The base64 signature of the text in this charset."""
    return rsa_signing.sign(key, written(text, charset))


def verify(key: rsa.RSAPublicKey, text: str, signature: str, charset: str = UTF8) -> bool:
    """Whether the base64 signature is valid for the text in this charset; SHA-256 only."""
    try:
        raw = text.encode(codec(charset))
    except ValueError:
        return False
    return rsa_signing.verify(key, raw, signature)


def _signed_text(parameters: Mapping[str, str], excluded: set[str]) -> str:
    return "&".join(
        f"{key}={value}"
        for key, value in sorted(parameters.items())
        if value.strip(_BLANKS) and key not in excluded
    )
