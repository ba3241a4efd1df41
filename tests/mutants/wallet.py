"""Planted faults of the balance: money that is debited, refunded and answered by messages."""

from __future__ import annotations

from tests.mutants.faults import Fault, fault
from tests.mutants.planting import never, reword, skip, swap

STORIES = "property/test_wallet"
WHOLE = "test_balance"
INBOX = "test_wallet_inbox"
MESSAGES = "test_wallet_messages"
CONSUMER = "test_wallet_consumer"
WALLET = "sandbox/test_wallet"

WALLET_FAULTS: tuple[Fault, ...] = (
    # ---- in the order service ----
    fault(
        "a debit after the cancel is kept",
        STORIES,
        swap("Order.receive_payment", "self.status is OrderStatus.PENDING", "True"),
    ),
    fault(
        "a debit after the cancel is not refunded",
        STORIES,
        swap(
            "Order.receive_payment",
            "self.money.move(refund_sn, RefundState.APPROVED)",
            "self.money.refunds[refund_sn]",
        ),
    ),
    fault("a second answer counts again", STORIES, never("Money.receive", "payment.is_paid")),
    fault(
        "a debit of another user pays", STORIES, never("WalletAnswers.take", "payment.user != answer.user_id")
    ),
    fault(
        "a refund of another amount counts",
        INBOX,
        never("service:_refund_of", "found[0].amount_fen != answer.amount_fen"),
    ),
    fault(
        "a lost message is never asked for",
        STORIES,
        never("_request_again", "isinstance(payment.action, Done)"),
    ),
    fault("a lost refund is never asked for", STORIES, never("Settlement._refund", "tries > 0")),
    fault(
        "a rejected debit closes a paid attempt",
        INBOX,
        never("WalletAnswers._reject", "order.payments[sn].is_paid"),
    ),
    fault("a refund settled by hand is made again", INBOX, skip("service:_succeed", "_require_sent(refund)")),
    fault(
        "a rejection has no reason",
        WHOLE,
        swap("Money.close", "payment.closed(reason)", "payment.closed()"),
    ),
    fault(
        "a refused debit is asked about",
        WHOLE,
        swap("dao:ask_ms", "closed_early and not payment.close_reason", "closed_early"),
    ),
    fault(
        "any service speaks for the wallet",
        INBOX,
        never("check_caller", "actor.service not in self.wallets"),
    ),
    fault(
        "a wallet answer from the broker is believed without its signature",
        (MESSAGES, CONSUMER),
        skip("SignedAnswers._sender", "self.signer.verify_hex(...)"),
    ),
    fault(
        "a wallet answer from the broker is believed whoever signs it",
        (MESSAGES, CONSUMER),
        swap(
            "SignedAnswers.take",
            "self.answers.check_caller(self._sender(delivery))",
            "self._sender(delivery)",
        ),
    ),
    fault(
        "our gateway pays by balance",
        INBOX,
        never("PaymentService.gateway_notice", "isinstance(payment.action, Done)"),
    ),
    fault(
        "a wallet that is away stops all messages",
        WHOLE,
        swap("GrpcWallet.hand_over", "return set()", "raise"),
    ),
    # ---- in the wallet ----
    fault("the wallet overdraws", WALLET, reword("_take_money", "AND balance_fen >= ?", "AND 0 <= ?")),
    fault("an expired debit is taken", WALLET, never("_take_money", "now_ms > command.expire_ms")),
    fault("a refund above the debit", WALLET, never("sandbox:_refund", "command.amount_fen > debit[0]")),
    fault(
        "a repeated command of another amount is answered",
        WALLET,
        never("sandbox:_debit", "known[:2] != about"),
    ),
    fault(
        "an answer that was asked for again is forgotten",
        WALLET,
        reword("answers:_settle", "AND asked = ?", "AND 0 < ?"),
    ),
)
