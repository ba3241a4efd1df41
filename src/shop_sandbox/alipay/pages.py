"""The simulator's pages: the cashier of a trade, the list of trades, and errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

from shop_sandbox.alipay import fields
from shop_sandbox.alipay.requests import PayRequest, Refused
from shop_sandbox.alipay.simulator import Choices
from shop_sandbox.alipay.trades import Refund, Trade
from shop_sandbox.alipay.wording import (
    ACTIONS,
    COLUMNS,
    EXPLAINED,
    FIELDS,
    KINDS,
    LISTED,
    METHODS,
    STATES,
    TEXTS,
)
from shop_sandbox.page import Language, page
from shop_sandbox.payments.notices import Notice

CLOSED_AFTER_S = 61  # the shop closes a trade a minute after its time limit


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
    content = (
        (_refusal(refused, language) if refused else "")
        + _kind_note(view, language)
        + _summary(view, language)
        + _waiting(view, language)
        + _actions(view, language)
        + _notice_table(view.notices, language)
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
    return page(title, f"<section>{_table(title, LISTED, rows, language)}</section>", language)


def _refusal(refused: Refused, language: Language) -> str:
    known = EXPLAINED.get(refused.sub_code)
    message = known[language] if known else f'<span lang="zh-CN">{escape(refused.sub_msg)}</span>'
    return (
        f'<section class="trouble" role="alert"><h2>{TEXTS["refused"][language]}</h2><p>{message}</p>'
        f'<p class="note"><code>{escape(refused.code)} {escape(refused.sub_code)}</code></p></section>'
    )


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
    details = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in listed)
    back = TEXTS["back"][language]
    link = f'<p><a class="go" href="{escape(view.return_to)}">{back}</a></p>' if view.return_to else ""
    return (
        f'<section><span class="state">{STATES[trade.status if trade else ""][language]}</span>'
        f'<div class="amount">¥{fields.format_yuan(session.amount_fen)}</div>'
        f"<dl>{details}</dl>{link}</section>"
    )


def _kind_note(view: View, language: Language) -> str:
    """How the buyer came here, unless from a page on a desktop; with a link for those who do not pay."""
    if view.session.method not in METHODS:
        return ""
    paid = view.trade is not None and view.trade.paid_ms > 0
    quit_url = "" if paid else view.session.quit_url
    link = f' · <a href="{escape(quit_url)}">{TEXTS["quit"][language]}</a>' if quit_url else ""
    return f'<p class="note">{METHODS[view.session.method][language]}{link}</p>'


def _waiting(view: View, language: Language) -> str:
    """What a late buyer is waiting for, and how a developer can speed it up."""
    if not view.choices.waits:
        return ""
    session = view.session
    text = TEXTS["waits"][language].format(time=fields.format_time(session.expire_ms)[11:])
    shop = urlsplit(session.notify_url)
    left_s = max(math.ceil((session.expire_ms - view.now_ms) / 1000), 0) + CLOSED_AFTER_S
    command = (
        f"curl -X POST {shop.scheme}://{shop.netloc}/api/v1/admin/clock -H 'Authorization: Bearer '$ADMIN"
        f" -H 'Content-Type: application/json' -d '{{\"advance_s\": {left_s}}}'"
    )
    hint = f"<p>{TEXTS['advance_clock'][language]}</p><pre>{escape(command)}</pre>" if shop.netloc else ""
    return (
        f'<section role="status"><h2>{TEXTS["waiting"][language]}</h2><p>{text}</p>{hint}'
        f'<p><a href="{_address(session)}">{TEXTS["refresh"][language]}</a></p></section>'
    )


def _actions(view: View, language: Language) -> str:
    buttons = "".join(_button(view, action, language) for action in view.choices.actions)
    return (
        f'<section><h2>{TEXTS["actions"][language]}</h2><div class="buttons">{buttons}</div></section>'
        if buttons
        else ""
    )


def _button(view: View, action: str, language: Language) -> str:
    # Before the time limit a late buyer has to wait, and the label says so.
    name = "wait_late" if action == "pay_late" and not view.choices.late else action
    label, hint = ACTIONS[name]
    style = ' class="main"' if action == view.choices.actions[0] and action in ("pay", "pay_late") else ""
    return (
        f'<form method="post" action="{_address(view.session)}/{action}">'
        f"<button{style}>{label[language]}<small>{hint[language]}</small></button></form>"
    )


def _notice_table(notices: Sequence[Notice], language: Language) -> str:
    title = TEXTS["notices"][language]
    if not notices:
        return f"<section><h2>{title}</h2><p>{TEXTS['no_notice'][language]}</p></section>"
    rows = "".join(
        f'<tr><td class="whole">{_time_of_day(one.sent_ms)}</td>'
        f"<td>{KINDS.get(one.kind, KINDS[''])[language]}</td>"
        f"<td>{one.attempts}</td><td>{one.status or '—'}</td><td>{escape(one.answer[:60])}</td>"
        f'<td class="whole">{_time_of_day(one.next_ms)}</td></tr>'
        for one in notices
    )
    return f"<section><h2>{title}</h2>{_table(title, COLUMNS, rows, language)}</section>"


def _table(name: str, columns: Sequence[tuple[str, str]], rows: str, language: Language) -> str:
    head = "".join(f"<th>{column[language]}</th>" for column in columns)
    return (
        f'<div class="table" role="region" aria-label="{escape(name)}" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _address(session: PayRequest) -> str:
    return f"/alipay/cashier/{escape(session.out_trade_no)}"


def _time_of_day(time_ms: int | None) -> str:
    return fields.format_time(time_ms)[11:] if time_ms else "—"
