"""Plays all chapters on a temporary Shop; the last ones compare its books."""

from __future__ import annotations

import sys
import time

from shop_sandbox.story.after_sales import refunds_and_returns
from shop_sandbox.story.awkward import nobody_pays, notice_comes_twice, pays_too_late, somebody_forges
from shop_sandbox.story.buying import buy_from_cart
from shop_sandbox.story.closing import bills, books
from shop_sandbox.story.guarding import anothers_order, empty_shelf, same_key_again
from shop_sandbox.story.narrator import LANGUAGES, Narrator, StepFailed, UnexpectedResult
from shop_sandbox.story.people import Cast
from shop_sandbox.story.qr_and_balance import by_balance, qr_code
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
    qr_code,
    by_balance,
    refunds_and_returns,
    bills,
    books,
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
        f"REST {cast.stage.rest}/api/v1，gRPC {cast.stage.grpc}，支付宝与微信支付模拟器 {cast.stage.sandbox}",
        f"Buyers Zhang San (7) and Li Si (8), an operator (1); Alipay and WeChat Pay at {cast.stage.sandbox}",
    )
    for chapter in CHAPTERS:
        try:
            await chapter(narrator, cast)
        except StepFailed:
            continue  # already reported; the other chapters are independent
