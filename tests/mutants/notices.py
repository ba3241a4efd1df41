"""Faults of what a provider tells: each of them would let somebody in who should stay outside."""

from __future__ import annotations

from tests.mutants.faults import fault
from tests.mutants.planting import never, swap

NOTICES = ("test_alipay_verify", "test_channels")
READING = "test_alipay_reading"

NOTICE_FAULTS = (
    fault("notice without seller check", NOTICES, never("notice_of", "fields.get('seller_id') != seller_id")),
    fault("notice without app check", NOTICES, never("notice_of", "fields.get('app_id') != app_id")),
    fault("RSA check skipped", NOTICES, never("alipay:notice_of", "... or not any(...)")),
    fault(
        "a field hidden in another one's value believed",
        READING,
        swap("notice_of", "hidden_in(signed)", "''"),
    ),
    fault(
        "a notice of any year believed", READING, never("provider_ms", "not MIN_PAID_MS <= ms < MAX_PAID_MS")
    ),
    fault(
        "one of the provider's numbers for two payments",
        "test_store_trade_numbers",
        swap("dao:take_trade_nos", "if not numbers: ...", "return ''"),
    ),
    fault(
        "a refund's notice believed as a payment",
        "test_refund_notice",
        never("PaymentService.provider_notice", "notice.is_refund"),
    ),
)
