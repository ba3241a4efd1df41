"""Compares the balance payments of orders with the wallet's ledger, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import WalletEntry, WalletLedger
from shop_order.domain.status import PaymentType, RefundState

PAGE = 500


@dataclass(slots=True)
class _Account:
    """What the wallet did for one payment; amounts in fen."""

    user: int
    debits_fen: list[int] = field(default_factory=list)
    refunds_fen: dict[str, int] = field(default_factory=dict)


class WalletBooks:
    """The ledger by payment. Each order is compared once; what is left then belongs to no order."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._doubled: list[str] = []

    async def load(self, ledger: WalletLedger) -> None:
        """Read the whole ledger, before the orders are read. Raises DependencyDown, DeadlineExceeded,
        Overloaded."""
        after = 0
        while page := await ledger.entries(after, PAGE):
            for entry in page:
                if entry.payment_sn:  # otherwise a deposit
                    self._add(entry)
            after = page[-1].id

    def _add(self, entry: WalletEntry) -> None:
        account = self._accounts.setdefault(entry.payment_sn, _Account(entry.user))
        if not entry.refund_sn:
            account.debits_fen.append(-entry.amount_fen)
        elif entry.refund_sn in account.refunds_fen:
            self._doubled.append(f"{entry.refund_sn}: the wallet refunded it twice")
        else:
            account.refunds_fen[entry.refund_sn] = entry.amount_fen

    def faults(self, order: Order) -> list[str]:
        """Where the order's balance payments differ from the ledger. An open one may differ for a moment."""
        found: list[str] = []
        for payment in order.payments.values():
            account = self._accounts.pop(payment.payment_sn, None)
            if payment.payment_type is PaymentType.BALANCE:
                found += _payment_faults(payment, account)
                found += _refund_faults(order, payment, account)
            elif account is not None:
                found.append(f"{payment.payment_sn}: the wallet has entries, but it was not paid by balance")
        return found

    def leftovers(self) -> list[str]:
        """What the ledger has of no order, after all orders were compared."""
        unknown = [f"{sn}: the wallet has entries, but there is no such payment" for sn in self._accounts]
        return self._doubled + unknown


def _payment_faults(payment: Payment, account: _Account | None) -> Iterator[str]:
    sn, debits_fen = payment.payment_sn, account.debits_fen if account else []
    if account and account.user != payment.user:
        yield f"{sn}: the wallet debited user {account.user}, not {payment.user}"
    if payment.is_paid and debits_fen != [payment.amount_fen]:
        yield f"{sn}: was paid, but the wallet debited {sum(debits_fen)} fen, not {payment.amount_fen}"
    if not payment.is_paid and debits_fen:
        yield f"{sn}: is {payment.state.value}, but the wallet debited {sum(debits_fen)} fen"


def _refund_faults(order: Order, payment: Payment, account: _Account | None) -> Iterator[str]:
    given_fen = dict(account.refunds_fen) if account else {}
    for refund in order.refunds.values():
        if refund.payment_sn != payment.payment_sn:
            continue
        fen, number = given_fen.pop(refund.out_refund_no, 0), refund.refund_sn
        if refund.state is RefundState.SUCCEEDED and fen != refund.amount_fen:
            yield f"{number}: succeeded, but the wallet refunded {fen} fen, not {refund.amount_fen}"
        if refund.state is not RefundState.SUCCEEDED and fen:
            yield f"{number}: is {refund.state.value}, but the wallet refunded {fen} fen"
    for unknown, fen in given_fen.items():
        yield f"{unknown}: the wallet refunded {fen} fen of {payment.payment_sn}, but there is no such refund"
