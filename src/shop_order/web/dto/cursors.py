"""Positions in a list as opaque text."""

from __future__ import annotations

import hashlib

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.ports import Cursor, OrderFilter
from shop_order.domain.valueobject.parties import Actor
from shop_order.pkg.signing import BadSignature, Signer

_PURPOSE = "cursor"  # of the signature
_MAX_CURSOR = 256  # characters


class Cursors:
    """Encodes positions in a list as opaque text.

    Cursors are signed, and bound to the caller and filter of their list.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def seal(self, actor: Actor, where: OrderFilter, position: Cursor | None) -> str:
        """The cursor of the next page; empty at the end."""
        if position is None:
            return ""
        return self._signer.seal(
            _PURPOSE, f"{position.created_ms}.{position.id}.{_digest(actor, where)}".encode()
        )

    def open(self, actor: Actor, where: OrderFilter, text: str) -> Cursor | None:
        """The position of a cursor; None for empty text.

        Raises InvalidArgument if it is not ours, or belongs to another caller or filter.
        """
        if not text:
            return None
        try:
            payload = self._signer.unseal(_PURPOSE, text if len(text) <= _MAX_CURSOR else "")
            created_ms, id, digest = payload.decode().split(".")
        except (BadSignature, ValueError) as error:
            raise InvalidArgument("cursor", "foreign_cursor") from error
        if digest != _digest(actor, where):
            raise InvalidArgument("cursor", "foreign_cursor")
        return Cursor(int(created_ms), int(id))


def _digest(actor: Actor, where: OrderFilter) -> str:
    user = where.user if actor.is_admin else actor.user_id
    seen = (user, where.status and int(where.status), where.order_sn, where.start_ms, where.end_ms)
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
