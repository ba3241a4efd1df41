"""Parts of the providers' pages: tables, buttons, refusals, and what a late buyer waits for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from urllib.parse import urlsplit

from shop_sandbox.page import Language
from shop_sandbox.payments.formats import format_time, format_yuan
from shop_sandbox.payments.notices import Notice
from shop_sandbox.payments.wording import COLUMNS, KINDS, TEXTS
from shop_sandbox.providers import Words

CLOSED_AFTER_S = 61  # the shop closes a trade a minute after its time limit


def table(name: str, columns: Sequence[Words], rows: str, language: Language) -> str:
    """A table that scrolls by itself; `rows` is HTML."""
    head = "".join(f"<th>{column[language]}</th>" for column in columns)
    return (
        f'<div class="table" role="region" aria-label="{escape(name)}" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def summary(state: str, amount_fen: int, rows: Iterable[tuple[str, str]], back: str, return_url: str) -> str:
    """State, amount and details of a trade, with a link `back` if there is a `return_url`."""
    details = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    link = f'<p><a class="go" href="{escape(return_url)}">{back}</a></p>' if return_url else ""
    return (
        f'<section><span class="state">{state}</span>'
        f'<div class="amount">¥{format_yuan(amount_fen)}</div>'
        f"<dl>{details}</dl>{link}</section>"
    )


def trouble(heading: str, message: str, code: str) -> str:
    """What was refused; `message` is HTML."""
    return (
        f'<section class="trouble" role="alert"><h2>{heading}</h2><p>{message}</p>'
        f'<p class="note"><code>{escape(code)}</code></p></section>'
    )


def buttons(
    base: str,
    actions: Sequence[str],
    labels: Mapping[str, tuple[Words, Words]],
    language: Language,
    *,
    late: bool,
) -> str:
    """A button for each action below `base`; without `late` a late buyer waits, and the label says so."""
    found = ""
    for action in actions:
        label, hint = labels["wait_late" if action == "pay_late" and not late else action]
        style = ' class="main"' if action == actions[0] and action in ("pay", "pay_late") else ""
        found += (
            f'<form method="post" action="{base}/{action}">'
            f"<button{style}>{label[language]}<small>{hint[language]}</small></button></form>"
        )
    title = TEXTS["actions"][language]
    return f'<section><h2>{title}</h2><div class="buttons">{found}</div></section>' if found else ""


def waiting(base: str, notify_url: str, expire_ms: int, now_ms: int, language: Language) -> str:
    """What a late buyer is waiting for, and how a developer can speed it up."""
    text = TEXTS["waits"][language].format(time=format_time(expire_ms)[11:])
    shop = urlsplit(notify_url)
    left_s = max(math.ceil((expire_ms - now_ms) / 1000), 0) + CLOSED_AFTER_S
    command = (
        f"curl -X POST {shop.scheme}://{shop.netloc}/api/v1/admin/clock -H 'Authorization: Bearer '$ADMIN"
        f" -H 'Content-Type: application/json' -d '{{\"advance_s\": {left_s}}}'"
    )
    hint = f"<p>{TEXTS['advance_clock'][language]}</p><pre>{escape(command)}</pre>" if shop.netloc else ""
    return (
        f'<section role="status"><h2>{TEXTS["waiting"][language]}</h2><p>{text}</p>{hint}'
        f'<p><a href="{base}">{TEXTS["refresh"][language]}</a></p></section>'
    )


def notice_table(notices: Sequence[Notice], language: Language) -> str:
    """The notices of a trade, with the merchant's answers."""
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
    return f"<section><h2>{title}</h2>{table(title, COLUMNS, rows, language)}</section>"


def _time_of_day(time_ms: int | None) -> str:
    return format_time(time_ms)[11:] if time_ms else "—"
