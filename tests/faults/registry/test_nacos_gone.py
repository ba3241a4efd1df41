"""Nacos beside a running Shop: changed, wrong, rolled back, killed, back; buyers go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shop_order.cmd.cli.config import config_app
from shop_order.configs import load
from shop_order.configs.sources import SourceUnavailable
from shop_order.configs.sources.nacos import NacosSource
from tests.faults.engines.own import Own
from tests.shop import ADDRESS, Shop

pytestmark = [pytest.mark.engine("nacos"), pytest.mark.slow, pytest.mark.timeout(300)]
PUSHED_S = 10.0


class Town(Shop):
    """The Shop whose settings are in Nacos; tests take a group each."""

    def __init__(self, folder: Path, engine: Own, group: str) -> None:
        self.config_url = f"nacos://{engine.address}?namespace=order-service&group={group}"
        super().__init__(folder, CONFIG__URL=self.config_url)

    async def publish(self, text: str) -> None:
        source = NacosSource(self.config_url)
        await asyncio.to_thread(source.publish, text)

        async def shown() -> bool:
            """It answers readers from a copy that follows."""
            try:
                return [text] == [found for _, found in await asyncio.to_thread(source.documents, "test")]
            except SourceUnavailable:
                return False

        await self.until(shown, PUSHED_S)

    async def pay_timeout(self, seconds: int, within_s: float = PUSHED_S) -> None:
        """Wait until the running service uses it."""

        async def taken() -> bool:
            return bool(self.core.settings.order.pay_timeout_s == seconds)

        await self.until(taken, within_s)

    async def freight(self, fen: int) -> None:
        """Wait until the running service asks for it."""

        async def taken() -> bool:
            return bool(self.core.settings.pricing.freight_fen == fen)

        await self.until(taken, PUSHED_S)

    async def loads(self) -> dict[str, float]:
        """The counter of configurations by outcome."""
        head = 'shop_order_config_loads_total{outcome="'
        lines = [line for line in (await self.http.get("/metrics")).text.splitlines() if head in line]
        return {line.removeprefix(head).split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    async def readiness(self) -> tuple[int, str]:
        answer = await self.http.get("/readyz")
        return answer.status_code, answer.text


def listening(port: int) -> set[str]:
    """The addresses on which somebody listens there, as the kernel writes them."""
    text = "".join(Path(f"/proc/net/{file}").read_text() for file in ("tcp", "tcp6"))
    rows = [line.split() for line in text.splitlines()]
    listens = "0A"
    return {row[1].partition(":")[0] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == listens}


def test_it_listens_on_loopback_only(own_nacos: Own) -> None:
    port = int(own_nacos.address.partition(":")[2])
    for one in (port, port + 1000, port + 1001):
        assert listening(one) in ({"0100007F"}, {"0000000000000000FFFF00000100007F"}), one


async def test_a_change_is_taken_up_a_bad_one_refused_and_counted_and_a_rollback_works_while_it_runs(
    own_nacos: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Town(tmp_path / "first", own_nacos, "CHANGED").publish("order: {pay_timeout_s: 70}\n")
    async with Town(tmp_path, own_nacos, "CHANGED") as town:
        assert town.core.settings.order.pay_timeout_s == 70
        await town.publish("order: {pay_timeout_s: 71}\n")
        await town.pay_timeout(71)
        assert (await town.loads())["applied"] == 1

        await town.publish("order: {pay_timeout_s: never}\n")

        async def refused() -> bool:
            return (await town.loads()).get("refused", 0) == 1

        await town.until(refused, PUSHED_S)
        assert town.core.settings.order.pay_timeout_s == 71
        code, said = await town.readiness()
        assert code == 200
        assert "config" in said
        await town.place()

        for key, value in town.environ.items():
            monkeypatch.setenv(key, value)
        listed = await asyncio.to_thread(CliRunner().invoke, config_app, ["history"])
        numbers = [line.split()[0] for line in listed.stdout.splitlines()]
        assert len(numbers) == 3
        back = await asyncio.to_thread(CliRunner().invoke, config_app, ["rollback", numbers[-1]])
        assert back.exit_code == 0, back.output
        await town.pay_timeout(70)
        assert "config" not in (await town.readiness())[1]


async def test_freight_changed_and_rolled_back_in_nacos_moves_that_of_the_next_order(
    own_nacos: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Town(tmp_path / "first", own_nacos, "FREIGHT").publish("pricing: {freight_fen: 800}\n")
    async with Town(tmp_path, own_nacos, "FREIGHT") as town:
        assert (await town.place())["freight_fen"] == 800
        await town.publish("pricing: {freight_fen: 500, province_freight_fen: {新疆: 1500}}\n")
        await town.freight(500)
        far = await town.place(address={**ADDRESS, "province": "新疆维吾尔自治区"})
        assert (far["freight_fen"], far["pay_fen"]) == (2000, far["total_fen"] + 2000)
        assert (await town.place(address={**ADDRESS, "province": "浙江省"}))["freight_fen"] == 500

        await town.publish("pricing: {freight_fen: -1}\n")

        async def refused() -> bool:
            return (await town.loads()).get("refused", 0) == 1

        await town.until(refused, PUSHED_S)
        assert (await town.place(address={**ADDRESS, "province": "浙江省"}))["freight_fen"] == 500

        for key, value in town.environ.items():
            monkeypatch.setenv(key, value)
        listed = await asyncio.to_thread(CliRunner().invoke, config_app, ["history"])
        first = listed.stdout.splitlines()[-1].split()[0]
        back = await asyncio.to_thread(CliRunner().invoke, config_app, ["rollback", first])
        assert back.exit_code == 0, back.output
        await town.freight(800)
        assert (await town.place())["freight_fen"] == 800
        await town.check_doctor()


async def test_the_service_serves_and_starts_without_nacos_and_follows_it_when_it_is_back(
    own_nacos: Own, tmp_path: Path
) -> None:
    await Town(tmp_path / "first", own_nacos, "GONE").publish("order: {pay_timeout_s: 70}\n")
    async with Town(tmp_path, own_nacos, "GONE") as town:
        own_nacos.kill()
        await town.place()
        await town.stop_service()
        # A new process would read the settings anew: without Nacos from the last good copy.
        town.loaded = await asyncio.to_thread(load, town.environ)
        assert town.loaded.settings.order.pay_timeout_s == 70
        assert town.loaded.notes
        await town.start_service()
        code, said = await town.readiness()
        assert code == 200
        assert "config" in said
        await town.place()

        await asyncio.to_thread(own_nacos.start)
        await town.publish("order: {pay_timeout_s: 72}\n")
        await town.pay_timeout(72, 20)
        assert "config" not in (await town.readiness())[1]
        await town.publish("order: {pay_timeout_s: 73}\n")
        await town.pay_timeout(73, 20)
        await town.check_doctor()
