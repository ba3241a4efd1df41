"""The pages: the buyer's of a trade, the list of trades, WeChat's browser, and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from starlette.responses import HTMLResponse

from shop_sandbox.page import Language, page
from shop_sandbox.payments.formats import format_time, format_yuan
from shop_sandbox.payments.late import Choices
from shop_sandbox.payments.notices import Notice
from shop_sandbox.payments.parts import buttons, notice_table, summary, table, trouble, waiting
from shop_sandbox.payments.wording import LISTED
from shop_sandbox.wechat.errors import Refused
from shop_sandbox.wechat.keys import MINI
from shop_sandbox.wechat.refunds import Refund
from shop_sandbox.wechat.trades import Trade
from shop_sandbox.wechat.wording import ACTIONS, EXPLAINED, FIELDS, KINDS, STATES, TEXTS


@dataclass(frozen=True, slots=True)
class View:
    """The data of a trade's page; `shipping` is the uploaded text of a mini program's order, or ""."""

    trade: Trade
    refunds: Sequence[Refund]
    notices: Sequence[Notice]
    choices: Choices
    shipping: str
    now_ms: int


def cashier(view: View, language: Language, refused: Refused | None = None) -> HTMLResponse:
    """The page of a trade; `refused` is the error of the last button, if any."""
    trade, base = view.trade, address(view.trade)
    content = (
        (_refusal(refused, language) if refused else "")
        + f'<p class="note">{KINDS[trade.kind][language]}</p>'
        + _summary(view, language)
        + (
            waiting(base, trade.notify_url, trade.expire_ms, view.now_ms, language)
            if view.choices.waits
            else ""
        )
        + buttons(base, view.choices.actions, ACTIONS, language, late=view.choices.late)
        + _shipping(view, language)
        + notice_table(view.notices, language)
    )
    return page(TEXTS["title"][language], content, language, status=409 if refused else 200)


def error(refused: Refused, language: Language, status: int) -> HTMLResponse:
    """The page for a link that is refused, or for a trade that does not exist."""
    hint = f'<p class="note">{TEXTS["go_back"][language]}</p>'
    return page(TEXTS["title"][language], _refusal(refused, language) + hint, language, status=status)


def listing(trades: Sequence[Trade], language: Language) -> HTMLResponse:
    """The newest trades with links to their pages, a scanner, and the way to WeChat's browser."""
    title = TEXTS["list"][language]
    rows = "".join(
        f'<tr><td><a href="{address(one)}">{escape(one.out_trade_no)}</a>'
        f'<br><span lang="zh-CN">{escape(one.description)}</span></td>'
        f'<td class="whole">¥{format_yuan(one.amount_fen)}</td>'
        f"<td>{STATES[one.shown_state][language]}</td></tr>"
        for one in trades
    )
    found = table(title, LISTED, rows, language) if rows else f"<p>{TEXTS['none'][language]}</p>"
    browser = f'<p><a href="/wechat/browser">{TEXTS["browser"][language]}</a></p>'
    scanner = _form("/wechat/scan", "code_url", TEXTS["scan"][language], TEXTS["scan_button"][language])
    return page(title, f"<section>{found}</section><section>{scanner}{browser}</section>", language)


def browser(language: Language) -> HTMLResponse:
    """The start page of WeChat's browser."""
    note = f'<p class="note">{TEXTS["browser_note"][language]}</p>'
    form = _form("/wechat/browser", "url", "pay_url", TEXTS["open"][language])
    return page(TEXTS["browser"][language], f"{note}<section>{form}</section>", language)


def address(trade: Trade) -> str:
    """The path of a trade's page."""
    return f"/wechat/cashier/{quote(trade.out_trade_no, safe='')}"


def _form(action: str, name: str, label: str, button: str) -> str:
    return (
        f'<form action="{action}"><p><label>{escape(label)}<br>'
        f'<input name="{name}" size="40" required></label></p>'
        f"<button>{escape(button)}</button></form>"
    )


def _refusal(refused: Refused, language: Language) -> str:
    known = EXPLAINED.get(refused.code)
    message = known[language] if known else f'<span lang="zh-CN">{escape(refused.message)}</span>'
    return trouble(TEXTS["refused"][language], message, f"{refused.status} {refused.code}")


def _summary(view: View, language: Language) -> str:
    trade = view.trade
    rows = [
        ("subject", trade.description),
        ("out_trade_no", trade.out_trade_no),
        ("expires", format_time(trade.expire_ms)),
    ]
    if trade.kind == "native":
        rows.append(("code_url", trade.code_url))
    if trade.transaction_id:
        rows += [("trade_no", trade.transaction_id), ("paid", format_time(trade.paid_ms))]
    listed = [(FIELDS[name][language], value) for name, value in rows]
    listed += [
        (
            f"{FIELDS['refund'][language]} {one.out_refund_no}",
            f"¥{format_yuan(one.amount_fen)} {one.status}",
        )
        for one in view.refunds
    ]
    state, back = STATES[trade.shown_state][language], TEXTS["back"][language]
    return summary(state, trade.amount_fen, listed, back, trade.return_url)


def _shipping(view: View, language: Language) -> str:
    """What a mini program's order needs before the merchant gets the money."""
    if view.trade.app_id != MINI or view.trade.kind != "jsapi" or not view.trade.paid_ms:
        return ""
    known = f"<pre>{escape(view.shipping)}</pre>" if view.shipping else f"<p>{TEXTS['frozen'][language]}</p>"
    return f"<section><h2>{TEXTS['shipping'][language]}</h2>{known}</section>"
