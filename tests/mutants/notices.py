"""Faults of what a provider tells: each of them would let somebody in who should stay outside."""

from __future__ import annotations

from tests.mutants.faults import fault

NOTICE = "shop_order/gateway/payment/alipay_notice.py"
NOTICES = "tests/contract/test_channel_notices.py"
READING = "tests/contract/test_channel_reading.py"

NOTICE_FAULTS = (
    fault(
        "notice without seller check",
        NOTICES,
        (NOTICE, 'if fields.get("seller_id") != seller_id:', "if False:"),
    ),
    fault(
        "notice without app check",
        NOTICES,
        (NOTICE, 'if fields.get("app_id") != app_id:', "if False:"),
    ),
    fault(
        "RSA check skipped",
        NOTICES,
        (
            NOTICE,
            'if signed.get("sign_type") != b"RSA2" or not rsa2.verifies(key, text, sign):',
            "if False:",
        ),
    ),
    fault(
        "a field hidden in another one's value believed",
        READING,
        (NOTICE, "if hides := hidden_in(signed):", "if hides := '':"),
    ),
    fault(
        "a notice of any year believed",
        READING,
        ("shop_order/domain/valueobject/provider.py", "if not FIRST_MS <= ms < END_MS:", "if False:"),
    ),
    fault(
        "one of the provider's numbers for two payments",
        "tests/contract/test_store_trade_numbers.py",
        (
            "shop_order/repository/dao/sqlite/orders.py",
            "for number in trade_nos(order, before, seller):",
            "for number in ():",
        ),
    ),
    fault(
        "a refund's notice believed as a payment",
        "tests/unit/service/test_refund_notice.py",
        (
            "shop_order/service/payment.py",
            "if notice.is_refund:\n            return",
            "if False:\n            return",
        ),
    ),
)
