"""The workers of an instance, seen by their parent; the processes are played."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from shop_order.cmd.opening import StartRefused
from shop_order.cmd.workers import crew as room
from shop_order.cmd.workers.crew import Crew
from shop_order.cmd.workers.process import Worker


class Played(Worker):
    """A worker that is ready at once, answers as long as it is told to, and ends when it is told."""

    def __init__(self, number: int, story: list[tuple[int, str]], refusal: str = "") -> None:
        self.number = number
        self.ready, self.refused, self.silent, self.unanswered = False, "", False, 0
        self.missing = ()
        self.told: list[tuple[str, object]] = []
        self.answers: tuple[str, ...] | None = ()
        self._story = story
        self._says: asyncio.Queue[tuple[str, object] | None] = asyncio.Queue()
        self._how = ""
        self._says.put_nowait(("refused", refusal) if refusal else ("ready", None))
        if refusal:
            self.dies("exit code 2")

    @property
    def pid(self) -> int:
        return self.number

    def say(self, word: str, value: object = None) -> None:
        self.told.append((word, value))
        if word == "ping" and self.answers is not None:
            self._says.put_nowait(("missing", [*self.answers]))
        if (word == "stop" and "duty" not in self.words()) or word == "last":
            self.dies("")

    def words(self) -> list[str]:
        return [word for word, _ in self.told if word != "ping"]

    def dies(self, how: str = "signal 9") -> None:
        self._how = how
        self._says.put_nowait(None)

    def kill(self) -> None:
        self.dies()

    async def said(self) -> AsyncIterator[tuple[str, object]]:
        while (said := await self._says.get()) is not None:
            yield said

    async def ended(self) -> str:
        self._story.append((self.number, self._how))
        return self._how


class Stage:
    """A crew of two, and what became of them."""

    def __init__(self, count: int = 2) -> None:
        self.spawned: list[Played] = []
        self.at: list[float] = []
        self.story: list[tuple[int, str]] = []
        self.ended: list[tuple[int, str]] = []
        self.refusal = ""
        self.settings = "first"
        self.missing: list[str] = []
        self.crew = Crew(
            count,
            spawn=self._spawn,
            settings=lambda: self.settings,
            missing=lambda: self.missing,
            ended=lambda number, how: self.ended.append((number, how)),
        )

    async def _spawn(self, number: int) -> Worker:
        self.spawned.append(Played(number, self.story, self.refusal))
        self.at.append(time.monotonic())
        return self.spawned[-1]

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(5):
            while not true():  # noqa: ASYNC110 - the crew tells nobody
                await asyncio.sleep(0.005)

    async def another_follows(self) -> None:
        """The newest dies; wait for the next."""
        times = len(self.spawned) + 1
        self.spawned[-1].dies()
        await self.until(lambda: len(self.spawned) == times and self.spawned[-1].ready)


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(room, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(room, "PAUSE_S", (0.05, 0.15))
    playing = Stage()
    yield playing
    await playing.crew.stop(1.0)


async def test_a_start_waits_until_all_serve_and_one_of_them_is_on_duty(stage: Stage) -> None:
    await stage.crew.start()
    assert [worker.number for worker in stage.spawned] == [1, 2]
    assert sorted(worker.words() for worker in stage.spawned) == [["settings"], ["settings", "duty"]]


async def test_a_start_that_one_refuses_is_refused_with_its_line(stage: Stage) -> None:
    stage.refusal = "the order database is away"
    with pytest.raises(StartRefused, match=r"^the order database is away$"):
        await stage.crew.start()


async def test_who_dies_is_started_again_and_another_takes_the_duty(stage: Stage) -> None:
    await stage.crew.start()
    first, second = stage.spawned
    stage.settings = "second"
    first.dies()
    await stage.until(lambda: len(stage.spawned) == 3 and stage.spawned[2].ready)
    assert second.words() == ["settings", "duty"]
    assert stage.spawned[2].told[0] == ("settings", "second")
    assert "duty" not in stage.spawned[2].words()
    assert stage.ended == [(1, "died")]


async def test_who_dies_again_and_again_is_started_later_each_time(stage: Stage) -> None:
    await stage.crew.start()
    for _ in range(4):
        await stage.another_follows()
    pauses = [later - sooner for sooner, later in zip(stage.at[1:], stage.at[2:], strict=False)]
    assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.15, 0.15), strict=True)), pauses


async def test_who_served_long_is_started_again_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "STEADY_S", -1.0)
    monkeypatch.setattr(room, "PAUSE_S", (60.0, 60.0))
    await stage.crew.start()
    stage.spawned[0].dies()
    await stage.until(lambda: len(stage.spawned) == 3)


async def test_who_no_longer_answers_is_killed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_UNANSWERED", 5)
    await stage.crew.start()
    stage.spawned[1].answers = None
    await stage.until(lambda: stage.ended)
    assert stage.ended == [(2, "silent")]
    assert stage.story == [(2, "signal 9")]


async def test_who_is_asked_to_stop_alone_may_and_another_follows(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ALL_TOLD_S", 0.01)
    await stage.crew.start()
    first = stage.spawned[0]
    first._says.put_nowait(("asked", None))
    await stage.until(lambda: len(stage.spawned) == 3)
    assert first.words()[-2:] == ["stop", "last"]
    assert stage.ended == [(1, "left")]


async def test_who_is_asked_to_stop_together_with_its_parent_waits_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ALL_TOLD_S", 0.05)
    await stage.crew.start()
    for worker in stage.spawned:
        worker._says.put_nowait(("asked", None))
    stage.crew.leave()
    await asyncio.sleep(0.15)
    assert not any("stop" in worker.words() for worker in stage.spawned)


async def test_each_hears_what_the_others_miss(stage: Stage) -> None:
    await stage.crew.start()
    first, second = stage.spawned
    stage.missing = ["registry"]
    second.answers = ("goods", "cache")
    await stage.until(lambda: first.told[-1] == ("ping", ["registry", "goods", "cache"]))
    await stage.until(lambda: second.told[-1] == ("ping", ["registry"]))
    first.dies()
    await stage.until(lambda: ("ping", ["registry", "workers"]) in second.told)
    await stage.until(lambda: second.told[-1] == ("ping", ["registry"]))


async def test_a_stop_ends_who_is_on_duty_last_and_starts_nobody_again(stage: Stage) -> None:
    await stage.crew.start()
    on_duty, other = sorted(stage.spawned, key=lambda worker: "duty" not in worker.words())
    assert await stage.crew.stop(1.0)
    assert stage.story == [(other.number, ""), (on_duty.number, "")]
    assert on_duty.words()[-3:] == ["leave", "stop", "last"]
    assert len(stage.spawned) == 2
    assert stage.ended == []


async def test_who_is_on_duty_has_as_long_for_its_callers_as_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "OVERTIME_S", 0.05)
    await stage.crew.start()
    on_duty = next(worker for worker in stage.spawned if "duty" in worker.words())
    monkeypatch.setattr(on_duty, "say", lambda word, value=None: None)  # it still answers somebody
    asyncio.get_running_loop().call_later(0.3, on_duty.dies, "")
    assert await stage.crew.stop(5.0)
    assert stage.story[-1] == (on_duty.number, "")


async def test_who_does_not_stop_in_time_is_killed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "OVERTIME_S", 0.05)
    await stage.crew.start()
    stubborn = next(worker for worker in stage.spawned if "duty" not in worker.words())
    monkeypatch.setattr(stubborn, "say", lambda word, value=None: None)
    assert not await stage.crew.stop(0.05)
    assert (stubborn.number, "signal 9") in stage.story
