"""Certificate mode: the numbers that requests and answers name, and successors of Alipay's certificate.

A certificate's number is the MD5 of its issuer and serial number, as in Alipay's Java SDK
(AntCertificationUtil). Java also escapes `=` and `#` within a name and encodes e-mail addresses; the names of
Alipay's authorities have none.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import md5

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

RSA_SIGNED = "1.2.840.113549.1.1."  # the root file also has certificates with other signatures
MAX_CHAIN = 4
MAX_CONTENT = 64 * 1024  # characters


def number_of(certificate: x509.Certificate) -> str:
    """Return a certificate's number at Alipay."""
    named = f"{certificate.issuer.rfc4514_string()}{certificate.serial_number}"
    return md5(named.encode(), usedforsecurity=False).hexdigest()


def root_number(roots: Iterable[x509.Certificate]) -> str:
    """Return the number of the root file: those of its RSA-signed certificates, joined by `_`."""
    return "_".join(
        number_of(one) for one in roots if one.signature_algorithm_oid.dotted_string.startswith(RSA_SIGNED)
    )


def is_issued(
    certificate: x509.Certificate, others: Iterable[x509.Certificate], roots: Sequence[x509.Certificate]
) -> bool:
    """Return whether signatures lead from the certificate over `others` to a root."""
    authorities = [*roots, *others]
    for _ in range(MAX_CHAIN):
        issuer = next((one for one in authorities if _has_issued(one, certificate)), None)
        if issuer is None or issuer in roots:
            return issuer is not None
        certificate = issuer
    return False


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    if issuer.subject != certificate.issuer:
        return False
    try:
        is_authority = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return is_authority


def is_valid(certificate: x509.Certificate, now_ms: int) -> bool:
    """Return whether the time is within the certificate's validity."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def successor_of(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], content: str, now_ms: int
) -> x509.Certificate:
    """Return the certificate in a downloaded base64 text, if it may follow the first one of `chain`.

    It must have the same owner and issuer, since merchants have certificates under the same root, be valid
    and lead to a root. Raises ValueError.
    """
    if len(content) > MAX_CONTENT:
        raise ValueError("the certificate is too large")
    try:
        found = x509.load_pem_x509_certificates(base64.b64decode(content, validate=True))
    except (binascii.Error, ValueError) as malformed:
        raise ValueError("it is not a certificate") from malformed
    new, current = found[0], chain[0]
    if (new.subject, new.issuer) != (current.subject, current.issuer):
        raise ValueError("the certificate is not Alipay's")
    if not is_valid(new, now_ms) or not is_issued(new, [*found[1:], *chain[1:]], roots):
        raise ValueError("the certificate has expired, or was not issued under the root")
    return new
