"""Development tokens, for `shop-order token` and for the demo's first calls."""

from __future__ import annotations

from shop_order.configs import Settings
from shop_order.domain.valueobject.actor import Role
from shop_order.web.auth.tokens import TokenRules, mint_token

HOW = "say --user ID [--role user|admin], or --role service --name NAME [--act-for ID]; ids begin at 1"
MOST_ID = 2**63 - 1


class NoDevelopmentKey(ValueError):
    """Production has none: tokens come from an identity provider."""


def mint(
    settings: Settings,
    *,
    user: int | None = None,
    role: str = "user",
    name: str | None = None,
    act_for: int | None = None,
) -> str:
    """A JWT that this configuration accepts, valid as long as it allows (a day).

    Raises NoDevelopmentKey, ValueError.
    """
    auth = settings.auth
    if auth.hs256_key is None:
        raise NoDevelopmentKey("there is no development key here: tokens come from your identity provider")
    contradicts = user is not None if role == "service" else name is not None or act_for is not None
    if contradicts or any(id is not None and not 0 < id <= MOST_ID for id in (user, act_for)):
        raise ValueError(HOW)
    subject = name if role == "service" else (str(user) if user is not None else None)
    if not subject or role not in ("user", "admin", "service"):
        raise ValueError(HOW)
    return mint_token(
        auth.hs256_key.get_secret_value(),
        subject=subject,
        role=Role(role),
        act_for=act_for,
        rules=TokenRules(auth.issuer, auth.audience, auth.max_lifetime_s),
    )
