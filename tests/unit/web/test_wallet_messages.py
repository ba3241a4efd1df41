"""Who is believed to be the wallet on the broker: whoever signs exactly this body, in a wallet's name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shop_order.api.client.events import signature
from shop_order.domain.errors import Forbidden, InvalidArgument, SignatureInvalid
from shop_order.domain.event.wallet_events import WalletAnswer
from shop_order.pkg.message import SIGNATURE, Delivery
from shop_order.pkg.signing import Signer
from shop_order.service.wallet import WalletAnswers
from shop_order.web.wallet_messages import SignedAnswers
from tests.balance import answer

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
BODY = answer("wallet.debited", "P1")
RIGHT = signature(NEW, BODY)


class Recorder(WalletAnswers):
    """The use case, as far as it says who may call it."""

    def __init__(self, *wallets: str) -> None:
        nothing = cast(Any, None)
        super().__init__(orders=nothing, attempts=nothing, clock=nothing, alert=nothing, wallets=wallets)
        self.taken: list[WalletAnswer] = []

    async def take(self, answer: WalletAnswer) -> None:
        self.taken.append(answer)


class Inbox:
    """What the consumer gives messages to."""

    def __init__(self, *keys: bytes) -> None:
        self.forged: list[str] = []
        self.answers = Recorder("wallet", "wallet2")
        self._signed = SignedAnswers(self.answers, Signer(keys or [NEW]), self.forged.append)

    async def get(self, body: bytes, properties: Mapping[str, str]) -> None:
        await self._signed.take(Delivery("P1", "wallet.debited", body, properties, 1))

    async def refuses(self, body: bytes, properties: Mapping[str, str], why: type[Exception]) -> None:
        with pytest.raises(why):
            await self.get(body, properties)
        assert self.answers.taken == []
        assert self.forged == ["balance"]


def told_by(source: object) -> bytes:
    return json.dumps(json.loads(BODY) | {"source": source}).encode()


async def test_what_a_wallet_signed_is_taken() -> None:
    inbox = Inbox()
    await inbox.get(BODY, {SIGNATURE: RIGHT, "x-request-id": "r"})
    await inbox.get(told_by("wallet2"), {SIGNATURE: signature(NEW, told_by("wallet2"))})
    assert [one.payment_sn for one in inbox.answers.taken] == ["P1", "P1"]
    assert inbox.forged == []


async def test_a_changed_byte_is_refused_wherever_it_is() -> None:
    for at in range(len(BODY)):
        for bits in (0x01, 0x20, 0x80, 0xFF):  # of a letter, 0x20 is its case
            body = BODY[:at] + bytes([BODY[at] ^ bits]) + BODY[at + 1 :]
            await Inbox().refuses(body, {SIGNATURE: RIGHT}, SignatureInvalid)


async def test_a_body_that_is_longer_or_shorter_is_refused() -> None:
    for at in range(len(BODY)):
        for body in (BODY[:at], BODY[at + 1 :], BODY[:at] + b" " + BODY[at:], BODY + BODY[:at] + b" "):
            await Inbox().refuses(body, {SIGNATURE: RIGHT}, SignatureInvalid)


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {SIGNATURE: ""},
        {SIGNATURE: RIGHT.upper()},
        {SIGNATURE: f"{RIGHT} "},
        {SIGNATURE: RIGHT[:32]},
        {SIGNATURE: signature(OTHER, BODY)},
        {SIGNATURE: signature(b"", BODY)},
        {SIGNATURE: signature(NEW, BODY + b" ")},
        {SIGNATURE.upper(): RIGHT},
    ],
    ids=["none", "empty", "capitals", "blank", "half", "other key", "no key", "other body", "other name"],
)
async def test_without_the_right_signature_nothing_is_believed(properties: Mapping[str, str]) -> None:
    await Inbox().refuses(BODY, properties, SignatureInvalid)


@given(st.text() | st.text("0123456789abcdef", min_size=64, max_size=64))
async def test_another_signature_is_refused(text: str) -> None:
    assume(text != RIGHT)
    await Inbox().refuses(BODY, {SIGNATURE: text}, SignatureInvalid)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"id":"x"}', b"[" * 10_000])
async def test_a_signed_body_without_a_source_is_refused(body: bytes) -> None:
    await Inbox().refuses(body, {SIGNATURE: signature(NEW, body)}, Forbidden)


@given(st.text() | st.none() | st.integers() | st.lists(st.just("wallet")))
async def test_another_source_is_refused_though_it_signs(source: object) -> None:
    assume(source not in ("wallet", "wallet2"))
    body = told_by(source)
    await Inbox().refuses(body, {SIGNATURE: signature(NEW, body)}, Forbidden)


async def test_a_signed_answer_of_another_form_is_refused_but_not_forged() -> None:
    inbox, body = Inbox(), b'{"source":"wallet"}'
    with pytest.raises(InvalidArgument):
        await inbox.get(body, {SIGNATURE: signature(NEW, body)})
    assert (inbox.answers.taken, inbox.forged) == ([], [])


async def test_every_listed_key_verifies_and_a_removed_one_no_longer() -> None:
    by_old = {SIGNATURE: signature(OLD, BODY)}
    for keys in ((OLD,), (OLD, NEW), (NEW, OLD)):
        inbox = Inbox(*keys)
        await inbox.get(BODY, by_old)
        assert len(inbox.answers.taken) == 1
    await Inbox(NEW).refuses(BODY, by_old, SignatureInvalid)
