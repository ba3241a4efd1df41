"""The JSON of answers and notices about trades and refunds."""

import secrets
from datetime import datetime
from types import MappingProxyType
from typing import Any

from shop_sandbox.payments.formats import CHINA
from shop_sandbox.wechat import refunds, trades
from shop_sandbox.wechat.fields import format_time
from shop_sandbox.wechat.keys import MCH_ID
from shop_sandbox.wechat.refunds import Refund
from shop_sandbox.wechat.trades import Trade

_STATES = MappingProxyType(
    {
        trades.NOTPAY: "订单未支付",
        trades.USERPAYING: "用户支付中，需要输入密码",
        trades.PAYERROR: "支付失败，请重新下单支付",
        trades.SUCCESS: "支付成功",
        trades.REFUND: "订单发生过退款，退款详情请查询退款单",
        trades.CLOSED: "订单已关闭",
    }
)
_SUMMARIES = MappingProxyType({refunds.SUCCESS: "成功", refunds.CLOSED: "关闭", refunds.ABNORMAL: "异常"})


def trade_answer(trade: Trade) -> dict[str, object]:
    """The answer to a query."""
    found: dict[str, object] = {
        "appid": trade.app_id,
        "mchid": MCH_ID,
        "out_trade_no": trade.out_trade_no,
        "trade_state": trade.shown_state,
        "trade_state_desc": _STATES[trade.shown_state],
        "attach": trade.attach,
        "promotion_detail": [],
    }
    if not trade.paid_ms:
        return found | {"amount": {"total": trade.amount_fen, "currency": "CNY"}}
    return found | _payment(trade)


def payment_notice(trade: Trade) -> dict[str, Any]:
    """The notice of a payment, before encryption. It says SUCCESS, even if a refund followed."""
    resource = {
        "appid": trade.app_id,
        "mchid": MCH_ID,
        "out_trade_no": trade.out_trade_no,
        "trade_state": trades.SUCCESS,
        "trade_state_desc": _STATES[trades.SUCCESS],
        "attach": trade.attach,
        **_payment(trade),
    }
    return _notice("TRANSACTION.SUCCESS", "支付成功", "transaction", resource, trade)


def refund_answer(trade: Trade, refund: Refund) -> dict[str, object]:
    """The answer to a refund and to its query."""
    found: dict[str, object] = {
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "transaction_id": trade.transaction_id,
        "out_trade_no": trade.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": format_time(refund.created_ms),
        "status": refund.status,
        "funds_account": refund.funds_account,
        "amount": {
            "total": trade.amount_fen,
            "refund": refund.amount_fen,
            "from": [],
            "payer_total": trade.amount_fen,
            "payer_refund": refund.amount_fen,
            "settlement_refund": refund.amount_fen,
            "settlement_total": trade.amount_fen,
            "discount_refund": 0,
            "currency": "CNY",
        },
        "promotion_detail": [],
    }
    if refund.status == refunds.SUCCESS:
        found["success_time"] = format_time(refund.done_ms)
    return found


def refund_notice(trade: Trade, refund: Refund) -> dict[str, Any]:
    """The notice of a refund's end, before encryption."""
    resource: dict[str, object] = {
        "mchid": MCH_ID,
        "transaction_id": trade.transaction_id,
        "out_trade_no": trade.out_trade_no,
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "refund_status": refund.status,
        "user_received_account": "支付用户零钱",
        "amount": {
            "total": trade.amount_fen,
            "refund": refund.amount_fen,
            "payer_total": trade.amount_fen,
            "payer_refund": refund.amount_fen,
        },
    }
    if refund.status == refunds.SUCCESS:
        resource["success_time"] = format_time(refund.done_ms)
    summary = f"退款{_SUMMARIES[refund.status]}"
    return _notice(f"REFUND.{refund.status}", summary, "refund", resource, trade)


def day_number(now_ms: int) -> str:
    """The number of a notice."""
    moment = datetime.fromtimestamp(now_ms / 1000, CHINA)
    return f"EV-{moment:%Y%m%d%H%M%S}{secrets.token_hex(8)}"


def _payment(trade: Trade) -> dict[str, object]:
    return {
        "transaction_id": trade.transaction_id,
        "trade_type": trade.trade_type,
        "bank_type": "OTHERS",
        "success_time": format_time(trade.paid_ms),
        "payer": {"openid": trade.openid},
        "amount": {
            "total": trade.amount_fen,
            "payer_total": trade.amount_fen,
            "currency": "CNY",
            "payer_currency": "CNY",
        },
    }


def _notice(
    event_type: str, summary: str, original_type: str, resource: dict[str, object], trade: Trade
) -> dict[str, Any]:
    return {
        "event_type": event_type,
        "summary": summary,
        "original_type": original_type,
        "resource": resource,
        "signer": trade.signer,
    }
