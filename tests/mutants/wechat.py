"""Faults of WeChat Pay's channel: each of them would believe somebody else, lose money, or pay it twice."""

from __future__ import annotations

from tests.mutants.faults import fault
from tests.mutants.planting import never, skip, swap

VERIFY, ANSWERS = "test_wechat_verify", "test_wechat_answers"
CERTIFICATES, BILL = "test_wechat_certificates", "test_wechat_csv"

WECHAT_FAULTS = (
    fault("a notice of any age believed", VERIFY, never("Signature.of", "abs(...) >= WINDOW_S * 1000")),
    fault("a notice by nobody believed", VERIFY, never("Signature.check", "not is_signed_by(...)")),
    fault("another merchant's notice", VERIFY, never("notice_of", "text(fields, 'mchid') != mch_id")),
    fault("another app's notice", VERIFY, never("_of_payment", "text(fields, 'appid') not in app_ids")),
    fault("dollars taken for yuan", VERIFY, never("wechat:trade_of", "amount.get('currency') != CURRENCY")),
    fault(
        "an answer by nobody believed",
        ANSWERS,
        skip("WechatGateway.call", "await self._check_answer(answer)"),
    ),
    fault(
        "another refund's answer believed",
        ANSWERS,
        swap("WechatPay._result", "not answer.ok or about != ...", "not answer.ok"),
    ),
    fault(
        "an empty account refuses a refund for good",
        ANSWERS,
        swap("WechatPay.refund", "answer.code in RETRYABLE", "False"),
    ),
    fault(
        "a refund of last year sent for ever",
        ANSWERS,
        swap("WechatPay.refund", "RefundResult.TOO_LATE", "RefundResult.UNKNOWN"),
    ),
    fault(
        "certificates by nobody believed",
        CERTIFICATES,
        skip("_fetch_certificates", "signature.check(key, answer.body)"),
    ),
    fault(
        "an expired certificate believed",
        CERTIFICATES,
        swap("CertificateStore.find", "found and now_ms < found.until_ms", "found"),
    ),
    fault(
        "certificates fetched for every stranger",
        CERTIFICATES,
        swap("_refresh_soon", "not 0 <= now_ms - self._tried_ms < RETRY_MS", "True"),
    ),
    fault("a changed bill believed", BILL, never("wechat:bill_of", "sha1 and digest != sha1.lower()")),
    fault("a bill without its totals", BILL, skip("read_lines", "lines.check(totals)")),
    fault(
        "a shipping forgotten in a crash",
        "test_shipping",
        swap("changed_payments", "order.updated_ms if to_tell else asked_ms", "asked_ms"),
    ),
)
