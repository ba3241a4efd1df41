"""Parameters of parts, from the current settings."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from shop_order.configs import Settings
from shop_order.domain.entity.after_sales import RefundRules
from shop_order.domain.valueobject.item import Pricing
from shop_order.domain.valueobject.parties import Role
from shop_order.gateway.payment import CHANNELS
from shop_order.pkg.address import join_host_port, reachable
from shop_order.pkg.grpc.client import TokenSource
from shop_order.pkg.grpc.server import ServerTls
from shop_order.service.place import OrderRules
from shop_order.web.auth.tokens import TokenRules, mint_token
from shop_order.web.document.pages import Places

DEV_TOKEN_S = 3600


def order_rules(settings: Settings) -> OrderRules:
    """Return the rules for orders; times in ms."""
    return OrderRules(
        settings.order.pay_timeout_s * 1000,
        settings.order.auto_confirm_s * 1000,
        settings.limit.unpaid_orders,
        pricing(settings),
    )


def refund_rules(settings: Settings) -> RefundRules:
    """Return the rules for refunds; times in ms."""
    ours = settings.refund
    return RefundRules(ours.window_s * 1000, ours.auto_approve_s * 1000, ours.second_approval_fen)


def pricing(settings: Settings) -> Pricing:
    """Return the pricing of freight."""
    ours = settings.pricing
    return Pricing(ours.freight_fen, ours.free_freight_from_fen, ours.zones_fen)


def token_rules(settings: Settings) -> TokenRules:
    """Return what tokens must contain."""
    return TokenRules(settings.auth.issuer, settings.auth.audience, settings.auth.max_lifetime_s)


def dev_token(settings: Settings) -> TokenSource:
    """Return a source of our service token, renewed before it expires; empty without a development key."""
    if settings.auth.hs256_key is None:
        return lambda: ""
    secret = settings.auth.hs256_key.get_secret_value()
    rules = token_rules(settings)
    minted: tuple[float, str] = (float("-inf"), "")

    def token() -> str:
        nonlocal minted
        if time.monotonic() - minted[0] > DEV_TOKEN_S / 2:
            text = mint_token(
                secret, subject="order-service", role=Role.SERVICE, rules=rules, lifetime_s=DEV_TOKEN_S
            )
            minted = (time.monotonic(), text)
        return minted[1]

    return token


def grpc_tls(settings: Settings) -> ServerTls | None:
    """Return the TLS files of the gRPC port; None without TLS."""
    server = settings.server
    if not (server.tls_cert and server.tls_key):
        return None
    return ServerTls(server.tls_cert, server.tls_key, server.tls_client_ca)


def landing_links(settings: Settings, grpc_port: int) -> Places:
    """Return the links of the page at `/`: the gRPC port, and the sandbox if it handles payments."""
    if settings.app.env == "production":
        return Places()
    host = reachable(settings.server.advertise_host or settings.server.host)
    return Places(grpc=join_host_port(host, grpc_port), sandbox=_sandbox(settings))


def _sandbox(settings: Settings) -> str:
    """Return the sandbox's URL if the gateway of a channel is simulated there."""
    for payment_type, entry in CHANNELS.items():
        if channel := settings.pay.http_channels.get(payment_type.code):
            gateway = urlsplit(channel.gateway)
            if gateway.path == entry.simulator:
                return f"{gateway.scheme}://{gateway.netloc.rpartition('@')[2]}/"
    return ""
