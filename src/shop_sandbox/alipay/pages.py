"""The cashier's pages: plain HTML from the server, nothing from outside, in Chinese and English."""

from collections.abc import Sequence
from html import escape

from shop_sandbox.alipay import fields
from shop_sandbox.alipay.notices import Notice
from shop_sandbox.alipay.requests import PayRequest, Refused
from shop_sandbox.alipay.trades import Refund, Trade

_PAGE = """<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>
:root{{--blue:#1677ff;--line:#e6e8ec;--muted:#7a808a}}*{{box-sizing:border-box}}
body{{margin:0;font:16px/1.5 system-ui,-apple-system,"PingFang SC","Microsoft YaHei",sans-serif;
background:#f3f5f8;color:#1c1f23}}
header{{background:var(--blue);color:#fff;padding:.9rem 1.2rem;font-weight:600}}
header small{{font-weight:400;opacity:.85;margin-left:.6rem}}
main{{max-width:44rem;margin:1rem auto;padding:0 1rem 3rem}}
section{{background:#fff;border:1px solid var(--line);border-radius:.7rem;padding:1.1rem;margin-bottom:1rem}}
h2{{font-size:1rem;margin:0 0 .7rem}}.amount{{font-size:2.2rem;font-weight:700}}
.state{{display:inline-block;border-radius:1rem;padding:.1rem .8rem;background:#eaf2ff;color:var(--blue)}}
dl{{display:grid;grid-template-columns:auto 1fr;gap:.2rem 1rem;margin:.8rem 0 0;font-size:.9rem}}
dt{{color:var(--muted)}}dd{{margin:0;overflow-wrap:anywhere}}
.buttons{{display:grid;gap:.6rem;grid-template-columns:repeat(auto-fill,minmax(12rem,1fr))}}
form{{margin:0}}button,.go{{display:block;width:100%;padding:.7rem;border:1px solid var(--line);
border-radius:.5rem;background:#fff;font:inherit;text-align:center;cursor:pointer;color:inherit;
text-decoration:none}}button small{{display:block;color:var(--muted)}}
button.main,.go{{background:var(--blue);border-color:var(--blue);color:#fff}}
button.main small{{color:#dbe8ff}}
button:focus-visible,.go:focus-visible{{outline:3px solid #9ec5ff}}
.table{{overflow-x:auto}}table{{border-collapse:collapse;width:100%;font-size:.85rem}}
td,th{{text-align:left;padding:.35rem .5rem;border-top:1px solid var(--line)}}
.error{{border-color:#ffb4ae;background:#fff4f3}}p{{margin:.4rem 0}}
</style></head><body><header>支付宝收银台<small>Alipay simulator · 模拟环境，不涉及真实资金</small></header>
<main>{content}</main></body></html>"""

_BUTTONS = (
    ("pay", "确认付款", "Pay"),
    ("pay_late", "超时后付款", "Pay late"),
    ("pay_twice", "重复付款", "Pay twice"),
    ("notify_again", "再次发送通知", "Send the notice again"),
    ("forge_amount", "伪造金额通知", "Forge the amount"),
    ("forge_sign", "伪造签名通知", "Forge the signature"),
)
_STATES = {
    "": "等待买家登录 · not begun",
    "WAIT_BUYER_PAY": "等待付款 · waiting",
    "TRADE_SUCCESS": "付款成功 · paid",
    "TRADE_CLOSED": "交易关闭 · closed",
}


def cashier(
    session: PayRequest,
    trade: Trade | None,
    refunds: Sequence[Refund],
    notices: Sequence[Notice],
    *,
    return_to: str,
    said: str,
) -> str:
    """The page of a session; `return_to` is the signed way back or "", `said` what was refused or ""."""
    refusal = f'<section class="error" role="alert">{escape(said)}</section>' if said else ""
    title = f"支付宝收银台 {session.out_trade_no}"
    content = refusal + _summary(session, trade, refunds, return_to) + _actions(session) + _sent(notices)
    return _PAGE.format(title=escape(title), content=content)


def error(refused: Refused) -> str:
    """The page for a payment call that was not accepted."""
    content = (
        f'<section class="error" role="alert"><h2>请求被拒绝 · Refused</h2><p>{escape(refused.sub_msg)}</p>'
        f"<p><code>{escape(refused.code)} {escape(refused.sub_code)}</code></p></section>"
    )
    return _PAGE.format(title="Alipay", content=content)


def _summary(session: PayRequest, trade: Trade | None, refunds: Sequence[Refund], return_to: str) -> str:
    rows = [
        ("商品 Subject", session.subject),
        ("商户单号 out_trade_no", session.out_trade_no),
        ("截止 Expires", fields.written_time(session.expire_ms)),
    ]
    if trade:
        rows.append(("交易号 trade_no", trade.trade_no))
    if trade and trade.paid_ms:
        rows.append(("付款时间 Paid", fields.written_time(trade.paid_ms)))
    rows += [(f"退款 Refund {one.out_request_no}", f"¥{fields.yuan(one.amount_fen)}") for one in refunds]
    details = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    state = _STATES[trade.status if trade else ""]
    back = (
        f'<p><a class="go" href="{escape(return_to)}">返回商家 · Back to the shop</a></p>'
        if return_to
        else ""
    )
    return (
        f'<section><span class="state">{escape(state)}</span>'
        f'<div class="amount">¥{fields.yuan(session.amount_fen)}</div><dl>{details}</dl>{back}</section>'
    )


def _actions(session: PayRequest) -> str:
    buttons = "".join(
        f'<form method="post" action="/alipay/cashier/{escape(session.out_trade_no)}/{action}">'
        f'<button type="submit"{" class=main" if action == "pay" else ""}>{chinese}<small>{english}</small>'
        "</button></form>"
        for action, chinese, english in _BUTTONS
    )
    return f'<section><h2>操作 · Actions</h2><div class="buttons">{buttons}</div></section>'


def _sent(notices: Sequence[Notice]) -> str:
    if not notices:
        return "<section><h2>通知 · Notices</h2><p>尚未发送 · none sent yet</p></section>"
    rows = "".join(
        f"<tr><td>{_clock(one.sent_ms)}</td><td>{escape(one.kind)}</td>"
        f"<td>{one.attempts}</td><td>{one.status or '—'}</td><td>{escape(one.answer[:60])}</td>"
        f"<td>{_clock(one.next_ms)}</td></tr>"
        for one in notices
    )
    head = "".join(
        f"<th>{name}</th>"
        for name in ("时间 Sent", "类型 Kind", "次数 No.", "HTTP", "答复 Answer", "下次 Next")
    )
    return (
        '<section><h2>通知 · Notices</h2><div class="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _clock(time_ms: int | None) -> str:
    return fields.written_time(time_ms)[11:] if time_ms else "—"
