"""The last chapters: the providers' bills, and the consistency of everything."""

from __future__ import annotations

import json
from datetime import datetime

from shop_sandbox.payments.formats import CHINA
from shop_sandbox.story.narrator import Narrator, expect, wait_until, yuan
from shop_sandbox.story.people import Cast
from shop_sandbox.story.stage import CommandResult


async def bills(narrator: Narrator, cast: Cast) -> None:
    """The day's bills of both providers agree with us, and the accounts get their sums."""
    narrator.title("十二、对账与结算", "12. The providers' bills")
    day = datetime.now(CHINA).date()
    for channel, zh, en in (("alipay", "支付宝", "Alipay"), ("wechat", "微信支付", "WeChat Pay")):
        with narrator.step(
            f"shop-order reconcile：与{zh}当天的账单逐笔核对",
            f"shop-order reconcile: the day's bill of {en} agrees with us, line by line",
        ) as step:
            await cast.provider.publish_bill(channel, day)
            ran = await cast.stage.run("reconcile", "--channel", channel, "--date", f"{day}", "--json")
            expect(ran.code, 0, f"reconcile: {ran.output}; exit code")
            sums = json.loads(ran.output)["theirs"]
            paid, back = yuan(sums["paid_fen"]), yuan(sums["refunded_fen"])
            step.result(
                f"{sums['trades']} 笔付款共 {paid}，{sums['refunds']} 笔退款共 {back}，差异 0",
                f"{sums['trades']} payments, {paid}; {sums['refunds']} refunds, {back}; 0 differences",
            )
    with narrator.step(
        "shop-order settlement：每个渠道的收款、手续费、退款与净额",
        "shop-order settlement: gross, fees, refunds and net of each channel",
    ) as step:
        ran = await cast.stage.run("settlement", "--from", f"{day}", "--to", f"{day}", "--json")
        # Not complete before the day is over, which the exit code says.
        for one in json.loads(ran.output)["by_channel"]:
            gross, fee = one["gross_fen"], one["fee_fen"]
            expect((one["differences"], one["our_gross_fen"]), (0, gross), "differences and our own sum")
            expect(one["net_fen"], gross - one["refunded_fen"] - fee, "net")
            texts = [yuan(fen) for fen in (gross, fee, one["refunded_fen"], one["net_fen"])]
            step.result(
                "{}：收款 {}，手续费 {}，退款 {}，净额 {}".format(one["channel"], *texts),
                "{}: gross {}, fees {}, refunds {}, net {}".format(one["channel"], *texts),
            )


async def books(narrator: Narrator, cast: Cast) -> None:
    """Nothing is left in progress, and doctor and audit find nothing."""
    narrator.title("十三、核对数据", "13. Consistency checks")

    found: list[CommandResult] = []

    async def nothing_in_progress() -> bool:
        found.append(await cast.stage.run("doctor"))
        return ", 0 in progress," in found[-1].output

    with narrator.step(
        "shop-order doctor：资金、库存、历史一致", "shop-order doctor: money, stock and history agree"
    ) as step:
        await wait_until(nothing_in_progress, True, "all events delivered")
        result = found[-1]
        step.result(result.output, result.output)
        expect(result.code, 0, f"doctor: {result.output}; exit code")
    with narrator.step(
        "shop-order audit verify：每个订单的哈希链完整",
        "shop-order audit verify: every hash chain is intact",
    ) as step:
        result = await cast.stage.run("audit", "verify")
        step.result(result.output, result.output)
        expect(result.code, 0, f"audit verify: {result.output}; exit code")
