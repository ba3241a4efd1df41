"""Random texts, and random changes: the libraries and our channels find the same signatures valid."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shop_order.domain.entity.payment import Redirect
from shop_order.domain.errors import InvalidArgument, SignatureInvalid
from shop_order.domain.ports import OpenRequest, PaymentChannel
from shop_order.gateway.payment.alipay.channel import MAX_SUBJECT, SUBJECT_MARKS
from tests.providers.accounts import AlipayAccount, WechatAccount
from tests.providers.library import Library, Refused
from tests.providers.test_alipay_channel import FORM, NOTICE, PAYMENT
from tests.providers.test_wechat_channel import TRADE

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
few = settings(max_examples=60, deadline=None)
GATEWAY = "http://127.0.0.1:1"


def taken(channel: PaymentChannel, body: bytes, headers: dict[str, str]) -> bool:
    """Whether the channel finds the notice signed."""
    try:
        channel.verify(body, headers)
    except (SignatureInvalid, InvalidArgument):
        return False
    return True


def field_at(form: str, at: int) -> str:
    """The field that has this character, or ends at it."""
    return f"{form[:at].rpartition('&')[2]}{form[at:]}".partition("&")[0]


def test_any_notice_of_alipay(library: Library, keys_dir: Path) -> None:
    account = AlipayAccount(keys_dir)
    channel = account.channel(GATEWAY)
    known = {"kind": "notice", "charset": "utf-8", "public_key": account.alipay_public}

    @few
    @given(texts, texts, st.integers(0), st.sampled_from("0aZ~"))
    @example("", "\r", 0, "0")
    def both_agree(subject: str, passback: str, at: int, other: str) -> None:
        fields = {**NOTICE, "charset": "utf-8", "subject": subject, "passback_params": passback}
        about = {"private_key": account.alipay_private, "charset": "utf-8"}
        body: str = library.ask("alipay.notice", fields=fields, **about)
        assert taken(channel, body.encode("ascii"), FORM)
        told = library.ask("alipay.check", form=body, **known)
        assert (told["valid"], told["fields"].get("subject", "")) == (True, subject)
        at %= len(body)
        changed = body[:at] + other + body[at + 1 :]
        try:
            theirs = library.ask("alipay.check", form=changed, **known)["valid"]
        except Refused:
            theirs = False
        ours = taken(channel, changed.encode("ascii"), FORM)
        # We are stricter about base64, the kind of signature, and the names of empty fields.
        field = field_at(body, at)
        assert ours == theirs or (theirs and (field.startswith("sign") or field.endswith("=")))

    both_agree()


def test_any_subject_for_alipay(library: Library, keys_dir: Path) -> None:
    account = AlipayAccount(keys_dir)
    channel = account.channel(GATEWAY)

    @few
    @given(texts)
    def both_agree(subject: str) -> None:
        link = asyncio.run(channel.open(OpenRequest(PAYMENT, subject, 60_000)))
        assert isinstance(link, Redirect)
        about = {"kind": "request", "charset": "utf-8", **account.signer("keys", "app")}
        told = library.ask("alipay.check", form=urlsplit(link.url).query, **about)
        sent = json.loads(told["fields"]["biz_content"])["subject"]
        assert (told["valid"], sent) == (True, subject.translate(SUBJECT_MARKS)[:MAX_SUBJECT])

    both_agree()


def test_any_notice_of_wechat(library: Library, keys_dir: Path) -> None:
    account = WechatAccount(keys_dir)
    channel = account.channel(GATEWAY, "public_key")
    reader = account.of_library(GATEWAY, "public_key")
    envelope = {"id": "EV-1", "event_type": "TRANSACTION.SUCCESS", "resource_type": "encrypt-resource"}

    @few
    @given(texts, texts, st.integers(0), st.sampled_from("0aZ "))
    def both_agree(attach: str, associated: str, at: int, other: str) -> None:
        made = library.ask(
            "wechat.notice",
            notice=envelope,
            text=json.dumps({**TRADE, "attach": attach}, ensure_ascii=False),
            associated_data=associated,
            api_v3_key=account.api_v3_key,
            **account.signer("public_key"),
        )
        headers = {name.lower(): value for name, value in made["headers"].items()}
        assert taken(channel, made["body"].encode(), headers)
        asked = {"account": reader, "headers": headers, "kind": "payment"}
        assert library.ask("wechat.read_notice", body=made["body"], **asked)["attach"] == attach
        at %= len(made["body"])
        changed = made["body"][:at] + other + made["body"][at + 1 :]
        try:
            library.ask("wechat.read_notice", body=changed, **asked)
            theirs = True
        except Refused:
            theirs = False
        assert taken(channel, changed.encode(), headers) == theirs == (changed == made["body"])

    both_agree()
