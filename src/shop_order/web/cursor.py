"""Cursors of lists: signed, so that nobody makes one, and bound to the list they came from."""

from __future__ import annotations

import hashlib

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.ports import Cursor, OrderFilter
from shop_order.domain.valueobject.actor import Actor
from shop_order.pkg.signing import BadSignature, Signer

_PURPOSE = "cursor"
_MOST = 256


class Cursors:
    """Turns a place in a list into an opaque text and back; both protocols share them."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def seal(self, actor: Actor, where: OrderFilter, place: Cursor | None) -> str:
        """The text for the next page; empty at the end."""
        if place is None:
            return ""
        return self._signer.seal(_PURPOSE, f"{place.created_ms}.{place.id}.{_list(actor, where)}".encode())

    def open(self, actor: Actor, where: OrderFilter, text: str) -> Cursor | None:
        """The place a text names, None for an empty one.

        Raises InvalidArgument: not ours, or another caller's or filter's.
        """
        if not text:
            return None
        try:
            payload = self._signer.unseal(_PURPOSE, text if len(text) <= _MOST else "")
            created_ms, id, digest = payload.decode().split(".")
        except (BadSignature, ValueError) as error:
            raise InvalidArgument("cursor", "foreign_cursor") from error
        if digest != _list(actor, where):
            raise InvalidArgument("cursor", "foreign_cursor")
        return Cursor(int(created_ms), int(id))


def _list(actor: Actor, where: OrderFilter) -> str:
    user = where.user if actor.is_admin else actor.user_id
    seen = (user, where.status and int(where.status), where.order_sn, where.start_ms, where.end_ms)
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
