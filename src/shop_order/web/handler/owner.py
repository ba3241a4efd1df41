"""Whom a request names beside its caller."""

from __future__ import annotations

from shop_order.domain.errors import NotYourself
from shop_order.domain.valueobject.actor import Actor


def named_owner(actor: Actor, user_id: int | None) -> int:
    """The user an admin named, 0 for none; anybody else may only name themselves.

    Raises NotYourself.
    """
    if user_id is None:
        return 0
    if not actor.is_admin and user_id != actor.user_id:
        raise NotYourself
    return user_id
