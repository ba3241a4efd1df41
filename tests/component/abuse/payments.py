"""Rows about notices of payments."""

from __future__ import annotations

from functools import partial

from tests.component.abuse import amounts, late, notices, wechat
from tests.component.abuse.acts import OK, Act, Row, act, row
from tests.component.abuse.notices import (
    FORM,
    alerted,
    callback,
    gateway,
    is_paid,
    notice,
    opened,
    said,
    still_pending,
    unchanged,
)
from tests.component.abuse.promises import DOWN, FORBIDDEN, FORGED, INVALID, MISMATCH, NOT_PAYABLE

HTTP = notice("an honest notice", said()).sends["rest"]
RAW = notice("an honest notice", said()).sends["3"]
# The scan for overdue orders must reach the racers at once, not after everybody else's orders.
ALONE = {"ORDER__SCAN_INTERVAL_S": "0.1"}
GATEWAY = notices.gateway_send(amount_fen=1)
ELSEWHERE = {"PAY__CALLBACK_ALLOW": "203.0.113.0/24"}
# What is asked again at once is asked within a second or two.
SOON = {"ORDER__SCAN_INTERVAL_S": "0.1"}


def down(name: str, protocol: str, send: object) -> Act:
    """A notice while the database takes no writes, and again afterwards."""
    return Act(name, {protocol: notices.while_down(send)}).having(opened).then(notices.again(send))  # type: ignore[arg-type]


ROWS: tuple[Row, ...] = (
    row(
        40,
        "callback from outside the allow-list",
        FORBIDDEN,
        notice("an honest notice", said()).having(opened).then(still_pending),
        wechat.notice("an honest notice", wechat.payment).having(wechat.opened).then(still_pending),
        gateway("through our gateway", amount_fen=1).having(opened).then(still_pending),
        act("balance: from who is no wallet", neighbour=late.by_a_stranger).then(still_pending),
        **ELSEWHERE,
    ),
    row(
        56,
        "forged provider callback",
        FORGED,
        notice("no signature of Alipay's", said(sign="Zm9yZ2Vk")).having(opened).then(still_pending),
        notice("not base64", said(sign="%%%")).having(opened).then(still_pending),
        notice("changed after signing", lambda s: said()(s).replace(b"0.01", b"9.99"))
        .having(opened)
        .then(still_pending),
        gateway("not our gateway's", amount_fen=1, sign="0" * 64).having(opened).then(still_pending),
        gateway("no signature", amount_fen=1, sign="é").having(opened).then(still_pending),
        *wechat.ACTS[56],
    ),
    row(57, "WeChat timestamp off by 5 min or more", FORGED, *wechat.ACTS[57]),
    row(
        58,
        "replayed callback",
        OK,
        notice("again", said()).having(notices.paid).then(unchanged),
        gateway("again through our gateway", amount_fen=1)
        .having(notices.paid_through_gateway)
        .then(unchanged),
        *wechat.ACTS[58],
    ),
    row(
        59,
        "amount, app or seller mismatch",
        MISMATCH,
        *(
            notice(f"{field} {value}", said(**{field: value})).having(opened).then(alerted)
            for field, value in (
                ("total_amount", "0.02"),
                ("total_amount", "0.010"),
                ("total_amount", "0.011"),
                ("total_amount", "NaN"),
                ("total_amount", "1e-2"),
                ("app_id", "2021999999999999"),
                ("seller_id", "2088999999999999"),
            )
        ),
        gateway("amount through our gateway", amount_fen=2).having(opened).then(alerted),
        gateway("order through our gateway", amount_fen=1, order_sn="261123134500123456789012349")
        .having(opened)
        .then(alerted),
        *wechat.ACTS[59],
    ),
    row(
        60,
        "unknown out_trade_no",
        MISMATCH,
        notice("nobody's", said(out_trade_no="P261123134500123456789012349")).having(opened).then(alerted),
        notice("SQL", said(out_trade_no="' OR '1'='1")).having(opened).then(alerted),
        gateway("through our gateway", amount_fen=1, payment_sn="P261123134500123456789012349")
        .having(opened)
        .then(alerted),
        *wechat.ACTS[60],
    ),
    row(
        61,
        "payment arrives after the order was cancelled",
        OK,
        *late.AFTER_THE_CANCEL,
    ),
    row(62, "paid twice through two channels", OK, *late.TWICE),
    row(
        63,
        "TRADE_CLOSED after paid",
        OK,
        notice("closed", said(trade_status="TRADE_CLOSED")).having(notices.paid).then(unchanged),
        *wechat.ACTS[63],
    ),
    row(
        64,
        "refund notice that carries TRADE_SUCCESS",
        OK,
        notice("refund of an unpaid one", said(refund_fee="0.01")).having(opened).then(still_pending),
        notice("refund of a paid one", said(refund_fee="0.01")).having(notices.paid).then(unchanged),
        *wechat.ACTS[64],
    ),
    row(
        65,
        "duplicate form keys in a callback",
        INVALID,
        *(
            notice(name, notices.longer(tail)).having(opened).then(still_pending)
            for name, tail in (
                ("amount twice", b"&total_amount=0.01"),
                ("twice after decoding", b"&total%5Famount=0.01"),
                ("twice, empty", b"&trade_no="),
                ("charset twice", b"&charset=GBK&charset=utf-8"),
                ("no key", b"&=1"),
                ("half a percent", b"&a=%4"),
            )
        ),
        *wechat.ACTS[65],
    ),
    row(66, "GCM tag does not match", MISMATCH, *wechat.ACTS[66]),
    row(
        67,
        "database down during a callback",
        DOWN,
        down("HTTP", "rest", HTTP),
        down("raw body", "3", RAW),
        down("our gateway", "9.1", GATEWAY),
        *wechat.ACTS[67],
    ),
    row(
        68,
        "callbacks out of order",
        OK,
        notice("waiting after paid", said(trade_status="WAIT_BUYER_PAY"))
        .having(notices.paid)
        .then(unchanged),
        notice("finished after paid", said(trade_status="TRADE_FINISHED"))
        .having(notices.paid)
        .then(unchanged),
        notice("paid after closed", said()).having(notices.closed).then(notices.is_paid),
        *wechat.ACTS[68],
    ),
    row(
        70,
        "callback races the timeout",
        OK,
        *late.RACES,
        **ALONE,
    ),
    row(
        81,
        "an amount no channel can take",
        NOT_PAYABLE,
        *amounts.ACTS,
    ),
    row(
        74,
        "a provider's raw body or headers over the bound, by gRPC",
        INVALID,
        *(
            act(name, grpc3=partial(callback, body=body, headers=headers)).having(opened).then(still_pending)
            for name, body, headers in (
                ("64 KiB", notices.longer(b"&a=" + b"x" * 65_536), FORM),
                ("3 MB of %41", notices.longer(b"%41" * 1_000_000), FORM),
                ("101 fields", notices.longer(b"".join(b"&f%d=1" % n for n in range(101))), FORM),
                ("101 headers", said(), notices.MANY),
                ("a long header", said(), FORM | {"x": "1" * 16_384}),
            )
        ),
        *wechat.ACTS[74],
    ),
    row(
        79,
        "a notice in GBK, of a refund of nothing, out of bounds, or that hides a field",
        MISMATCH,
        notice("GBK", said(charset="GBK", buyer_logon_id="王*明", subject="订单"))
        .having(opened)
        .then(is_paid)
        .gets(OK),
        notice("GBK that says UTF-8", lambda s: said(charset="GBK", body="王")(s).replace(b"=GBK", b"=utf-8"))
        .having(opened)
        .then(still_pending)
        .gets(FORGED),
        *(
            notice(f"{fields}", said(**fields)).having(opened).then(is_paid).gets(OK)
            for fields in ({"refund_fee": "0.00"}, {"gmt_refund": ""}, {"refund_fee": "0", "out_biz_no": ""})
        ),
        *(
            notice(f"{field} {value}", said(**{field: value})).having(opened).then(alerted)
            for field, value in (
                ("gmt_payment", "0001-01-01 00:00:00"),
                ("gmt_payment", "1960-01-01 00:00:00"),
                ("gmt_payment", "1999-12-31 23:59:59"),
                ("gmt_payment", "2101-01-01 00:00:00"),
                ("gmt_payment", "9999-12-31 23:59:59"),
                ("gmt_create", "0001-01-01 00:00:00"),
                ("notify_time", "soon"),
                ("receipt_amount", "1e9"),
                ("total_amount", "100000000.01"),
            )
        ),
        *(
            notice(f"hides {field}", said(buyer_id="2088", charset="utf-8", hides=field))
            .having(opened)
            .then(alerted)
            for field in ("charset", "gmt_payment", "out_trade_no", "trade_no", "total_amount")
        ),
        notice("hides, and the buyer has paid", said(hides="trade_status"))
        .having(notices.paid_in_silence)
        .then(notices.asked),
        *wechat.ACTS[79],
        **SOON,
    ),
    row(
        80,
        "one trade_no for two payments, or what is no trade_no",
        MISMATCH,
        notice("of another order", said()).having(notices.another_has_the_number).then(alerted),
        gateway("of another order, through our gateway", amount_fen=1)
        .having(notices.another_has_the_number)
        .then(alerted),
        *(
            notice(f"{trade_no[:4]!a} {len(trade_no)}", said(trade_no=trade_no)).having(opened).then(alerted)
            for trade_no in ("T" * 65, "T" * 5_000, "T\0", "T\n", " ", "单号")
        ),
        *(
            gateway(f"through our gateway {trade_no[:4]!a}", amount_fen=1, trade_no=trade_no)
            .having(opened)
            .then(alerted)
            for trade_no in ("T" * 65, "T\0", "单号")
        ),
        *wechat.ACTS[80],
    ),
)
