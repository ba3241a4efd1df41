"""The cashier's page: server-made HTML that needs no script to work and nothing from outside."""

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
from shop_order.domain.stage import Stage, refunds_fen
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import OrderItem
from shop_order.pkg.money import yuan_of_fen
from shop_order.web.cashier_words import MARKS, REFUSALS, Sayer
from shop_order.web.messages import Language, error_text

SHOWN_ITEMS = 3  # the others unfold
NOT_PAID = frozenset({TradeState.ABSENT, TradeState.WAITING, TradeState.CLOSED})
_EMBLEMS = {PaymentType.ALIPAY: "支", PaymentType.WECHAT: "微", PaymentType.BALANCE: "余"}
_POLL_S = {Stage.PENDING: 10, Stage.CONFIRMING: 2, Stage.OVER: 3, Stage.REFUNDING: 3}


@dataclass(frozen=True, slots=True)
class Seen:
    """An order as it is shown.

    `said` is what its provider said just now, None if it was not queried. `channels` has the reason why each
    can't be chosen, or None. URLs are empty if there are none.
    """

    order: Order
    stage: Stage
    said: TradeState | None
    may_pay: bool
    channels: Mapping[PaymentType, OrderServiceError | None]
    now_ms: int
    shop_name: str = ""
    return_url: str = ""
    cancel_url: str = ""

    @property
    def qr_code(self) -> str:
        """The text of the QR code with which the buyer pays; empty if there is none."""
        payment = self.order.open_payment()
        action = payment.action if payment else None
        return action.text if isinstance(action, QrCode) else ""

    @property
    def poll_s(self) -> int | None:
        """After so many seconds something else may be shown; None: it stays."""
        late = self.order.open_payment() or self.said in (TradeState.WAITING, TradeState.UNKNOWN)
        if self.stage is Stage.CANCELLED and late:
            return _POLL_S[Stage.OVER]  # late money may still come, and goes back
        return _POLL_S.get(self.stage)

    @property
    def way_back(self) -> str:
        """The shop's page to go to next; `cancel_url` unless the order is paid."""
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
        """The Content-Security-Policy of the page: its own style and script, and it may ask us again."""
        style, script = (_hash(text) for text in (self._style, self._script))
        return (
            f"default-src 'none'; style-src '{style}'; script-src '{script}'; img-src data:; "
            "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    def order(self, seen: Seen, language: Language) -> str:
        """What a buyer sees of an order: the channels while it waits, where its payment stands otherwise."""
        say = Sayer(language)
        head, bought = _head(seen, say), _bought(seen.order, say)
        if seen.stage is Stage.PENDING:
            parts = [head, _countdown(seen, say), bought, _form(seen, say)]
        elif seen.stage is Stage.CONFIRMING:
            parts = [_mark(seen, say), head, _countdown(seen, say), _qr(seen, say), _again(seen, say), bought]
        else:
            parts = [_mark(seen, say), head, bought]
        if seen.way_back:
            kind = "button" if seen.stage not in (Stage.PENDING, Stage.CONFIRMING) else "back"
            parts.append(f'<a class="{kind}" href="{escape(seen.way_back)}">{say("to_shop")}</a>')
        return self._html("".join(parts), language, shop_name=seen.shop_name, seen=seen)

    def refusal(
        self, error: OrderServiceError, language: Language, *, back: str = "", shop_name: str = ""
    ) -> str:
        """A page that says why it did not work; `back` is where to try again."""
        say = Sayer(language)
        word = REFUSALS.get(error.code)
        text = say(word) if word else escape(error_text(error, language))
        link = f'<a class="button" href="{escape(back)}">{say("back")}</a>' if back else ""
        body = (
            f'<div class="mark bad" aria-hidden="true">!</div><h2>{say("refused")}</h2>'
            f'<p class="text">{text}</p>{link}'
        )
        return self._html(body, language, shop_name=shop_name)

    def _html(self, body: str, language: Language, *, shop_name: str, seen: Seen | None = None) -> str:
        word, name = Sayer(language)("title"), escape(shop_name)
        state = refresh = ""
        if seen:
            state = f' data-state="{seen.stage}"'
            if seen.poll_s:
                state += f' data-poll="{seen.poll_s}" data-may-pay="{str(seen.may_pay).lower()}"'
                refresh = f'<noscript><meta http-equiv="refresh" content="{_refresh_s(seen)}"></noscript>'
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


def _refresh_s(seen: Seen) -> int:
    """For browsers without scripts: rarely where it would reset the buyer's choice."""
    answered = seen.said not in (None, TradeState.UNKNOWN)
    return 20 if (seen.may_pay and answered) or seen.stage is Stage.PENDING else 5


def _mark(seen: Seen, say: Sayer) -> str:
    mood, mark = MARKS[seen.stage]
    top = f'<div class="mark {mood}" aria-hidden="true">{mark}</div><h2>{say(seen.stage.value)}</h2>'
    if seen.stage is not Stage.CONFIRMING:
        return f'{top}<p class="text">{say(seen.stage.value + "_text")}</p>'
    hidden = (" hidden", "") if _is_unpaid(seen) else ("", " hidden")
    return (
        f'{top}<div role="status"><p class="text" id="asking"{hidden[0]}>{say("confirming_text")}</p>'
        f'<p class="text" id="unpaid"{hidden[1]}>{say("unpaid_text")}</p></div>'
    )


def _qr(seen: Seen, say: Sayer) -> str:
    if not seen.qr_code:
        return ""
    return f'<p class="text">{say("scan")}</p><p class="sn" id="qr">{escape(seen.qr_code)}</p>'


def _again(seen: Seen, say: Sayer) -> str:
    """The form for a buyer who has not paid after all; folded while the provider's answer is not known."""
    if not seen.may_pay:
        return ""
    opened = " open" if _is_unpaid(seen) else ""
    return f'<details id="again"{opened}><summary>{say("again")}</summary>{_form(seen, say)}</details>'


def _is_unpaid(seen: Seen) -> bool:
    return seen.said in NOT_PAID and seen.may_pay


def _head(seen: Seen, say: Sayer) -> str:
    label = "amount" if seen.stage in (Stage.PENDING, Stage.CONFIRMING) else "total"
    return (
        f'<p class="label">{say(label)}</p>'
        f'<p class="amount"><small>¥</small>{yuan_of_fen(seen.order.pay_fen)}</p>'
    )


def _bought(order: Order, say: Sayer) -> str:
    first, others = order.items[:SHOWN_ITEMS], order.items[SHOWN_ITEMS:]
    items = f'<ul class="items" aria-label="{say("items")}">{_lines(first)}</ul>'
    if others:
        summary = say("others", n=len(others))
        items += (
            f'<details class="others"><summary>{summary}</summary><ul class="items">{_lines(others)}</ul>'
            "</details>"
        )
    going_fen, gone_fen = refunds_fen(order)
    rows = [
        (word, f"¥{yuan_of_fen(fen)}")
        for word, fen in (
            ("freight", order.freight_fen), ("going_back", going_fen), ("went_back", gone_fen)
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


def _countdown(seen: Seen, say: Sayer) -> str:
    left_s = (seen.order.expire_ms - seen.now_ms) // 1000
    if left_s <= 0:
        return ""
    minutes, seconds = divmod(left_s, 60)
    units = f'data-left="{left_s}" data-min="{say("minutes")}" data-s="{say("seconds")}"'
    shown = f"{minutes} {say('minutes')} {seconds:02d} {say('seconds')}"
    return f'<p class="left">{say("left")} <b id="left" {units}>{shown}</b></p>'


def _form(seen: Seen, say: Sayer) -> str:
    if not seen.may_pay:
        return f'<p class="text">{say("too_late")}</p>'
    first = next((kind for kind, why_not in seen.channels.items() if why_not is None), None)
    rows = []
    for kind, why_not in seen.channels.items():
        state = "checked" if kind is first else "disabled" if why_not else ""
        note = f'<span class="note">{_note(why_not, say)}</span>' if why_not else ""
        rows.append(
            f'<label class="channel {kind.code}{" off" if why_not else ""}">'
            f'<span class="emblem" aria-hidden="true">{_EMBLEMS[kind]}</span>'
            f'<span class="name">{say(kind.code)}{note}</span>'
            f'<input type="radio" name="payment_type" value="{kind.code}" {state}></label>'
        )
    off = "" if first else " disabled"
    return (
        f'<form method="post"><fieldset><legend>{say("choose")}</legend>{"".join(rows)}</fieldset>'
        f'<button class="button"{off}>{say("pay")}</button><p class="safe">{say("safe")}</p></form>'
    )


def _note(why_not: OrderServiceError, say: Sayer) -> str:
    """Why a channel can't be chosen, in a few words."""
    if not isinstance(why_not, AmountNotPayable):
        return say("soon")
    bounds = (f"¥{why_not.details[end]}" for end in ("smallest_amount", "largest_amount"))
    return f"{say('bounds')} {'–'.join(bounds)}"


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
