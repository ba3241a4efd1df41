"""Plays all chapters on a Shop of their own, and looks at the books at the end."""

from __future__ import annotations

import sys
import time

from shop_sandbox.story.awkward import nobody_pays, notice_comes_twice, pays_too_late, somebody_forges
from shop_sandbox.story.buying import from_cart_to_receipt
from shop_sandbox.story.guarding import anothers_order, empty_shelf, same_key_again
from shop_sandbox.story.people import Cast
from shop_sandbox.story.stage import NotStarted, Stage, folder_for_a_while
from shop_sandbox.story.telling import LANGUAGES, NotAsTold, StoryBroken, Teller, expect, until

CHAPTERS = (
    from_cart_to_receipt,
    nobody_pays,
    pays_too_late,
    notice_comes_twice,
    somebody_forges,
    anothers_order,
    same_key_again,
    empty_shelf,
)


async def play(language: str) -> int:
    """The exit code: 0, 1 when a step did not do what it says, 2 for an unknown language."""
    if language not in LANGUAGES:
        sys.stderr.write(f"shop-sandbox: DEMO_LANG is one of {', '.join(LANGUAGES)}\n")
        return 2
    tell = Teller(language)
    begun_s = time.monotonic()
    with folder_for_a_while() as folder:
        stage = Stage(folder)
        tell.say("启动一家临时的商城 …", "Starting a Shop for a while …")
        try:
            await stage.start()
            async with Cast(stage) as cast:
                await _chapters(tell, cast)
                await _books(tell, stage)
        except (NotStarted, NotAsTold) as trouble:
            sys.stderr.write(f"shop-sandbox: {trouble}\n")
            return 1
        finally:
            code = await stage.stop()
    tell.title("尾声", "The end")
    if code:
        tell.failures += 1
        tell.say(f"商城没有正常停止：{code}", f"The Shop did not stop well: {code}")
    took_s = time.monotonic() - begun_s
    tell.say(
        f"{tell.steps} 步，{tell.failures} 步不符，用时 {took_s:.0f} 秒",
        f"{tell.steps} steps, {tell.failures} not as told, {took_s:.0f} s",
    )
    return 1 if tell.failures else 0


async def _chapters(tell: Teller, cast: Cast) -> None:
    tell.say(
        f"REST {cast.stage.rest}/api/v1，gRPC {cast.stage.grpc}，支付宝模拟器 {cast.stage.sandbox}",
        f"Buyers Zhang San (7) and Li Si (8), an operator (1), Alipay at {cast.stage.sandbox}",
    )
    for chapter in CHAPTERS:
        try:
            await chapter(tell, cast)
        except StoryBroken:
            continue  # told already; the other chapters stand on their own


async def _books(tell: Teller, stage: Stage) -> None:
    tell.title("九、对账", "9. The books")

    async def on_their_way() -> bool:
        return ", 0 in progress," in (await stage.run("doctor")).output

    try:
        with tell.step(
            "shop-order doctor：钱、库存与历史一致", "shop-order doctor: money, stock and history agree"
        ) as step:
            await until(on_their_way, True, "everything delivered")
            ran = await stage.run("doctor")
            step.sees(ran.output, ran.output)
            expect(ran.code, 0, f"doctor: {ran.output}; exit code")
        with tell.step(
            "shop-order audit verify：每一单的哈希链完整",
            "shop-order audit verify: every hash chain is whole",
        ) as step:
            ran = await stage.run("audit", "verify")
            step.sees(ran.output, ran.output)
            expect(ran.code, 0, f"audit verify: {ran.output}; exit code")
    except StoryBroken:
        return  # told already
