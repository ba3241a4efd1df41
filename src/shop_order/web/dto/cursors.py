"""Positions in a list as opaque text."""

from __future__ import annotations

import hashlib

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.ports import Cursor, OrderFilter, RefundFilter, RefundPosition
from shop_order.domain.valueobject.parties import Actor
from shop_order.pkg.signing import BadSignature, Signer

_PURPOSE = "cursor"  # of the signature
_MAX_CURSOR = 256  # characters
Filter = OrderFilter | RefundFilter


class Cursors:
    """Encodes positions in a list as opaque text.

    Cursors are signed, and bound to the caller and filter of their list.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def seal(self, actor: Actor, where: OrderFilter, position: Cursor | None) -> str:
        """The cursor of the next page; empty at the end."""
        return self._seal(actor, where, (position.created_ms, position.id)) if position else ""

    def open(self, actor: Actor, where: OrderFilter, text: str) -> Cursor | None:
        """The position of a cursor; None for empty text.

        Raises InvalidArgument if it is not ours, or belongs to another caller or filter.
        """
        found = self._open(actor, where, text)
        return Cursor(int(found[0]), int(found[1])) if found else None

    def seal_refund(self, actor: Actor, where: RefundFilter, position: RefundPosition | None) -> str:
        """The cursor of the next page of refunds; empty at the end."""
        return self._seal(actor, where, (position.created_ms, position.refund_sn)) if position else ""

    def open_refund(self, actor: Actor, where: RefundFilter, text: str) -> RefundPosition | None:
        """`open` for a list of refunds. Raises InvalidArgument."""
        found = self._open(actor, where, text)
        return RefundPosition(int(found[0]), found[1]) if found else None

    def _seal(self, actor: Actor, where: Filter, position: tuple[int, int | str]) -> str:
        created_ms, id = position
        return self._signer.seal(_PURPOSE, f"{created_ms}.{id}.{_digest(actor, where)}".encode())

    def _open(self, actor: Actor, where: Filter, text: str) -> tuple[str, str] | None:
        if not text:
            return None
        try:
            payload = self._signer.unseal(_PURPOSE, text if len(text) <= _MAX_CURSOR else "")
            created_ms, id, digest = payload.decode().split(".")
        except (BadSignature, ValueError) as error:
            raise InvalidArgument("cursor", "foreign_cursor") from error
        if digest != _digest(actor, where):
            raise InvalidArgument("cursor", "foreign_cursor")
        return created_ms, id


def _digest(actor: Actor, where: Filter) -> str:
    user = where.user if actor.is_admin else actor.user_id
    seen: tuple[object, ...] = (
        ("refunds", user, where.state and where.state.value, where.order_sn)
        if isinstance(where, RefundFilter)
        else (user, where.status and int(where.status), where.order_sn, where.start_ms, where.end_ms)
    )
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
