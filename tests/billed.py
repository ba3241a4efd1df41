"""A Shop whose provider lives at noon of yesterday, until its bill is wanted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

from shop_order.domain.bill import Reconciliation, day_at, first_ms
from shop_order.domain.status import PaymentType
from shop_sandbox.server import Sandbox
from tests.shop import Shop, alipay

HOUR_MS = 3_600_000


def real_ms() -> int:
    return time.time_ns() // 1_000_000


class BilledShop(Shop):
    """No test comes near a midnight, whatever the time; `day` is the day of everything that is paid."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.day: date = day_at(real_ms()) - timedelta(days=1)
        self.ahead_ms = 0
        super().__init__(folder, **environ)

    def _sandbox(self, **more: Any) -> Sandbox:
        self.provider_is_at(first_ms(self.day) + 12 * HOUR_MS)
        sandbox = super()._sandbox(**more)
        provider = alipay(sandbox)
        for part in (provider.trades, provider.bills, provider.bills.published, provider.simulator):
            part._clock_ms = self.provider_ms
        return sandbox

    async def __aenter__(self) -> Self:
        await super().__aenter__()

        async def caught_up() -> bool:
            return not await self.core.reconciliation.due()

        await self.until(caught_up)  # from now on nobody but the test reconciles
        return self

    def provider_ms(self) -> int:
        """The provider's clock."""
        return real_ms() + self.ahead_ms

    def provider_is_at(self, ms: int) -> None:
        """It goes on from then."""
        self.ahead_ms = ms - real_ms()

    def day_is_over(self) -> None:
        """And its bill is out."""
        self.provider_is_at(first_ms(self.day) + (24 + 10) * HOUR_MS)

    async def plant(self, **change: object) -> None:
        """The bill differs from the provider's book."""
        answer = await self.provider.post(f"/alipay/sim/bills/{self.day}", json=change)
        assert answer.status_code == 200, answer.text

    async def reconciled(self) -> Reconciliation:
        """What the job does, now."""
        found: Reconciliation = await self.core.reconciliation.reconcile(PaymentType.ALIPAY, self.day)
        return found

    async def payment(self, order_sn: str) -> Mapping[str, Any]:
        """The attempt that its buyer is shown."""
        answer = await self.http.get(f"/api/v1/orders/{order_sn}/payment", headers=self.bearer())
        data: Mapping[str, Any] = answer.json()["data"]
        return data

    async def unheard(self) -> str:
        """An order whose buyer has paid, and nobody told us; for half a minute nobody asks."""
        placed = await self.place()
        attempt = await self.open_attempt(placed["order_sn"])
        await self.provider_does(attempt["payment_sn"], "pay", notice=0)
        return str(placed["order_sn"])

    async def refunded(self) -> Mapping[str, Any]:
        """A cancelled order that was paid too late: its attempt, when the money is back."""
        placed = await self.place()
        attempt = await self.open_attempt(placed["order_sn"])
        path = f"/api/v1/orders/{placed['order_sn']}/cancel"
        assert (await self.http.post(path, headers=self.bearer())).status_code == 200
        await self.provider_does(attempt["payment_sn"], "pay_late")

        async def back() -> bool:
            return bool((await self.payment(placed["order_sn"]))["status"] == 3)

        await self.until(back)
        return attempt

    async def refund_sn(self, attempt: Mapping[str, Any]) -> str:
        """Of that attempt."""
        seen = (await self.provider.get(f"/alipay/sim/{attempt['payment_sn']}")).json()
        return str(seen["refunds"][0]["out_request_no"])
