"""Compares the balance payments of orders with the wallet's ledger, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import WalletLedger
from shop_order.domain.status import PaymentType, RefundState
from shop_order.pkg.spool import DiskGroups

PAGE = 500
MAX_UNKNOWN = 100  # that are reported


@dataclass(slots=True)
class _Account:
    """What the wallet did for one payment; amounts in fen. `doubled` are refunds that it made twice."""

    user: int
    debits_fen: list[int] = field(default_factory=list)
    refunds_fen: dict[str, int] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)

    def add(self, refund_sn: str, amount_fen: int) -> None:
        """Add an entry of the ledger; one without `refund_sn` is a debit, with a negative amount."""
        if not refund_sn:
            self.debits_fen.append(-amount_fen)
        elif refund_sn in self.refunds_fen:
            self.doubled.append(refund_sn)
        else:
            self.refunds_fen[refund_sn] = amount_fen


class WalletBooks:
    """The ledger by payment, on disk. Each order is compared once; what is left then belongs to no order."""

    def __init__(self) -> None:
        self._entries = DiskGroups(3)  # user, refund, amount

    async def load(self, ledger: WalletLedger) -> None:
        """Read the whole ledger, before the orders are read. Raises DependencyDown, DeadlineExceeded,
        Overloaded."""
        after = 0
        while page := await ledger.entries(after, PAGE):
            for entry in page:
                if entry.payment_sn:  # otherwise a deposit
                    self._entries.add(entry.payment_sn, entry.user, entry.refund_sn, entry.amount_fen)
            after = page[-1].id

    def faults(self, order: Order) -> list[str]:
        """Where the order's balance payments differ from the ledger. An open one may differ for a moment."""
        found: list[str] = []
        for payment in order.payments.values():
            account = self._account(payment.payment_sn)
            if payment.payment_type is PaymentType.BALANCE:
                found += _payment_faults(payment, account)
                found += _refund_faults(order, payment, account)
            elif account is not None:
                found.append(f"{payment.payment_sn}: the wallet has entries, but it was not paid by balance")
        return found

    def _account(self, payment_sn: str) -> _Account | None:
        account: _Account | None = None
        for user, refund_sn, amount_fen in self._entries.take(payment_sn):
            account = account or _Account(user)
            account.add(refund_sn, amount_fen)
        return account

    def leftovers(self) -> list[str]:
        """What the ledger has of no order, after all orders were compared; the first of them."""
        unknown = self._entries.keys(MAX_UNKNOWN)
        return [f"{sn}: the wallet has entries, but there is no such payment" for sn in unknown]


def _payment_faults(payment: Payment, account: _Account | None) -> Iterator[str]:
    sn, debits_fen = payment.payment_sn, account.debits_fen if account else []
    if account and account.user != payment.user:
        yield f"{sn}: the wallet debited user {account.user}, not {payment.user}"
    if payment.is_paid and debits_fen != [payment.amount_fen]:
        yield f"{sn}: was paid, but the wallet debited {sum(debits_fen)} fen, not {payment.amount_fen}"
    if not payment.is_paid and debits_fen:
        yield f"{sn}: is {payment.state.value}, but the wallet debited {sum(debits_fen)} fen"


def _refund_faults(order: Order, payment: Payment, account: _Account | None) -> Iterator[str]:
    for number in account.doubled if account else ():
        yield f"{number}: the wallet refunded it twice"
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
