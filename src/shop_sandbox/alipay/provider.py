"""The simulated Alipay, put together from its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from starlette.routing import Route

from shop_sandbox.alipay import late, trades
from shop_sandbox.alipay.bills import Bills
from shop_sandbox.alipay.gateway import Gateway
from shop_sandbox.alipay.keys import ensure_keys
from shop_sandbox.alipay.late import LateBuyers
from shop_sandbox.alipay.notices import SignedForms
from shop_sandbox.alipay.routes import AlipayPages
from shop_sandbox.alipay.simulator import Simulator
from shop_sandbox.alipay.trades import Trades
from shop_sandbox.database import Database
from shop_sandbox.payments import notices
from shop_sandbox.payments.notices import Notices
from shop_sandbox.settings import SandboxSettings


class AlipayProvider:
    """See `shop_sandbox.providers.RunningProvider`."""

    def __init__(self, settings: SandboxSettings, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        schema = trades.SCHEMA + notices.SCHEMA + late.SCHEMA
        self.database = Database(settings.data_dir / "alipay.db", schema)
        self.keys = ensure_keys(settings.keys_dir)
        self.trades = Trades(self.database, clock_ms)
        scale, ca_file = settings.notice_scale, settings.ca_file
        self.forms = SignedForms(self.keys)
        self.notices = Notices(self.database, self.forms, clock_ms, scale, ca_file)
        self.bills = Bills(self.database, clock_ms)
        self.late = LateBuyers(self.database, clock_ms)
        self.simulator = Simulator(self.trades, self.notices, self.late, clock_ms)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.database.open()
        try:
            async with self.notices.running(), self.late.running(self.simulator.pay_late):
                yield
        finally:
            await self.database.close()

    def routes(self) -> Sequence[Route]:
        gateway = Gateway(self.trades, self.notices, self.late, self.bills, self.keys, self._clock_ms)
        pages = AlipayPages(
            self.trades, self.notices, self.forms, self.bills, gateway, self.simulator, self.keys
        )
        return pages.routes()
