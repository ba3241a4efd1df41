"""The simulator's pages: the cashier of a trade, the list of trades, and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from starlette.responses import HTMLResponse

from shop_sandbox.alipay import fields
from shop_sandbox.alipay.requests import PayRequest, Refused
from shop_sandbox.alipay.trades import Refund, Trade
from shop_sandbox.alipay.wording import (
    ACTIONS,
    EXPLAINED,
    FIELDS,
    METHODS,
    STATES,
    TEXTS,
)
from shop_sandbox.page import Language, page
from shop_sandbox.payments.late import Choices
from shop_sandbox.payments.notices import Notice
from shop_sandbox.payments.parts import buttons, notice_table, summary, table, trouble, waiting
from shop_sandbox.payments.wording import LISTED


@dataclass(frozen=True, slots=True)
class View:
    """The data of a trade's cashier page; `return_to` is the signed return URL, or ""."""

    session: PayRequest
    trade: Trade | None
    refunds: Sequence[Refund]
    notices: Sequence[Notice]
    choices: Choices
    return_to: str
    now_ms: int


def cashier(view: View, language: Language, refused: Refused | None = None) -> HTMLResponse:
    """The page of a trade; `refused` is the error of the last button, if any."""
    session, base = view.session, _address(view.session)
    content = (
        (_refusal(refused, language) if refused else "")
        + _kind_note(view, language)
        + _summary(view, language)
        + (
            waiting(base, session.notify_url, session.expire_ms, view.now_ms, language)
            if view.choices.waits
            else ""
        )
        + buttons(base, view.choices.actions, ACTIONS, language, late=view.choices.late)
        + notice_table(view.notices, language)
    )
    return page(TEXTS["title"][language], content, language, status=409 if refused else 200)


def error(refused: Refused, language: Language, status: int) -> HTMLResponse:
    """The page for a refused payment call, or for a trade that does not exist."""
    hint = f'<p class="note">{TEXTS["go_back"][language]}</p>'
    return page(TEXTS["title"][language], _refusal(refused, language) + hint, language, status=status)


def listing(trades: Sequence[tuple[PayRequest, Trade | None]], language: Language) -> HTMLResponse:
    """The newest trades with links to their pages; without trades, how to create one."""
    title = TEXTS["list"][language]
    if not trades:
        return page(title, f"<section><p>{TEXTS['none'][language]}</p></section>", language)
    rows = "".join(
        f'<tr><td><a href="{_address(session)}">{escape(session.out_trade_no)}</a>'
        f'<br><span lang="zh-CN">{escape(session.subject)}</span></td>'
        f'<td class="whole">¥{fields.format_yuan(session.amount_fen)}</td>'
        f'<td class="whole">{STATES[trade.status if trade else ""][language]}</td></tr>'
        for session, trade in trades
    )
    return page(title, f"<section>{table(title, LISTED, rows, language)}</section>", language)


def _refusal(refused: Refused, language: Language) -> str:
    known = EXPLAINED.get(refused.sub_code)
    message = known[language] if known else f'<span lang="zh-CN">{escape(refused.sub_msg)}</span>'
    return trouble(TEXTS["refused"][language], message, f"{refused.code} {refused.sub_code}")


def _summary(view: View, language: Language) -> str:
    session, trade = view.session, view.trade
    rows = [
        ("subject", session.subject),
        ("out_trade_no", session.out_trade_no),
        ("expires", fields.format_time(session.expire_ms)),
    ]
    if trade:
        rows.append(("trade_no", trade.trade_no))
    if trade and trade.paid_ms:
        rows.append(("paid", fields.format_time(trade.paid_ms)))
    listed = [(FIELDS[name][language], value) for name, value in rows]
    listed += [
        (f"{FIELDS['refund'][language]} {one.out_request_no}", f"¥{fields.format_yuan(one.amount_fen)}")
        for one in view.refunds
    ]
    state = STATES[trade.status if trade else ""][language]
    return summary(state, session.amount_fen, listed, TEXTS["back"][language], view.return_to)


def _kind_note(view: View, language: Language) -> str:
    """How the buyer came here, unless from a page on a desktop; with a link for those who do not pay."""
    if view.session.method not in METHODS:
        return ""
    paid = view.trade is not None and view.trade.paid_ms > 0
    quit_url = "" if paid else view.session.quit_url
    link = f' · <a href="{escape(quit_url)}">{TEXTS["quit"][language]}</a>' if quit_url else ""
    return f'<p class="note">{METHODS[view.session.method][language]}{link}</p>'


def _address(session: PayRequest) -> str:
    return f"/alipay/cashier/{escape(session.out_trade_no)}"
