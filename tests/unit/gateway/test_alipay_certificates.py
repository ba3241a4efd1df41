"""Alipay's certificates: their numbers, who may follow whom, and what `config check` says of the files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from shop_order.configs.settings import Alipay as AlipaySection
from shop_order.gateway.payment.alipay import problems
from shop_order.gateway.payment.alipay.certificates import (
    is_issued,
    number_of,
    root_number,
    successor_of,
)
from shop_order.gateway.payment.alipay.keys import CertificateFiles, load_keys
from shop_order.pkg.key_files import BadKeyFile

NOW_MS = 1_795_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
DAY = timedelta(days=1)


def named(common: str) -> x509.Name:
    parts = ((NameOID.COUNTRY_NAME, "CN"), (NameOID.ORGANIZATION_NAME, "Ant"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])


def issued(
    owner: str,
    key: Any,
    issuer: str,
    by: Any,
    *,
    serial: int = 7,
    ca: bool | None = False,
    ends: datetime = NOW + DAY,
) -> x509.Certificate:
    made = (
        x509.CertificateBuilder().subject_name(named(owner)).issuer_name(named(issuer)).serial_number(serial)
    )
    made = made.public_key(key.public_key()).not_valid_before(NOW - DAY).not_valid_after(ends)
    if ca is not None:
        made = made.add_extension(x509.BasicConstraints(ca, None), critical=True)
    return made.sign(by, hashes.SHA256())


@pytest.fixture(scope="module")
def keys() -> dict[str, rsa.RSAPrivateKey]:
    names = ("root", "class2", "alipay", "new", "ours", "stranger")
    return {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in names}


@pytest.fixture(scope="module")
def chain(keys: dict[str, Any]) -> list[x509.Certificate]:
    """Alipay's certificate, the authority above it, and the root."""
    return [
        issued("alipay", keys["alipay"], "class2", keys["class2"]),
        issued("class2", keys["class2"], "root", keys["root"], ca=True),
        issued("root", keys["root"], "root", keys["root"], ca=True),
    ]


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def test_a_number_is_of_issuer_and_serial_number(keys: dict[str, Any]) -> None:
    one = issued("alipay", keys["alipay"], "class2", keys["class2"], serial=2**70)
    assert number_of(one) == hashlib.md5(f"CN=class2,O=Ant,C=CN{2**70}".encode()).hexdigest()


def test_the_number_of_the_root_file_is_of_its_rsa_certificates(
    keys: dict[str, Any], chain: list[x509.Certificate]
) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    elliptic = issued("e1", curve, "e1", curve, ca=True)
    other = issued("itrus", keys["new"], "itrus", keys["new"], ca=True)
    assert root_number([elliptic, chain[2], other]) == f"{number_of(chain[2])}_{number_of(other)}"
    assert root_number([elliptic]) == ""


def test_a_chain_leads_over_authorities_to_the_root(
    keys: dict[str, Any], chain: list[x509.Certificate]
) -> None:
    leaf, authority, root = chain
    assert is_issued(leaf, [authority], [root])
    assert not is_issued(leaf, [], [root]), "the authority is missing"
    assert not is_issued(leaf, [authority], []), "the root is missing"
    forged = issued("class2", keys["stranger"], "root", keys["stranger"], ca=True)
    assert not is_issued(issued("alipay", keys["new"], "class2", keys["stranger"]), [forged], [root])
    for ca in (False, None):
        merchant = issued("m", keys["stranger"], "class2", keys["class2"], ca=ca)
        by_merchant = issued("alipay", keys["new"], "m", keys["stranger"])
        assert not is_issued(by_merchant, [merchant, authority], [root]), "a merchant is no authority"
    loop = issued("a", keys["new"], "a", keys["new"], ca=True)
    assert not is_issued(loop, [loop], [root])


@pytest.mark.parametrize(
    ("owner", "issuer", "by", "ends", "is_believed"),
    [
        ("alipay", "class2", "class2", NOW + DAY, True),
        ("merchant", "class2", "class2", NOW + DAY, False),
        ("alipay", "root", "root", NOW + DAY, False),
        ("alipay", "class2", "stranger", NOW + DAY, False),
        ("alipay", "class2", "class2", NOW - timedelta(hours=1), False),
    ],
)
def test_only_alipays_next_certificate_follows(
    keys: dict[str, Any],
    chain: list[x509.Certificate],
    owner: str,
    issuer: str,
    by: str,
    ends: datetime,
    is_believed: bool,
) -> None:
    new = issued(owner, keys["new"], issuer, keys[by], serial=8, ends=ends)
    content = base64.b64encode(pem(new)).decode()
    if is_believed:
        assert successor_of(chain[:2], chain[2:], content, NOW_MS) == new
        return
    with pytest.raises(ValueError, match="certificate"):
        successor_of(chain[:2], chain[2:], content, NOW_MS)


@pytest.mark.parametrize("content", ["", "not base64!", "bm8gY2VydGlmaWNhdGU=", "A" * 70_000])
def test_what_is_no_certificate_does_not_follow(chain: list[x509.Certificate], content: str) -> None:
    with pytest.raises(ValueError, match="certificate"):
        successor_of(chain[:2], chain[2:], content, NOW_MS)


# ---- files ----

Written = Callable[..., Any]


@pytest.fixture
def section(tmp_path: Path, keys: dict[str, Any], chain: list[x509.Certificate]) -> Written:
    """The settings of certificate mode; a file may have other content."""

    def section(**changed: bytes) -> Any:
        private = keys["ours"].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files = {
            "app_private_key_file": private,
            "app_cert_file": pem(issued("us", keys["ours"], "class2", keys["class2"])),
            "alipay_cert_file": pem(*chain[:2]),
            "root_cert_file": pem(chain[2]),
        } | changed
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        paths: dict[str, Any] = {name: str(tmp_path / name) for name in files}
        about = {"gateway": "https://a/", "app_id": "1", "seller_id": "2", "notify_url": None, "timeout_s": 5}
        return AlipaySection(**about, **paths, public_key_file=None)

    return section


def told(section: Any) -> list[str]:
    return [
        text.split(": ", 2)[0][13:] + ": " + text.split(": ", 2)[2]
        for text in problems(section, lambda: NOW_MS / 1000)
    ]


def test_good_files_have_no_problems(section: Written) -> None:
    good = section()
    assert (good.by_certificates, good.missing, told(good)) == (True, [], [])


def test_wrong_files_are_told(section: Written, keys: dict[str, Any], chain: list[x509.Certificate]) -> None:
    stranger = issued("us", keys["stranger"], "class2", keys["class2"])
    ours = issued("alipay", keys["ours"], "class2", keys["class2"])
    old = issued("alipay", keys["alipay"], "class2", keys["class2"], ends=NOW - timedelta(hours=1))
    curve = ec.generate_private_key(ec.SECP256R1())
    elliptic = issued("e", curve, "e", curve, ca=True)
    cases: list[tuple[dict[str, bytes], list[str]]] = [
        ({"app_cert_file": pem(stranger)}, ["APP_CERT_FILE: is not the certificate of our private key"]),
        ({"app_cert_file": b"nothing"}, ["APP_CERT_FILE: contains no readable certificate"]),
        (
            {"root_cert_file": pem(elliptic)},
            [
                "ROOT_CERT_FILE: has no RSA-signed certificate",
                "ALIPAY_CERT_FILE: was not issued under the root certificate",
            ],
        ),
        (
            {"alipay_cert_file": pem(chain[0])},
            ["ALIPAY_CERT_FILE: was not issued under the root certificate"],
        ),
        ({"alipay_cert_file": pem(old, chain[1])}, ["ALIPAY_CERT_FILE: has expired, or is not valid yet"]),
        (
            {"alipay_cert_file": pem(ours, chain[1])},
            [
                "ALIPAY_CERT_FILE: is the certificate of our own key; Alipay's is shown beside it on"
                " Alipay's site"
            ],
        ),
        (
            {"alipay_cert_file": pem(issued("alipay", curve, "class2", keys["class2"]), chain[1])},
            ["ALIPAY_CERT_FILE: contains no RSA key"],
        ),
    ]
    for changed, expected in cases:
        assert told(section(**changed)) == expected, changed


def test_one_certificate_file_wants_all_three() -> None:
    about: dict[str, Any] = dict.fromkeys(("app_private_key_file", "public_key_file", "notify_url"), None)
    about |= {"gateway": "https://a/", "app_id": "1", "seller_id": "2", "timeout_s": 5}
    files: dict[str, Any] = {"app_cert_file": "a.crt", "alipay_cert_file": None, "root_cert_file": None}
    wanted = AlipaySection(**about, **files)
    assert wanted.missing == ["app_private_key_file", "alipay_cert_file", "root_cert_file"]
    by_key = AlipaySection(**about, **dict.fromkeys(files, None))
    assert by_key.missing == ["app_private_key_file", "public_key_file"]


def test_a_missing_file_makes_the_channel_unavailable(tmp_path: Path, section: Written) -> None:
    paths = SimpleNamespace(**section().model_dump())
    files = [Path(paths.app_cert_file), Path(paths.alipay_cert_file), Path(paths.root_cert_file)]
    keys = load_keys(Path(paths.app_private_key_file), None, CertificateFiles(*files))
    assert set(keys.named) == {"app_cert_sn", "alipay_root_cert_sn"}
    files[1].unlink()
    with pytest.raises(BadKeyFile):
        load_keys(Path(paths.app_private_key_file), None, CertificateFiles(*files))
    with pytest.raises(BadKeyFile):
        load_keys(Path(paths.app_private_key_file), None, None)
