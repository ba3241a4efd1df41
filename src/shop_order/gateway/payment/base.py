"""The row of a channel in the table of channels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from shop_order.domain.ports import Clock, NoticeRoute, PaymentChannel


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """What a channel gets besides its settings; times in seconds."""

    notify_url: str  # where it receives notices, unless its settings name another URL
    timeout_s: Callable[[], float]  # of a channel over HTTP; called for every request: it may be reloaded
    real_clock: Clock
    log: Callable[..., None]
    wallet_services: Collection[str] = ()  # the services whose messages move money; none: no balance


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """A channel, configured or not.

    `connect` and `problems` get its settings, PAY__<CODE>__… (None if it has none). `connect` returns None if
    they are incomplete; `problems` returns the reasons why a configured channel can't be used.
    """

    connect: Callable[[Any, ChannelContext], PaymentChannel | None]
    problems: Callable[[Any], Sequence[str]]
    notice: NoticeRoute | None = None
    simulator: str = ""  # the path of its gateway in the sandbox, unlike the provider's
