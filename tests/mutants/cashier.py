"""Faults of the cashier and of Alipay's certificates: somebody else would pay, be believed, or be told."""

from __future__ import annotations

from tests.mutants.faults import fault
from tests.mutants.planting import never, skip, swap

CHANNELS, LINKS, CERTIFICATES = "test_cashier_channels", "test_cashier_links", "test_alipay_certificates"

CASHIER_FAULTS = (
    fault(
        "an open bridge reused for another payer",
        CHANNELS,
        swap("PaymentService._goes_on", "_payer(attempt) == self._mark(payer)", "True"),
    ),
    fault(
        "an attempt closed for a payer without an openid",
        CHANNELS,
        skip("PaymentService._pay", "choice.check_payer(cmd.payer)"),
    ),
    fault(
        "an openid of any hour believed",
        LINKS,
        swap("CashierLinks.openid", "now_s <= expires_s <= now_s + MAX_OPENID_S", "True"),
    ),
    fault(
        "an openid of another order believed",
        LINKS,
        swap(
            "CashierLinks.openid",
            "f'openid={given.openid}&order_sn={order_sn}&expires={expires_s}'",
            "f'openid={given.openid}&order_sn=1&expires={expires_s}'",
        ),
    ),
    fault(
        "a merchant's certificate believed to be Alipay's",
        CERTIFICATES,
        never("successor_of", "(new.subject, new.issuer) != (current.subject, current.issuer)"),
    ),
    fault(
        "a certificate from nobody believed",
        CERTIFICATES,
        swap("is_issued", "issuer is not None", "True"),
    ),
    fault(
        "a merchant believed to be an authority",
        CERTIFICATES,
        swap("_has_issued", "return is_authority", "return True"),
    ),
    fault(
        "a refund past the time limit sent for ever",
        "test_alipay_answers",
        swap("refused", "RefundResult.TOO_LATE", "RefundResult.UNKNOWN"),
    ),
    fault(
        "a requested refund shown as on its way",
        "test_stage",
        never("money_back", "refund.state in _UNDECIDED"),
    ),
)
