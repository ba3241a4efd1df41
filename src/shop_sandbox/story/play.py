"""Plays all chapters on a temporary Shop, then runs its consistency checks."""

from __future__ import annotations

import sys
import time

from shop_sandbox.story.after_sales import refunds_and_returns
from shop_sandbox.story.awkward import nobody_pays, notice_comes_twice, pays_too_late, somebody_forges
from shop_sandbox.story.buying import buy_from_cart
from shop_sandbox.story.guarding import anothers_order, empty_shelf, same_key_again
from shop_sandbox.story.narrator import LANGUAGES, Narrator, StepFailed, UnexpectedResult, expect, wait_until
from shop_sandbox.story.people import Cast
from shop_sandbox.story.stage import NotStarted, Stage, temporary_folder

CHAPTERS = (
    buy_from_cart,
    nobody_pays,
    pays_too_late,
    notice_comes_twice,
    somebody_forges,
    anothers_order,
    same_key_again,
    empty_shelf,
    refunds_and_returns,
)


async def play(language: str) -> int:
    """Play the story. Exit code: 0, 1 if a step failed, 2 for an unknown language."""
    if language not in LANGUAGES:
        sys.stderr.write(f"shop-sandbox: DEMO_LANG must be one of {', '.join(LANGUAGES)}\n")
        return 2
    narrator = Narrator(language)
    begun_s = time.monotonic()
    with temporary_folder() as folder:
        stage = Stage(folder)
        narrator.say("正在启动临时商城……", "Starting a temporary Shop …")
        try:
            await stage.start()
            async with Cast(stage) as cast:
                await _chapters(narrator, cast)
                await _books(narrator, stage)
        except (NotStarted, UnexpectedResult) as trouble:
            sys.stderr.write(f"shop-sandbox: {trouble}\n")
            return 1
        finally:
            code = await stage.stop()
    narrator.title("结束", "The end")
    if code:
        narrator.failures += 1
        narrator.say(f"商城没有正常停止，退出码 {code}", f"The Shop did not stop cleanly: exit code {code}")
    took_s = time.monotonic() - begun_s
    narrator.say(
        f"{narrator.steps} 步，{narrator.failures} 步失败，用时 {took_s:.0f} 秒",
        f"{narrator.steps} steps, {narrator.failures} failed, {took_s:.0f} s",
    )
    return 1 if narrator.failures else 0


async def _chapters(narrator: Narrator, cast: Cast) -> None:
    narrator.say(
        f"REST {cast.stage.rest}/api/v1，gRPC {cast.stage.grpc}，支付宝模拟器 {cast.stage.sandbox}",
        f"Buyers Zhang San (7) and Li Si (8), an operator (1), Alipay at {cast.stage.sandbox}",
    )
    for chapter in CHAPTERS:
        try:
            await chapter(narrator, cast)
        except StepFailed:
            continue  # already reported; the other chapters are independent


async def _books(narrator: Narrator, stage: Stage) -> None:
    narrator.title("十、核对数据", "10. Consistency checks")

    async def nothing_in_progress() -> bool:
        return ", 0 in progress," in (await stage.run("doctor")).output

    try:
        with narrator.step(
            "shop-order doctor：资金、库存、历史一致", "shop-order doctor: money, stock and history agree"
        ) as step:
            await wait_until(nothing_in_progress, True, "all events delivered")
            result = await stage.run("doctor")
            step.result(result.output, result.output)
            expect(result.code, 0, f"doctor: {result.output}; exit code")
        with narrator.step(
            "shop-order audit verify：每个订单的哈希链完整",
            "shop-order audit verify: every hash chain is intact",
        ) as step:
            result = await stage.run("audit", "verify")
            step.result(result.output, result.output)
            expect(result.code, 0, f"audit verify: {result.output}; exit code")
    except StepFailed:
        return  # already reported
