"""The cashier's page: server-made HTML that needs no script to work and nothing from outside."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template

from shop_order.domain.entity.order import Order
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.pkg.util.money import yuan_of_fen
from shop_order.web.messages import Language

Words = Mapping[str, tuple[str, str]]

_WORDS: Words = {
    "title": ("收银台", "Checkout"),
    "amount": ("应付金额", "Amount due"),
    "total": ("订单金额", "Order total"),
    "freight": ("含运费", "With freight"),
    "order": ("订单编号", "Order number"),
    "left": ("剩余支付时间", "Time left to pay"),
    "choose": ("选择支付方式", "Choose how to pay"),
    "pay": ("立即支付", "Pay now"),
    "soon": ("暂未开通", "Not available yet"),
    "alipay": ("支付宝", "Alipay"),
    "wechat": ("微信支付", "WeChat Pay"),
    "balance": ("余额支付", "Balance"),
    "safe": ("付款在支付机构的页面完成，本店不接触您的支付密码", "You pay on the provider's own page"),
    "paid": ("支付成功", "Paid"),
    "paid_text": ("我们已收到您的付款，正在为您备货。", "We have your payment and are preparing the parcel."),
    "shipped": ("已发货", "Shipped"),
    "shipped_text": ("包裹已在路上。", "Your parcel is on its way."),
    "completed": ("已完成", "Completed"),
    "completed_text": ("感谢您的购买。", "Thank you for your purchase."),
    "cancelled": ("订单已取消", "Cancelled"),
    "cancelled_text": (
        "此订单无法再支付；若您已付款，款项会自动原路退回。",
        "This order can't be paid any more. Money you sent comes back by itself.",
    ),
    "bad_link": (
        "付款链接无效或已过期，请回到订单页面重新打开。",
        "This link is not valid, or has expired. Open it again from your order.",
    ),
    "refused": ("无法继续", "This did not work"),
    "back": ("返回收银台", "Back to checkout"),
    "minutes": ("分", "min"),
    "seconds": ("秒", "s"),
}
_MARKS = {
    OrderStatus.PAID: ("paid", "good", "✓"),
    OrderStatus.SHIPPED: ("shipped", "good", "✓"),
    OrderStatus.COMPLETED: ("completed", "good", "✓"),
    OrderStatus.CANCELLED: ("cancelled", "bad", "×"),
}
_EMBLEMS = {PaymentType.ALIPAY: "支", PaymentType.WECHAT: "微", PaymentType.BALANCE: "余"}


class CashierPage:
    """Renders the page; the templates are read once."""

    def __init__(self) -> None:
        room = files("shop_order.web") / "pages"
        self._style = "".join((room / name).read_text("utf-8") for name in ("palette.css", "cashier.css"))
        self._script = (room / "cashier.js").read_text("utf-8")
        self._page = Template((room / "cashier.html").read_text("utf-8"))

    @property
    def policy(self) -> str:
        """The Content-Security-Policy of the page: its own style and script, and nothing else."""
        style, script = (_hash(text) for text in (self._style, self._script))
        return (
            f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; "
            "base-uri 'none'; frame-ancestors 'none'"
        )

    def order(
        self, order: Order, available: Mapping[PaymentType, bool], now_ms: int, language: Language
    ) -> str:
        """What a buyer sees of an order: the channels while it waits, how it went otherwise."""
        say = _Sayer(language)
        label = "amount" if order.status is OrderStatus.PENDING else "total"
        head = (
            f'<p class="label">{say(label)}</p>'
            f'<p class="amount"><small>¥</small>{yuan_of_fen(order.pay_fen)}</p>'
        )
        number = f'<dl><dt>{say("order")}</dt><dd class="sn">{escape(order.order_sn)}</dd></dl>'
        if order.freight_fen:
            number = f"<dl><dt>{say('freight')}</dt><dd>¥{yuan_of_fen(order.freight_fen)}</dd></dl>{number}"
        if order.status is OrderStatus.PENDING:
            left_s = max(order.expire_ms - now_ms, 0) // 1000
            return self._html(head + _countdown(left_s, say) + number + _form(available, say), language)
        word, mood, mark = _MARKS[order.status]
        body = (
            f'<div class="mark {mood}" aria-hidden="true">{mark}</div><h2>{say(word)}</h2>'
            f'<p class="text">{say(word + "_text")}</p>{head}{number}'
        )
        return self._html(body, language)

    def bad_link(self, language: Language) -> str:
        """A page for who has no valid link."""
        return self.refusal(_WORDS["bad_link"][language is Language.EN], language)

    def refusal(self, message: str, language: Language, *, back: str = "") -> str:
        """A page that says why it did not work; `back` is where to try again."""
        say = _Sayer(language)
        link = f'<a class="button" href="{escape(back)}">{say("back")}</a>' if back else ""
        body = (
            f'<div class="mark bad" aria-hidden="true">!</div><h2>{say("refused")}</h2>'
            f'<p class="text">{escape(message)}</p>{link}'
        )
        return self._html(body, language)

    def _html(self, body: str, language: Language) -> str:
        return self._page.substitute(
            lang=str(language),
            title=_Sayer(language)("title"),
            style=self._style,
            script=self._script,
            body=body,
        )


class _Sayer:
    """Looks words up in one language."""

    def __init__(self, language: Language) -> None:
        self._index = int(language is Language.EN)

    def __call__(self, word: str) -> str:
        return escape(_WORDS[word][self._index])


def _countdown(left_s: int, say: _Sayer) -> str:
    minutes, seconds = divmod(left_s, 60)
    units = f'data-left="{left_s}" data-min="{say("minutes")}" data-s="{say("seconds")}"'
    shown = f"{minutes} {say('minutes')} {seconds:02d} {say('seconds')}"
    return f'<p class="left">{say("left")} <b id="left" {units}>{shown}</b></p>'


def _form(available: Mapping[PaymentType, bool], say: _Sayer) -> str:
    first = next((kind for kind, open_ in available.items() if open_), None)
    rows = []
    for kind, is_open in available.items():
        state = "checked" if kind is first else "" if is_open else "disabled"
        note = "" if is_open else f'<span class="note">{say("soon")}</span>'
        rows.append(
            f'<label class="channel {kind.code}{"" if is_open else " off"}">'
            f'<span class="emblem" aria-hidden="true">{_EMBLEMS[kind]}</span>'
            f'<span class="name">{say(kind.code)}{note}</span>'
            f'<input type="radio" name="payment_type" value="{kind.code}" {state}></label>'
        )
    off = "" if first else " disabled"
    return (
        f'<form method="post"><fieldset><legend>{say("choose")}</legend>{"".join(rows)}</fieldset>'
        f'<button class="button"{off}>{say("pay")}</button><p class="safe">{say("safe")}</p></form>'
    )


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
