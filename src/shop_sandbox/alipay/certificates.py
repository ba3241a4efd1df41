"""Certificate mode: a root, an authority below it, and the certificates of provider and merchant.

Everything in a certificate follows from its key, so that several processes write the same files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5, sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

DOWNLOAD = "alipay.open.app.alipaycert.download"
VALID_FROM, VALID_UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)
ROOT, AUTHORITY = "Simulated Alipay Root R1", "Simulated Alipay Authority Class 2 R1"
PROVIDER, MERCHANT = "支付宝（模拟）", "2088000000000001"


@dataclass(frozen=True, slots=True)
class Certificates:
    """All certificates, and their numbers as calls and answers name them."""

    root: x509.Certificate
    authority: x509.Certificate
    provider: x509.Certificate
    merchant: x509.Certificate

    @property
    def merchant_numbers(self) -> dict[str, str]:
        """What a merchant names in each call."""
        return {"app_cert_sn": number_of(self.merchant), "alipay_root_cert_sn": number_of(self.root)}

    def files(self) -> dict[str, bytes]:
        """The merchant's files, by name."""
        return {
            "alipay_root_cert.pem": pem(self.root),
            "alipay_cert.pem": pem(self.provider, self.authority),
            "alipay_app_cert.pem": pem(self.merchant),
        }


def issue(
    authority: rsa.RSAPrivateKey, provider: rsa.RSAPublicKey, merchant: rsa.RSAPublicKey
) -> Certificates:
    """Issue all certificates; the authority's key is also the root's."""
    public = authority.public_key()
    return Certificates(
        _issued(ROOT, public, ROOT, authority, is_authority=True),
        _issued(AUTHORITY, public, ROOT, authority, is_authority=True),
        _issued(PROVIDER, provider, AUTHORITY, authority),
        _issued(MERCHANT, merchant, AUTHORITY, authority),
    )


def issue_provider(authority: rsa.RSAPrivateKey, provider: rsa.RSAPublicKey) -> x509.Certificate:
    """Issue the provider's certificate of another key."""
    return _issued(PROVIDER, provider, AUTHORITY, authority)


def number_of(certificate: x509.Certificate) -> str:
    """The number of a certificate: MD5 of its issuer and serial number."""
    text = f"{certificate.issuer.rfc4514_string()}{certificate.serial_number}"
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def pem(*certificates: x509.Certificate) -> bytes:
    """The certificates as one file."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _issued(
    owner: str,
    key: rsa.RSAPublicKey,
    issuer: str,
    issuer_key: rsa.RSAPrivateKey,
    *,
    is_authority: bool = False,
) -> x509.Certificate:
    content = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(owner))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(int.from_bytes(sha256(owner.encode() + content).digest()[:16]) >> 1)
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def _name(common: str) -> x509.Name:
    parts: Sequence[tuple[x509.ObjectIdentifier, str]] = (
        (NameOID.COUNTRY_NAME, "CN"),
        (NameOID.ORGANIZATION_NAME, "Shop Sandbox"),
        (NameOID.COMMON_NAME, common),
    )
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])
