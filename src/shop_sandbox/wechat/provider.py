"""The simulated WeChat Pay, put together from its parts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.routing import Route

from shop_sandbox.database import Database
from shop_sandbox.payments import late, notices
from shop_sandbox.payments.late import LateBuyers
from shop_sandbox.payments.notices import Notices
from shop_sandbox.settings import SandboxSettings
from shop_sandbox.wechat import callers, mini, openid, platform, refunds, trades
from shop_sandbox.wechat.bills import Bills
from shop_sandbox.wechat.buyers import Buyers
from shop_sandbox.wechat.callers import Callers
from shop_sandbox.wechat.gateway import Gateway
from shop_sandbox.wechat.keys import ensure_keys
from shop_sandbox.wechat.mini import MiniProgram
from shop_sandbox.wechat.notices import SealedNotices
from shop_sandbox.wechat.openid import OpenIdPage
from shop_sandbox.wechat.platform import Platform
from shop_sandbox.wechat.refunds import Refunds
from shop_sandbox.wechat.routes import WechatPages
from shop_sandbox.wechat.simulator import Simulator
from shop_sandbox.wechat.trades import EXPIRY, Trades


class WechatProvider:
    """See `shop_sandbox.providers.RunningProvider`. `now_s` is real time, in which signatures expire."""

    def __init__(
        self,
        settings: SandboxSettings,
        clock_ms: Callable[[], int],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        parts = (trades, refunds, notices, late, callers, platform, mini, openid)
        schema = "".join(one.SCHEMA for one in parts)
        self.database = Database(settings.data_dir / "wechat.db", schema)
        self.keys = ensure_keys(settings.keys_dir)
        self.trades = Trades(self.database, clock_ms)
        self.refunds = Refunds(self.database, clock_ms, settings.refund_s)
        self.platform = Platform(self.database, self.keys, clock_ms)
        sealed = SealedNotices(self.platform, self.keys.api_v3_key, now_s)
        scale, ca_file = settings.notice_scale, settings.ca_file
        self.notices = Notices(self.database, sealed, clock_ms, scale, ca_file)
        self.late = LateBuyers(self.database, clock_ms, EXPIRY)
        self.bills = Bills(self.database, clock_ms)
        self.simulator = Simulator(
            self.trades,
            self.refunds,
            self.notices,
            self.late,
            clock_ms,
            probes=settings.probes,
            seed=settings.seed,
        )
        self.openid = OpenIdPage(self.database, settings.keys_dir / "link.key", now_s)
        self.gateway = Gateway(
            Callers(self.database, self.keys, now_s),
            self.platform,
            self.trades,
            self.refunds,
            self.bills,
            self.openid,
            clock_ms=clock_ms,
            now_s=now_s,
        )

        self.mini = MiniProgram(self.database, self.keys, clock_ms, now_s)
        self.buyers = Buyers(self.trades, self.keys, clock_ms)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.database.open()
        try:
            await self.platform.load()
            async with (
                self.notices.running(),
                self.late.running(self.simulator.pay_late),
                self.refunds.running(self.simulator.refund_due),
            ):
                yield
        finally:
            await self.database.close()

    def routes(self) -> Sequence[Route]:
        pages = WechatPages(
            self.trades,
            self.refunds,
            self.notices,
            self.bills,
            self.gateway,
            self.platform,
            self.simulator,
            buyers=self.buyers,
            mini=self.mini,
            openid=self.openid,
        )
        return [*self.gateway.routes(), *self.mini.routes(), *pages.routes()]
