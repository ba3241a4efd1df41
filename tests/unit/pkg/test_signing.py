from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.pkg.signing import BadSignature, Signer

OLD, NEW = b"o" * 32, b"n" * 32


@given(st.binary(max_size=200))
def test_what_was_sealed_comes_back(payload: bytes) -> None:
    signer = Signer([NEW])
    assert signer.unseal("cursor", signer.seal("cursor", payload)) == payload
    signer.verify("link", payload, signer.sign("link", payload))


def test_an_older_key_still_verifies_and_the_newest_signs() -> None:
    signature = Signer([OLD]).sign("link", b"x")
    Signer([NEW, OLD]).verify("link", b"x", signature)
    assert Signer([NEW, OLD]).sign("link", b"x") == Signer([NEW]).sign("link", b"x")
    with pytest.raises(BadSignature):
        Signer([NEW]).verify("link", b"x", signature)


@given(st.integers(0, 500), st.sampled_from("ABCabc019-_"))
def test_a_changed_character_is_noticed(place: int, letter: str) -> None:
    signer = Signer([NEW])
    sealed = signer.seal("cursor", b"page-two")
    at = place % len(sealed)
    if sealed[at] != letter:
        with pytest.raises(BadSignature):
            signer.unseal("cursor", sealed[:at] + letter + sealed[at + 1 :])


@pytest.mark.parametrize("text", ["", "A", "é", "\ud800", "====", "AAAA", "A" * 22])
def test_rubbish_is_refused(text: str) -> None:
    with pytest.raises(BadSignature):
        Signer([NEW]).unseal("cursor", text)
    with pytest.raises(BadSignature):
        Signer([NEW]).verify("cursor", b"", text)


def test_only_one_spelling_of_a_sealed_text_counts() -> None:
    signer = Signer([NEW])
    sealed = signer.seal("cursor", b"x")  # 17 bytes: the last character has two bits to spare
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = sealed[:-1] + alphabet[alphabet.index(sealed[-1]) + 1]
    assert urlsafe_b64decode(other + "=") == urlsafe_b64decode(sealed + "=")
    for text in (other, sealed + "=", sealed + "\n"):
        with pytest.raises(BadSignature):
            signer.unseal("cursor", text)


def test_a_signature_serves_one_purpose() -> None:
    signer = Signer([NEW])
    with pytest.raises(BadSignature):
        signer.verify("cursor", b"x", signer.sign("link", b"x"))


def test_weak_or_missing_keys_are_refused() -> None:
    for keys in ([], [b"short"]):
        with pytest.raises(ValueError, match="key"):
            Signer(keys)
