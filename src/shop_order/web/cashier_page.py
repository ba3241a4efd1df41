"""The cashier's page: HTML that works without scripts and loads nothing from elsewhere."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import QrCode
from shop_order.domain.errors import AmountNotPayable, OrderServiceError
from shop_order.domain.ports import TradeState
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import OrderItem
from shop_order.pkg.money import yuan_of_fen
from shop_order.service.checkout import Stage
from shop_order.web.cashier_words import MARKS, REFUSALS, Phrases
from shop_order.web.messages import Language, error_text

SHOWN_ITEMS = 3  # the others are collapsed
UNPAID_STATES = frozenset({TradeState.ABSENT, TradeState.WAITING, TradeState.CLOSED})
_EMBLEMS = {PaymentType.ALIPAY: "支", PaymentType.WECHAT: "微", PaymentType.BALANCE: "余"}
_POLL_S = {Stage.PENDING: 10, Stage.CONFIRMING: 2, Stage.OVER: 3, Stage.REFUNDING: 3}


@dataclass(frozen=True, slots=True)
class CashierView:
    """What the cashier shows of an order.

    `provider_state` is None if the provider was not queried. `channels` has the reason why each channel is
    unavailable, or None. URLs are empty if there are none.
    """

    order: Order
    stage: Stage
    provider_state: TradeState | None
    may_pay: bool
    channels: Mapping[PaymentType, OrderServiceError | None]
    now_ms: int
    shop_name: str = ""
    return_url: str = ""
    cancel_url: str = ""

    @property
    def qr_code(self) -> str:
        """The text of the QR code to pay with; empty if there is none."""
        payment = self.order.money.open_payment()
        action = payment.action if payment else None
        return action.text if isinstance(action, QrCode) else ""

    @property
    def poll_s(self) -> int | None:
        """Seconds until the next refresh; None if the page is final."""
        late = self.order.money.open_payment() or self.provider_state in (
            TradeState.WAITING,
            TradeState.UNKNOWN,
        )
        if self.stage is Stage.CANCELLED and late:
            return _POLL_S[Stage.OVER]  # a late payment may still arrive, and is refunded
        return _POLL_S.get(self.stage)

    @property
    def next_url(self) -> str:
        """The shop's page to continue on; `cancel_url` unless the order is paid."""
        unpaid = self.order.status in (OrderStatus.PENDING, OrderStatus.CANCELLED)
        return self.cancel_url if unpaid else self.return_url


class CashierPage:
    """Renders the page; the templates are read once."""

    def __init__(self) -> None:
        room = files("shop_order.web") / "pages"
        self._style = "".join((room / name).read_text("utf-8") for name in ("palette.css", "cashier.css"))
        self._script = (room / "cashier.js").read_text("utf-8")
        self._page = Template((room / "cashier.html").read_text("utf-8"))

    @property
    def policy(self) -> str:
        """The Content-Security-Policy: the page's own style and script, and requests to us."""
        style, script = (_hash(text) for text in (self._style, self._script))
        return (
            f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; "
            "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    def order(self, view: CashierView, language: Language) -> str:
        """The page of an order: the channels while it is pending, otherwise the state of its payment."""
        say = Phrases(language)
        head, items = _head(view, say), _items(view.order, say)
        if view.stage is Stage.PENDING:
            parts = [head, _countdown(view, say), items, _form(view, say)]
        elif view.stage is Stage.CONFIRMING:
            parts = [
                _mark(view, say),
                head,
                _countdown(view, say),
                _qr(view, say),
                _retry_form(view, say),
                items,
            ]
        else:
            parts = [_mark(view, say), head, items]
        if view.next_url:
            kind = "button" if view.stage not in (Stage.PENDING, Stage.CONFIRMING) else "back"
            parts.append(f'<a class="{kind}" href="{escape(view.next_url)}">{say("to_shop")}</a>')
        return self._html("".join(parts), language, shop_name=view.shop_name, view=view)

    def refusal(
        self, error: OrderServiceError, language: Language, *, back: str = "", shop_name: str = ""
    ) -> str:
        """The page for an error; `back` links to where to retry."""
        say = Phrases(language)
        word = REFUSALS.get(error.code)
        text = say(word) if word else escape(error_text(error, language))
        link = f'<a class="button" href="{escape(back)}">{say("back")}</a>' if back else ""
        body = (
            f'<div class="mark bad" aria-hidden="true">!</div><h2>{say("refused")}</h2>'
            f'<p class="text">{text}</p>{link}'
        )
        return self._html(body, language, shop_name=shop_name)

    def _html(self, body: str, language: Language, *, shop_name: str, view: CashierView | None = None) -> str:
        word, name = Phrases(language)("title"), escape(shop_name)
        state = refresh = ""
        if view:
            state = f' data-state="{view.stage}"'
            if view.poll_s:
                state += f' data-poll="{view.poll_s}" data-may-pay="{str(view.may_pay).lower()}"'
                refresh = f'<noscript><meta http-equiv="refresh" content="{_refresh_s(view)}"></noscript>'
        return self._page.substitute(
            lang=str(language),
            refresh=refresh,
            title=f"{word} · {name}" if name else word,
            heading=f"{name}<small>{word}</small>" if name else word,
            style=self._style,
            script=self._script,
            state=state,
            body=body,
        )


def _refresh_s(view: CashierView) -> int:
    """The interval for browsers without scripts; longer where a refresh would reset the buyer's choice."""
    answered = view.provider_state not in (None, TradeState.UNKNOWN)
    return 20 if (view.may_pay and answered) or view.stage is Stage.PENDING else 5


def _mark(view: CashierView, say: Phrases) -> str:
    mood, mark = MARKS[view.stage]
    top = f'<div class="mark {mood}" aria-hidden="true">{mark}</div><h2>{say(view.stage.value)}</h2>'
    if view.stage is not Stage.CONFIRMING:
        return f'{top}<p class="text">{say(view.stage.value + "_text")}</p>'
    hidden = (" hidden", "") if _is_unpaid(view) else ("", " hidden")
    return (
        f'{top}<div role="status"><p class="text" id="asking"{hidden[0]}>{say("confirming_text")}</p>'
        f'<p class="text" id="unpaid"{hidden[1]}>{say("unpaid_text")}</p></div>'
    )


def _qr(view: CashierView, say: Phrases) -> str:
    if not view.qr_code:
        return ""
    return f'<p class="text">{say("scan")}</p><p class="sn" id="qr">{escape(view.qr_code)}</p>'


def _retry_form(view: CashierView, say: Phrases) -> str:
    """The form for buyers who have not paid after all; collapsed until the provider has answered."""
    if not view.may_pay:
        return ""
    opened = " open" if _is_unpaid(view) else ""
    return f'<details id="again"{opened}><summary>{say("again")}</summary>{_form(view, say)}</details>'


def _is_unpaid(view: CashierView) -> bool:
    return view.provider_state in UNPAID_STATES and view.may_pay


def _head(view: CashierView, say: Phrases) -> str:
    label = "amount" if view.stage in (Stage.PENDING, Stage.CONFIRMING) else "total"
    return (
        f'<p class="label">{say(label)}</p>'
        f'<p class="amount"><small>¥</small>{yuan_of_fen(view.order.pay_fen)}</p>'
    )


def _items(order: Order, say: Phrases) -> str:
    first, others = order.items[:SHOWN_ITEMS], order.items[SHOWN_ITEMS:]
    items = f'<ul class="items" aria-label="{say("items")}">{_lines(first)}</ul>'
    if others:
        summary = say("others", n=len(others))
        items += (
            f'<details class="others"><summary>{summary}</summary><ul class="items">{_lines(others)}</ul>'
            "</details>"
        )
    refunding_fen, refunded_fen = order.money.refunds_fen()
    rows = [
        (word, f"¥{yuan_of_fen(fen)}")
        for word, fen in (
            ("freight", order.freight_fen), ("going_back", refunding_fen), ("went_back", refunded_fen)
        )
        if fen
    ]  # fmt: skip
    rows_html = "".join(f"<dl><dt>{say(word)}</dt><dd>{value}</dd></dl>" for word, value in rows)
    return f'{items}{rows_html}<dl><dt>{say("order")}</dt><dd class="sn">{escape(order.order_sn)}</dd></dl>'


def _lines(items: tuple[OrderItem, ...]) -> str:
    return "".join(
        f"<li><span>{escape(item.goods_name)}</span>"
        f"<span>×{item.nums}</span><span>¥{yuan_of_fen(item.total_fen)}</span></li>"
        for item in items
    )


def _countdown(view: CashierView, say: Phrases) -> str:
    left_s = (view.order.expire_ms - view.now_ms) // 1000
    if left_s <= 0:
        return ""
    minutes, seconds = divmod(left_s, 60)
    units = f'data-left="{left_s}" data-min="{say("minutes")}" data-s="{say("seconds")}"'
    shown = f"{minutes} {say('minutes')} {seconds:02d} {say('seconds')}"
    return f'<p class="left">{say("left")} <b id="left" {units}>{shown}</b></p>'


def _form(view: CashierView, say: Phrases) -> str:
    if not view.may_pay:
        return f'<p class="text">{say("too_late")}</p>'
    first = next((kind for kind, reason in view.channels.items() if reason is None), None)
    rows = []
    for kind, reason in view.channels.items():
        state = "checked" if kind is first else "disabled" if reason else ""
        note = f'<span class="note">{_note(reason, say)}</span>' if reason else ""
        rows.append(
            f'<label class="channel {kind.code}{" off" if reason else ""}">'
            f'<span class="emblem" aria-hidden="true">{_EMBLEMS[kind]}</span>'
            f'<span class="name">{say(kind.code)}{note}</span>'
            f'<input type="radio" name="payment_type" value="{kind.code}" {state}></label>'
        )
    off = "" if first else " disabled"
    return (
        f'<form method="post"><fieldset><legend>{say("choose")}</legend>{"".join(rows)}</fieldset>'
        f'<button class="button"{off}>{say("pay")}</button><p class="safe">{say("safe")}</p></form>'
    )


def _note(reason: OrderServiceError, say: Phrases) -> str:
    """A short reason why a channel is unavailable."""
    if not isinstance(reason, AmountNotPayable):
        return say("soon")
    bounds = (f"¥{reason.details[end]}" for end in ("smallest_amount", "largest_amount"))
    return f"{say('bounds')} {'–'.join(bounds)}"


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
