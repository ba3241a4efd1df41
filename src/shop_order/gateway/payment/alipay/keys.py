"""Our private key and Alipay's public keys: from a key file (key mode), or from certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from shop_order.gateway.payment.alipay.certificates import number_of, root_number, successor_of
from shop_order.pkg.key_files import BadKeyFile, certificate_key, certificates, private_key, public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.x509 import Certificate

KEY_MODE = ""  # stands for the number of a certificate where there is none


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The three files of certificate mode, as downloaded from Alipay."""

    app: Path
    alipay: Path
    root: Path


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys; `theirs` by the number of its certificate. `named` is what each request names.

    `chain` and `roots` prove later certificates.
    """

    ours: RSAPrivateKey
    theirs: Mapping[str, RSAPublicKey]
    named: Mapping[str, str] = field(default_factory=dict)
    chain: Sequence[Certificate] = ()
    roots: Sequence[Certificate] = ()

    def with_successor(self, number: str, content: str, now_ms: int) -> Keys:
        """Return the keys with that of a downloaded certificate. Raises ValueError if it proves nothing."""
        new = successor_of(self.chain, self.roots, content, now_ms)
        if number_of(new) != number:
            raise ValueError("it is another certificate than was asked for")
        return replace(self, theirs={**self.theirs, number: certificate_key(new)})


def load_keys(ours: Path, theirs: Path | None, files: CertificateFiles | None) -> Keys:
    """Read the files; those of certificate mode come first. Raises BadKeyFile."""
    if files is None:
        if theirs is None:
            raise BadKeyFile("there is no such file")
        return Keys(private_key(ours), {KEY_MODE: public_key(theirs)})
    app, chain, roots = certificates(files.app), certificates(files.alipay), certificates(files.root)
    named = {"app_cert_sn": number_of(app[0]), "alipay_root_cert_sn": root_number(roots)}
    return Keys(private_key(ours), {number_of(chain[0]): certificate_key(chain[0])}, named, chain, roots)
