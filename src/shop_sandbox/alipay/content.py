"""The fields of notices, return URLs and answers about a trade."""

import json

from shop_sandbox.alipay import fields, signing
from shop_sandbox.alipay.keys import APP_ID, SELLER_ID, Keys
from shop_sandbox.alipay.requests import PayRequest
from shop_sandbox.alipay.trades import CLOSED, SUCCESS, Refund, Trade

BUYER_ID = "2088100000000007"
BUYER_LOGON_ID = "*小明 buy***@example.com"
SELLER_EMAIL = "seller@example.com"


def payment_notice(session: PayRequest, trade: Trade) -> dict[str, str]:
    """The notice of a payment."""
    amount = fields.format_yuan(session.amount_fen)
    return {
        **_common(session, trade),
        "trade_status": SUCCESS,
        "receipt_amount": amount,
        "invoice_amount": amount,
        "buyer_pay_amount": amount,
        "point_amount": "0.00",
        "gmt_payment": fields.format_time(trade.paid_ms or trade.created_ms),
        "fund_bill_list": json.dumps(
            [{"amount": amount, "fundChannel": "ALIPAYACCOUNT"}], separators=(",", ":")
        ),
    }


def refund_notice(session: PayRequest, trade: Trade, refund: Refund) -> dict[str, str]:
    """The notice of a refund: TRADE_SUCCESS after a partial refund, TRADE_CLOSED after a full one."""
    return {
        **payment_notice(session, trade),
        "trade_status": CLOSED if refund.total_fen == session.amount_fen else SUCCESS,
        "refund_fee": fields.format_yuan(refund.total_fen),
        "gmt_refund": fields.format_time(refund.created_ms),
        "out_biz_no": refund.out_request_no,
    }


def close_notice(session: PayRequest, trade: Trade, now_ms: int) -> dict[str, str]:
    """The notice of a trade that was closed without payment."""
    return {
        **_common(session, trade),
        "trade_status": CLOSED,
        "gmt_close": fields.format_time(trade.closed_ms or now_ms),
    }


def signed_return_parameters(keys: Keys, session: PayRequest, trade: Trade, now_ms: int) -> dict[str, str]:
    """The parameters with which the browser returns to the merchant, signed like a notice."""
    found = {
        "charset": "utf-8",
        "out_trade_no": session.out_trade_no,
        "method": f"{session.method}.return",
        "total_amount": fields.format_yuan(session.amount_fen),
        "trade_no": trade.trade_no,
        "auth_app_id": APP_ID,
        "version": "1.0",
        "app_id": APP_ID,
        "seller_id": SELLER_ID,
        "timestamp": fields.format_time(now_ms),
    }
    found["sign"] = signing.sign(keys.provider, signing.notice_text(found))
    found["sign_type"] = "RSA2"
    return found


def query_answer(session: PayRequest, trade: Trade) -> dict[str, object]:
    """The answer to a query."""
    amount = fields.format_yuan(session.amount_fen)
    found: dict[str, object] = {
        "trade_no": trade.trade_no,
        "out_trade_no": trade.out_trade_no,
        "buyer_logon_id": BUYER_LOGON_ID,
        "buyer_user_id": BUYER_ID,
        "trade_status": trade.status,
        "total_amount": amount,
    }
    if trade.paid_ms:
        found |= {
            "receipt_amount": amount,
            "buyer_pay_amount": amount,
            "point_amount": "0.00",
            "invoice_amount": amount,
            "send_pay_date": fields.format_time(trade.paid_ms),
            "fund_bill_list": [{"fund_channel": "ALIPAYACCOUNT", "amount": amount}],
        }
    return found


def refund_answer(trade: Trade, refund: Refund) -> dict[str, object]:
    """The answer to a refund; `fund_change` says whether this call moved money."""
    return {
        "trade_no": trade.trade_no,
        "out_trade_no": trade.out_trade_no,
        "buyer_logon_id": BUYER_LOGON_ID,
        "buyer_user_id": BUYER_ID,
        "fund_change": "Y" if refund.fresh else "N",
        "refund_fee": fields.format_yuan(refund.total_fen),
    }


def refund_query_answer(session: PayRequest, trade: Trade, refund: Refund) -> dict[str, object]:
    """The answer to a refund query that found something."""
    return {
        "trade_no": trade.trade_no,
        "out_trade_no": trade.out_trade_no,
        "out_request_no": refund.out_request_no,
        "total_amount": fields.format_yuan(session.amount_fen),
        "refund_amount": fields.format_yuan(refund.amount_fen),
        "refund_status": "REFUND_SUCCESS",
        "gmt_refund_pay": fields.format_time(refund.created_ms),
    }


def _common(session: PayRequest, trade: Trade) -> dict[str, str]:
    return {
        "notify_type": "trade_status_sync",
        "app_id": APP_ID,
        "auth_app_id": APP_ID,
        "version": "1.0",
        "trade_no": trade.trade_no,
        "out_trade_no": session.out_trade_no,
        "buyer_id": BUYER_ID,
        "buyer_logon_id": BUYER_LOGON_ID,
        "seller_id": SELLER_ID,
        "seller_email": SELLER_EMAIL,
        "total_amount": fields.format_yuan(session.amount_fen),
        "subject": session.subject,
        "body": session.body,
        "passback_params": session.passback_params,
        "gmt_create": fields.format_time(trade.created_ms),
    }
